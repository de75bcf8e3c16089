"""``kind = "webcam"``: a camera of this computer, through OpenCV."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from ..context import Context
from ..errors import CaptureError
from ..types import Picture
from .camera import Camera, Pictures, Watch
from .fields import Off


class Config(BaseModel):
    """A webcam."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: int | str = Field(0, description="number or path (/dev/video2), as `lmam devices` shows")
    width: int = Field(640, ge=16, description="pixels to ask the camera for")
    height: int = Field(480, ge=16, description="pixels to ask the camera for")
    fps: float = Field(15.0, gt=0, le=240, description="pictures a second to ask for, and to use at most")
    frozen_after: Annotated[float | None, Off] = Field(
        3.0, gt=0, description="seconds of one and the same picture that mean a fault; false: never"
    )

    def build(self, context: Context) -> Camera:
        """Look whether the camera is there.

        Raises:
            CaptureError: it is not, or may not be used.
        """
        check(self.device)
        return source(self, context, lambda: open_webcam(self))


def source(config: Config, context: Context, open_camera: Callable[[], Pictures]) -> Camera:
    watch = Watch(frozen=config.frozen_after)
    return Camera("webcam", open_camera, context.notices, watch, config.fps)


def check(device: int | str) -> None:
    """On Linux, whether the device file of the camera is there and may be used.

    Raises:
        CaptureError: not; lists what there is.
    """
    if sys.platform != "linux":
        return
    path = Path(f"/dev/video{device}" if isinstance(device, int) else device)
    if not path.exists():
        there = ", ".join(sorted(str(p) for p in Path("/dev").glob("video*"))) or "none"
        raise CaptureError(
            f"webcam {device}: {path} is not there; cameras found: {there}. Plug one in, or pass it to the"
            " container (docker run --device /dev/video0)"
        )
    if not os.access(path, os.R_OK | os.W_OK):
        raise CaptureError(
            f"webcam {device}: {path} may not be used; add the user to its group (sudo usermod -aG video"
            " $USER) and log in again"
        )


def open_webcam(config: Config) -> Pictures:
    """Blocks until the camera is open.

    Raises:
        CaptureError: it cannot be opened.
    """
    check(config.device)
    import cv2

    capture = cv2.VideoCapture(config.device)
    if not capture.isOpened():
        capture.release()
        raise CaptureError(f"webcam {config.device} cannot be opened; is another program using it?")
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, config.width)
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, config.height)
    capture.set(cv2.CAP_PROP_FPS, config.fps)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # where the driver heeds it: no queue of old pictures
    return _Webcam(capture)


class _Webcam:
    def __init__(self, capture: Any) -> None:
        self._capture = capture

    def grab(self) -> bool:
        return bool(self._capture.grab())

    def retrieve(self) -> Picture | None:
        good, bgr = self._capture.retrieve()
        return bgr if good else None

    def close(self) -> None:
        self._capture.release()
