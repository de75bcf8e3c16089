"""``kind = "network_camera"``: pictures from the network (RTSP, MJPEG over HTTP, MPEG-TS), through PyAV."""

from __future__ import annotations

import re
from typing import Annotated, Any, cast
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ..context import Context
from ..errors import CaptureError
from ..types import Picture
from .camera import Camera, Pictures, RefusedError, Watch
from .fields import Off

SCHEMES = ("rtsp", "rtsps", "http", "https", "udp", "tcp", "rtp")


class Config(BaseModel):
    """A camera with an address. It may be away at the start: it is tried until it comes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(description="rtsp://user:password@host/path, http://host/video.mjpg, udp://:port, ...")
    transport: str = Field("tcp", pattern="^(tcp|udp)$", description="how RTSP carries the pictures")
    fps: float = Field(12.0, gt=0, description="pictures a second to use at most")
    max_width: Annotated[int | None, Off] = Field(
        640, ge=16, description="wider pictures are scaled down to this many pixels; false: never"
    )
    timeout: float = Field(5.0, gt=0, le=60, description="seconds to wait for the connection and for data")
    frozen_after: Annotated[float | None, Off] = Field(
        30.0, gt=0, description="seconds of one and the same picture that mean a fault; false: never"
    )

    @field_validator("url")
    @classmethod
    def _known(cls, url: str) -> str:
        if urlsplit(url).scheme not in SCHEMES:
            raise ValueError(
                f"begins with none of {', '.join(f'{s}://' for s in SCHEMES)}; files: kind media"
            )
        return url

    def build(self, context: Context) -> Camera:
        watch = Watch(
            opening=2 * self.timeout + 1,
            silent=self.timeout,
            frozen=self.frozen_after,
            pauses=(0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0),
            wait_at_start=True,
        )
        return Camera("network_camera", lambda: open_stream(self), context.notices, watch, self.fps)


def public(url: str) -> str:
    """``url`` without user and password, for messages."""
    return re.sub(r"//[^/]*@", "//", url, count=1)


def open_stream(config: Config) -> Pictures:
    """Connect; blocks for ``timeout`` at most.

    Raises:
        RefusedError: wrong address or password.
        CaptureError: nobody answers, or what comes are no pictures.
    """
    import av

    address = public(config.url)
    options = {"fflags": "nobuffer", "flags": "low_delay", "analyzeduration": "1000000"}
    if config.url.startswith("rtsp"):
        options["rtsp_transport"] = config.transport
    try:
        container = av.open(config.url, options=options, timeout=config.timeout)
    except (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError) as error:
        raise RefusedError(f"{address}: wrong user or password ({error.strerror})") from None
    except av.error.HTTPNotFoundError as error:
        raise RefusedError(f"{address}: no camera at this path ({error.strerror})") from None
    except (av.FFmpegError, OSError) as error:
        # not the error itself: it quotes the address with the password
        raise CaptureError(f"{address}: cannot be opened ({error.strerror})") from None
    if not container.streams.video:
        container.close()
        raise RefusedError(f"{address}: sends no pictures")
    return _Stream(container, config)


class _Stream:
    def __init__(self, container: Any, config: Config) -> None:
        from av.video.reformatter import VideoReformatter

        self._container, self._address, self._max_width = container, public(config.url), config.max_width
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1  # more threads hold pictures back
        self._packets = container.demux(stream)
        self._scaler = VideoReformatter()
        self._frames: list[Any] = []
        self._frame: Any = None

    def grab(self) -> bool:
        import av

        if not self._frames:
            try:
                self._frames = list(next(self._packets).decode())
            except StopIteration:
                return False
            except av.error.InvalidDataError:
                self._frames = []  # a damaged picture; the next ones may be good
            except (av.FFmpegError, OSError) as error:
                raise CaptureError(f"{self._address}: connection lost ({error.strerror})") from None
        self._frame = self._frames.pop(0) if self._frames else None
        return True

    def retrieve(self) -> Picture | None:
        frame = self._frame
        if frame is None:
            return None
        width, height = frame.width, frame.height
        if self._max_width is not None and width > self._max_width:
            width, height = self._max_width, max(1, round(height * self._max_width / width))
        scaled = self._scaler.reformat(frame, width, height, "bgr24", interpolation="BILINEAR", threads=1)
        return cast(Picture, scaled.to_ndarray())

    def close(self) -> None:
        self._container.close()
