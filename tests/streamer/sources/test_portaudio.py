from __future__ import annotations

import sys
import threading

import pytest

from streamer.errors import CaptureError
from streamer.sources import portaudio
from streamer.sources.portaudio import Microphone, find, library

DESK = Microphone(0, "Desk USB Audio", 1, 48_000, False)
ROOM = Microphone(2, "Room USB Array", 4, 16_000, True)


@pytest.fixture
def _plugged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portaudio, "inputs", lambda: [DESK, ROOM])


@pytest.mark.usefixtures("_plugged")
@pytest.mark.parametrize(
    ("device", "found"),
    [(None, ROOM), (0, DESK), (2, ROOM), ("room", ROOM), ("USB", DESK), ("desk usb audio", DESK)],
)
def test_a_microphone_is_found_by_number_name_or_part_of_it(
    device: int | str | None, found: Microphone
) -> None:
    assert find(device) == found


@pytest.mark.usefixtures("_plugged")
@pytest.mark.parametrize("device", [1, "lapel"])
def test_what_is_not_there_is_named_with_what_is(device: int | str) -> None:
    with pytest.raises(CaptureError) as caught:
        find(device)
    assert f"no microphone {device!r}; inputs found: 0 'Desk USB Audio', 2 'Room USB Array'" in str(
        caught.value
    )


def test_with_no_microphone_at_all_the_error_says_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portaudio, "inputs", list)
    with pytest.raises(CaptureError, match="no microphone; inputs found: none"):
        find(None)


def test_without_the_library_the_error_names_the_package_and_what_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Missing:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    with pytest.raises(CaptureError, match=r"apt-get install libportaudio2.*standard input work without it"):
        library()


def test_a_driver_that_hangs_in_another_thread_is_an_error_and_no_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(portaudio, "PATIENCE", 0.05)
    monkeypatch.setattr(portaudio, "library", lambda: None)
    closing, closed = threading.Event(), threading.Event()

    def close() -> None:
        with portaudio._lock:
            closing.set()
            closed.wait()

    thread = threading.Thread(target=close)
    thread.start()
    closing.wait()
    for call in (portaudio.look_again, portaudio.inputs):
        with pytest.raises(CaptureError, match=r"not let go of a device for 0\.05 s: restart it"):
            call()
    closed.set()
    thread.join()


def test_the_list_of_inputs_can_be_made_and_made_again_quietly(capfd: pytest.CaptureFixture[str]) -> None:
    """Needs no device: where there is none the list is empty."""
    try:
        portaudio.look_again()  # an earlier test's sound server may be listed still
        before = portaudio.inputs()
    except CaptureError as missing:
        pytest.skip(str(missing))
    assert portaudio.look_again()
    assert portaudio.inputs() == before
    assert "ALSA lib" not in capfd.readouterr().err
