"""``kind = "pcm"``: raw sound on standard input or a named pipe."""

from __future__ import annotations

import asyncio
import os
import selectors
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..clock import Clock
from ..context import Context
from ..errors import CaptureError
from ..seams import Out
from ..types import Floats
from .sound import RATES, Channels, Chunker, pick, to_float

READ = 65_536  # bytes at a time at most
FRESH = 0.005  # seconds that sound which is just being made lets wait at least
PILED = 10.0  # seconds of sound that may have piled up before the start
FORMATS: dict[str, np.dtype[Any]] = {"s16le": np.dtype("<i2"), "f32le": np.dtype("<f4")}


class Config(BaseModel):
    """Sound without a header, as ``arecord -t raw``, ``sox -t raw`` or ``ffmpeg -f s16le`` write it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field("-", description="- is standard input; else a named pipe or a file")
    format: Literal["s16le", "f32le"] = Field("s16le", description="sample format")
    rate: int = Field(16_000, ge=RATES[0], le=RATES[1], description="Hz")
    inputs: int = Field(1, ge=1, le=64, description="number of interleaved sound channels")
    channels: Literal["mix", "split"] | int = Field(
        "mix", description="mix all sound channels, use the one of this number, or split: one speaker each"
    )
    first_channel: int = Field(0, ge=0, description="number of the first speaker's channel")

    @model_validator(mode="after")
    def _there(self) -> Config:
        if isinstance(self.channels, int) and not 0 <= self.channels < self.inputs:
            raise ValueError(f"no sound channel {self.channels} among {self.inputs} inputs")
        return self

    def build(self, context: Context) -> Pcm:
        """
        Raises:
            CaptureError: standard input is a terminal or closed, or the path is not there.
        """
        if self.path == "-":
            if sys.stdin is None or sys.stdin.closed:
                raise CaptureError("pcm: standard input is closed")
            if sys.stdin.isatty():
                raise CaptureError(
                    "pcm: standard input is a terminal; pipe sound into it, for example"
                    f" arecord -q -t raw -f S16_LE -r {self.rate} -c {self.inputs} | lmam run ..."
                )
        elif not os.path.exists(self.path):
            raise CaptureError(f"{self.path}: no such file or named pipe (mkfifo {self.path} makes one)")
        return Pcm(self, context)


class Pcm:
    """A `streamer.seams.Source`. Time is a count of samples.

    Live it counts from when the first new sound arrives; otherwise from 0.0, whatever the speed of the pipe.
    """

    def __init__(self, config: Config, context: Context) -> None:
        self._config, self._context = config, context

    @property
    def tracks(self) -> frozenset[str]:
        return frozenset({"audio"})

    @property
    def channels(self) -> int:
        """How many sound channels its chunks are numbered by."""
        c = self._config
        return c.first_channel + (c.inputs if c.channels == "split" else 1)

    async def run(self, out: Out, clock: Clock) -> None:
        c = self._config
        frame = FORMATS[c.format].itemsize * c.inputs
        chunker: Chunker | None = None
        rest = b""
        try:
            async with _opened(c.path) as opened:
                second = frame * c.rate
                source = _fresh(opened, clock, second, frame) if self._context.session.live else opened
                async for data in source:
                    data = rest + data
                    whole = len(data) - len(data) % frame
                    data, rest = data[:whole], data[whole:]
                    if not data:
                        continue
                    pcm_KN = _samples(data, c.format, c.inputs, c.channels)
                    if chunker is None:
                        begin = clock.now() - pcm_KN.shape[1] / c.rate if self._context.session.live else 0.0
                        begin = max(0.0, begin)
                        chunker = Chunker(c.rate, len(pcm_KN), None, begin, first_channel=c.first_channel)
                    for chunk in chunker.push(pcm_KN):
                        await out.send(chunk)
        except OSError as error:
            raise CaptureError(f"{_name(c.path)}: cannot be read ({error.strerror or error})") from error
        if chunker is None:
            raise CaptureError(f"{_name(c.path)}: ended without any sound; is the program before it well?")
        for chunk in chunker.flush():
            await out.send(chunk)
        if rest:
            self._context.notices.set(
                "pcm", f"{_name(c.path)}: ended in the middle of a sample: are format and inputs right?"
            )


async def _fresh(source: AsyncIterator[bytes], clock: Clock, second: int, frame: int) -> AsyncIterator[bytes]:
    """``source`` (``second`` bytes a second) without what had piled up before the first sound that is new.

    The program before the pipe was there first; what it has recorded meanwhile would put all that follows
    ahead of the pictures. What does not let wait until its end, or for long, is a recording: it is kept.
    """
    piled, asked = b"", clock.now()
    async for data in source:
        if clock.now() - asked >= FRESH:
            whole = len(piled) // frame * frame
            yield piled[whole:] + data
            break
        piled, asked = piled + data, clock.now()
        if len(piled) > PILED * second:
            yield piled
            break
    else:
        yield piled
    async for data in source:
        yield data


def _name(path: str) -> str:
    return "standard input" if path == "-" else path


def _samples(data: bytes, form: str, inputs: int, channels: Channels) -> Floats:
    """Interleaved bytes as float32 ``[K, n]``; what is no number becomes silence."""
    sound = np.frombuffer(data, FORMATS[form]).reshape(-1, inputs).T
    if sound.dtype.kind == "f":
        sound = np.clip(np.nan_to_num(sound, nan=0.0, posinf=1.0, neginf=-1.0), -1.0, 1.0)
    return pick(to_float(sound), channels)


@asynccontextmanager
async def _opened(path: str) -> AsyncIterator[AsyncIterator[bytes]]:
    """The bytes of ``path``; nothing is left waiting in a thread when it is left."""
    # non-blocking: a named pipe opens at once, whether anybody writes yet or not
    number = os.dup(0) if path == "-" else os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    blocking = os.get_blocking(number)
    file = os.fdopen(number, "rb", buffering=0)
    mode = os.fstat(number).st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):  # reading a file never waits for anybody
        with file:
            yield _from_file(file)
        return
    if not _tells(number):
        file.close()
        raise CaptureError(f"{_name(path)}: is a device that nothing comes from (/dev/null?); pipe sound in")
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=READ)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
    try:
        yield _from_pipe(reader)
    finally:
        if path == "-":  # standard input is shared with the shell
            os.set_blocking(0, blocking)
        transport.close()


def _tells(number: int) -> bool:
    """Whether the system tells when there is more to read; it does not for /dev/null and its like."""
    with selectors.DefaultSelector() as selector:
        try:
            selector.register(number, selectors.EVENT_READ)
        except PermissionError:
            return False
    return True


async def _from_file(file: Any) -> AsyncIterator[bytes]:
    while data := file.read(READ):
        yield data


async def _from_pipe(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while data := await reader.read(READ):
        yield data
