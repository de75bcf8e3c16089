"""The parts of PortAudio that are needed: which inputs there are, opening one, looking again."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import CaptureError
from ..types import RATE, Floats

LIBRARY = (
    "the PortAudio library is missing: install it with `apt-get install libportaudio2`; files, network"
    " cameras and raw sound on standard input work without it"
)
Heard = Callable[[Floats, bool], None]  # a block [n, channels] and whether sound before it was lost

# PortAudio itself is one per process and not safe against two threads, hence these two.
_lock = threading.RLock()
_open: set[int] = set()
PATIENCE = 10.0  # seconds


@contextmanager
def _alone() -> Iterator[None]:
    """PortAudio to oneself; a driver may hang in another thread that closes its device.

    Raises:
        CaptureError: that thread has not come back for `PATIENCE`.
    """
    if not _lock.acquire(timeout=PATIENCE):
        raise CaptureError(
            f"the sound system has not let go of a device for {PATIENCE:g} s: restart it, then this program"
        )
    try:
        yield
    finally:
        _lock.release()


@dataclass(frozen=True, slots=True)
class Microphone:
    """An input device as PortAudio lists it; ``rate`` (Hz) is what it runs at by itself."""

    index: int
    name: str
    channels: int
    rate: int
    default: bool


def library() -> Any:
    """The sounddevice module.

    Raises:
        CaptureError: PortAudio is not installed.
    """
    _hush_alsa()
    try:
        import sounddevice  # type: ignore[import-untyped]
    except OSError as error:
        raise CaptureError(LIBRARY) from error
    return sounddevice


def _hush_alsa() -> None:
    """Keep ALSA from writing dozens of lines to the terminal about devices that are not there.

    Its error handler becomes ``getpid``: a C function that does nothing and needs no Python, so it may be
    called from any thread at any time.
    """
    try:
        alsa, libc = ctypes.CDLL("libasound.so.2"), ctypes.CDLL(None)
        alsa.snd_lib_error_set_handler(ctypes.cast(libc.getpid, ctypes.c_void_p))
    except (OSError, AttributeError):  # no ALSA here: another system
        return


def inputs() -> list[Microphone]:
    """Every device that records, in PortAudio's order.

    Raises:
        CaptureError: PortAudio is not installed, or hangs.
    """
    sd = library()
    with _alone():
        first = sd.default.device[0]
        chosen = first if first >= 0 else min(api["default_input_device"] for api in sd.query_hostapis())
        return [
            Microphone(
                d["index"],
                d["name"],
                d["max_input_channels"],
                round(d["default_samplerate"]),
                d["index"] == chosen,
            )
            for d in sd.query_devices()
            if d["max_input_channels"] > 0
        ]


def look_again() -> bool:
    """Renew PortAudio's list of devices, which is frozen from its start; False while a stream is open.

    Raises:
        CaptureError: PortAudio is not installed, or hangs.
    """
    sd = library()
    with _alone():
        if _open:  # it would be torn down too
            return False
        sd._terminate()
        sd._initialize()
        return True


def find(device: int | str | None) -> Microphone:
    """The input of that number, of that name or (the first) whose name contains it; None: the default.

    Raises:
        CaptureError: there is none; lists what there is.
    """
    there = inputs()
    if isinstance(device, int):
        fits = [m for m in there if m.index == device]
    elif device is None:
        fits = [m for m in there if m.default] or there
    else:
        wanted = device.lower()
        fits = [m for m in there if m.name.lower() == wanted] or [
            m for m in there if wanted in m.name.lower()
        ]
    if fits:
        return fits[0]
    wanted = "microphone" if device is None else f"microphone {device!r}"
    listed = ", ".join(f"{m.index} {m.name!r}" for m in there) or "none"
    raise CaptureError(f"no {wanted}; inputs found: {listed}. Plug one in, or name one of these as `device`")


class Input:
    """An open input of ``width`` channels at ``rate`` Hz."""

    def __init__(self, stream: Any, name: str, rate: int, width: int) -> None:
        self._stream = stream
        self.name, self.rate, self.width = name, rate, width

    @property
    def active(self) -> bool:
        return bool(self._stream.active)

    def close(self) -> None:
        with _lock:
            _open.discard(id(self._stream))
            self._stream.abort(ignore_errors=True)
            self._stream.close(ignore_errors=True)


def open_input(
    device: int | str | None,
    width: int,
    exact: bool,
    rate: int | None,
    seconds: float,
    latency: Literal["low", "high"],
    heard: Heard,
) -> Input:
    """Start recording; ``heard`` is called from PortAudio's thread with blocks of ``seconds``.

    Args:
        width: Channels to open; fewer where the device has fewer, unless ``exact``.
        rate: Hz; None: `RATE`, or the device's own rate where it cannot do that.

    Raises:
        CaptureError: no such device, or it cannot be opened like this.
    """
    sd = library()

    def callback(block: Floats, _frames: int, _time: Any, status: Any) -> None:
        heard(block.copy(), bool(status.input_overflow))

    with _alone():
        microphone = find(device)
        channels = width if exact else min(width, microphone.channels)
        try:
            hertz = rate or _rate(sd, microphone, channels)
            stream = sd.InputStream(
                samplerate=hertz,
                blocksize=max(1, round(hertz * seconds)),
                device=microphone.index,
                channels=channels,
                dtype="float32",
                latency=latency,
                callback=callback,
            )
            stream.start()
        except (sd.PortAudioError, ValueError) as error:
            raise CaptureError(
                f"microphone {microphone.name!r} cannot be opened with {channels} of its"
                f" {microphone.channels} channels ({error}); is another program using it?"
            ) from error
        _open.add(id(stream))
        return Input(stream, microphone.name, hertz, channels)


def _rate(sd: Any, microphone: Microphone, channels: int) -> int:
    try:
        sd.check_input_settings(microphone.index, channels, "float32", samplerate=RATE)
    except sd.PortAudioError:
        return microphone.rate
    return RATE
