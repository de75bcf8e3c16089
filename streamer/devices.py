"""What there is to capture with, and why there is nothing: for ``lmam devices`` and ``lmam doctor``."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from .errors import CaptureError
from .sources import portaudio
from .sources.portaudio import Microphone

__all__ = [
    "Camera",
    "Microphone",
    "cameras",
    "microphones",
    "why_no_cameras",
    "why_no_microphones",
]

DEVICES, CLASSES = Path("/dev"), Path("/sys/class/video4linux")


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera of this computer; ``trouble`` says what keeps it from being used, None if nothing does."""

    index: int
    path: str
    name: str
    trouble: str | None = None


def microphones() -> list[Microphone]:
    """Every input of the sound system; none where PortAudio is missing (`why_no_microphones` tells)."""
    try:
        portaudio.look_again()
        return portaudio.inputs()
    except CaptureError:
        return []


def why_no_microphones() -> str | None:
    """What to do when `microphones` is empty; None when it is not."""
    try:
        portaudio.library()
    except CaptureError as error:
        return str(error)
    if microphones():
        return None
    return (
        "PortAudio finds no input: plug one in, or check that the sound server runs (in a container pass"
        " /dev/snd, or PULSE_SERVER and install libasound2-plugins); files, network cameras and raw sound on"
        " standard input work without one"
    )


def cameras(devices: Path = DEVICES, classes: Path = CLASSES) -> list[Camera]:
    """Every camera that Linux lists, by number; the second device that many webcams have is left out."""
    numbers = sorted(int(p.name[5:]) for p in devices.glob("video*") if p.name[5:].isdigit())
    return [
        _camera(n, devices, classes) for n in numbers if _read(classes / f"video{n}" / "index") in ("", "0")
    ]


def why_no_cameras(devices: Path = DEVICES, classes: Path = CLASSES) -> str | None:
    """What to do when `cameras` holds none that can be used; None when it does."""
    found = cameras(devices, classes)
    if any(c.trouble is None for c in found):
        return None
    if found:
        return "; ".join(f"{c.path}: {c.trouble}" for c in found)
    if sys.platform != "linux":
        return 'cameras are listed on Linux only; try kind = "webcam" with device = 0'
    return (
        "no /dev/video*: plug a webcam in (in a container: docker run --device /dev/video0); files and"
        " network cameras work without one"
    )


def _camera(number: int, devices: Path, classes: Path) -> Camera:
    path = devices / f"video{number}"
    usable = os.access(path, os.R_OK | os.W_OK)
    trouble = None if usable else "may not be used: sudo usermod -aG video $USER, then log in again"
    return Camera(number, str(path), _read(classes / path.name / "name") or path.name, trouble)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
