"""``kind = "media"``: a file that FFmpeg can read, sound and pictures from one demuxer."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..clock import Clock
from ..context import AT_END, Context
from ..errors import CaptureError
from ..seams import Out
from .decode import Item, Options, Reader, moment
from .fields import Off
from .probe import MediaInfo, probe

__all__ = ["Config", "Media", "MediaInfo", "probe"]

NAMES = {"audio": "sound", "video": "pictures"}
BATCH = 16  # items decoded at a time, ahead of their use: about a second


class Config(BaseModel):
    """Recorded sound, pictures or both."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path = Field(description="media file: wav, flac, mp3, mp4, mkv, mpg, ...")
    pace: Literal["fast"] | Annotated[float, Field(gt=0)] = Field(
        "fast", description="fast: as quickly as it can be analysed; 1.0: as slowly as it was recorded"
    )
    channels: Literal["mix", "split"] | int = Field(
        "mix", description="mix all sound channels, use the one of this number, or split: one speaker each"
    )
    audio: bool = Field(True, description="use the sound")
    video: bool = Field(True, description="use the pictures")
    chunk: float = Field(0.1, gt=0, le=1, description="seconds of sound handed over at a time")
    fps: Annotated[float | None, Off] = Field(
        12.0, gt=0, description="pictures analysed a second at most; false: all"
    )
    max_width: Annotated[int | None, Off] = Field(
        640, ge=16, description="wider pictures are scaled down to this many pixels; false: never"
    )

    def build(self, context: Context) -> Media:
        """Look into the file.

        Raises:
            CaptureError: it cannot be read, or holds none of the wanted tracks or channels.
        """
        info = probe(self.path)
        wanted = {"audio": self.audio, "video": self.video}
        if lost := [NAMES[kind] for kind in info.unreadable if wanted[kind]]:
            context.notices.set(
                "media", f"{self.path}: its {' and '.join(lost)} cannot be decoded: damaged or unknown codec"
            )
        return Media(self, info, context)


class Media:
    """A `streamer.seams.Source`. ``position`` is how far (seconds) it has been handed over."""

    def __init__(self, config: Config, info: MediaInfo, context: Context) -> None:
        self._config, self._context, self.info = config, context, info
        self.position = 0.0
        wanted = {"audio": config.audio and info.audio, "video": config.video and info.video}
        self._tracks = frozenset(track for track, there in wanted.items() if there)
        if not self._tracks:
            held = " and ".join(t for t in ("audio", "video") if getattr(info, t))
            raise CaptureError(f"{config.path}: holds only {held}, which this source is told not to use")
        number = config.channels
        if isinstance(number, int) and "audio" in self._tracks and not 0 <= number < info.channels:
            raise CaptureError(f"{config.path}: no sound channel {number}; it has 0 to {info.channels - 1}")

    @property
    def tracks(self) -> frozenset[str]:
        return self._tracks

    @property
    def channels(self) -> int:
        """How many sound channels its chunks are numbered by."""
        return self.info.channels if self._config.channels == "split" else 1

    @property
    def duration(self) -> float | None:
        """Seconds, where the container tells."""
        return self.info.duration

    @property
    def skew(self) -> float | None:
        """How much later (seconds) the sound begins than the pictures; None unless both are used."""
        return self.info.skew if len(self._tracks) == 2 else None

    async def run(self, out: Out, clock: Clock) -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "media") as thread:  # decoding blocks
            reader = await loop.run_in_executor(thread, self._reader)
            try:
                following = loop.run_in_executor(thread, reader.take, BATCH)
                while items := await following:
                    following = loop.run_in_executor(thread, reader.take, BATCH)
                    for item in items:
                        await self._hand_over(item, out, clock)
            finally:
                thread.submit(reader.close)  # in turn: after the batch in hand
                if reader.damage:
                    self._context.notices.set(AT_END, reader.damage)

    async def _hand_over(self, item: Item, out: Out, clock: Clock) -> None:
        if self._config.pace != "fast":
            await clock.sleep_until(moment(item) / self._config.pace)
        await out.send(item)
        self.position = max(self.position, moment(item))

    def _reader(self) -> Reader:
        c = self._config
        options = Options(
            audio=c.audio,
            video=c.video,
            channels=c.channels,
            chunk=c.chunk,
            fps=c.fps,
            max_width=c.max_width,
        )
        return Reader(c.path, self.info, options)
