from __future__ import annotations

from pathlib import Path

import pytest

from streamer import devices
from streamer.devices import Camera, cameras, microphones, why_no_cameras, why_no_microphones
from streamer.errors import CaptureError
from streamer.sources import portaudio
from streamer.sources.portaudio import LIBRARY, Microphone


@pytest.fixture
def plugged(tmp_path: Path) -> tuple[Path, Path]:
    """A webcam with its second (metadata) device, and another one, as Linux lists them."""
    dev, classes = tmp_path / "dev", tmp_path / "class"
    dev.mkdir()
    for number, (name, index) in {0: ("HD Webcam", 0), 1: ("HD Webcam", 1), 10: ("Desk Cam", 0)}.items():
        (dev / f"video{number}").touch()
        (classes / f"video{number}").mkdir(parents=True)
        (classes / f"video{number}" / "name").write_text(f"{name}\n")
        (classes / f"video{number}" / "index").write_text(f"{index}\n")
    (dev / "videodev").touch()
    return dev, classes


def test_cameras_are_listed_by_number_and_name(plugged: tuple[Path, Path]) -> None:
    dev = plugged[0]
    assert cameras(*plugged) == [
        Camera(0, f"{dev}/video0", "HD Webcam"),
        Camera(10, f"{dev}/video10", "Desk Cam"),
    ]
    assert why_no_cameras(*plugged) is None


def test_a_camera_without_a_description_is_listed_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "video3").touch()
    assert cameras(tmp_path, tmp_path / "none") == [Camera(3, f"{tmp_path}/video3", "video3")]


def test_cameras_that_may_not_be_used_tell_the_remedy(
    plugged: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    assert all("usermod -aG video" in str(c.trouble) for c in cameras(*plugged))
    assert "video10: may not be used" in str(why_no_cameras(*plugged))


def test_with_no_camera_the_reason_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert cameras(tmp_path, tmp_path) == []
    assert "docker run --device" in str(why_no_cameras(tmp_path, tmp_path))
    monkeypatch.setattr("sys.platform", "darwin")
    assert "device = 0" in str(why_no_cameras(tmp_path, tmp_path))


def test_microphones_are_listed_after_another_look(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    desk = Microphone(0, "Desk", 1, 48_000, True)
    monkeypatch.setattr(portaudio, "library", object)
    monkeypatch.setattr(portaudio, "look_again", lambda: looks.append(1))
    monkeypatch.setattr(portaudio, "inputs", lambda: [desk])
    assert microphones() == [desk]
    assert why_no_microphones() is None
    assert looks


def test_with_no_microphone_the_reason_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portaudio, "library", object)
    monkeypatch.setattr(portaudio, "look_again", lambda: True)
    monkeypatch.setattr(portaudio, "inputs", list)
    assert microphones() == []
    assert "PortAudio finds no input" in str(why_no_microphones())


def test_without_portaudio_there_are_no_microphones_and_the_package_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing() -> None:
        raise CaptureError(LIBRARY)

    monkeypatch.setattr(portaudio, "library", missing)
    assert microphones() == []
    assert "libportaudio2" in str(why_no_microphones())


def test_on_this_machine_either_devices_or_a_reason_are_found() -> None:
    assert bool(devices.microphones()) is (devices.why_no_microphones() is None)
    assert any(c.trouble is None for c in devices.cameras()) is (devices.why_no_cameras() is None)
