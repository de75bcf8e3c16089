"""``kind = "microphone"``: live sound through PortAudio, watched over and opened again when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from ..clock import Clock
from ..context import Context
from ..errors import CaptureError
from ..seams import Out
from ..types import AudioChunk, Cut, Floats
from . import portaudio
from .level import Level
from .sound import RATES, pick
from .stamp import Stamper
from .worker import Worker, tell

LOOK = 0.25  # seconds between two looks at the device
SILENT = 1.5  # seconds without a block: the device has stopped
STARTING = 5.0  # seconds that the first block may take; a sound server needs up to two
CLOSING = 5.0  # seconds that a driver may take to let go of its device
PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds between attempts to open again; the last one stays


class Config(BaseModel):
    """A microphone or any other input of this computer's sound system."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: int | str | None = Field(
        None, description="number or (part of the) name as `lmam devices` shows; none: the system's default"
    )
    channels: Literal["mix", "split"] | int = Field(
        "mix", description="mix all sound channels, use the one of this number, or split: one speaker each"
    )
    inputs: int | None = Field(
        None, ge=1, le=64, description="sound channels to open; none: two (or one) to mix, two to split"
    )
    first_channel: int = Field(
        0, ge=0, description="number of the first speaker's channel; keeps two microphones apart"
    )
    rate: int | None = Field(
        None, ge=RATES[0], le=RATES[1], description="Hz; none: 16000, or the device's own where it cannot"
    )
    chunk: float = Field(0.032, ge=0.005, le=0.5, description="seconds of sound handed over at a time")
    latency: Literal["low", "high"] = Field(
        "high", description="PortAudio's buffering: low answers sooner, high loses less on a busy machine"
    )

    def build(self, context: Context) -> Microphone:
        """Find the device.

        Raises:
            CaptureError: PortAudio or the device is missing, or it has too few channels.
        """
        found = portaudio.find(self.device)
        need, exact = self.width
        if exact and need > found.channels:
            raise CaptureError(
                f"microphone {found.name!r} has {found.channels} channels; {need} are asked for"
            )
        return Microphone(self, context)

    @property
    def width(self) -> tuple[int, bool]:
        """How many channels to open, and whether fewer will not do."""
        if self.inputs is not None:
            return self.inputs, True
        if self.channels == "mix":
            return 2, False
        return (2, True) if self.channels == "split" else (self.channels + 1, True)


class Opened(Protocol):
    """What `Microphone` needs of an open device; `portaudio.Input` has it."""

    @property
    def rate(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def active(self) -> bool: ...
    def close(self) -> None: ...


class System(Protocol):
    """What `Microphone` needs of the module `portaudio`."""

    def look_again(self) -> bool: ...
    def open_input(
        self,
        device: int | str | None,
        width: int,
        exact: bool,
        rate: int | None,
        seconds: float,
        latency: Literal["low", "high"],
        heard: portaudio.Heard,
    ) -> Opened: ...


class Microphone:
    """A `streamer.seams.Source`."""

    def __init__(self, config: Config, context: Context, system: System = portaudio) -> None:
        self._config, self._system = config, system
        self._notices = context.notices
        self._origin = "microphone" if config.device is None else f"microphone {config.device}"
        self._stamper = Stamper(config.chunk, config.first_channel)
        self._level: Level | None = None
        self._input: Opened | None = None
        self._heard: float | None = None  # when the last block arrived
        self._opening = 0  # which one; late blocks of an earlier one do not count
        self._fresh = False

    @property
    def tracks(self) -> frozenset[str]:
        return frozenset({"audio"})

    @property
    def channels(self) -> int:
        """How many sound channels its chunks are numbered by."""
        c = self._config
        return c.first_channel + (c.width[0] if c.channels == "split" else 1)

    @property
    def drift(self) -> float:
        """Seconds by which the clock has run ahead of the count of samples."""
        return self._stamper.drift

    async def run(self, out: Out, clock: Clock) -> None:
        worker = Worker("microphone")
        attempts, started = 0, False
        try:
            while True:
                try:
                    await worker.call(self._open, asyncio.get_running_loop(), out, clock, attempts > 0)
                except CaptureError as error:
                    if not started:
                        raise
                    trouble = str(error)
                else:
                    started = True
                    began = clock.now()
                    trouble = await self._watch(clock, began)
                    if self._heard is not None and self._heard >= began:
                        attempts = 0
                    self._opening += 1
                    self._offer(out, self._stamper.interrupt())
                    worker = await self._let_go(worker)
                self._notices.set(self._origin, f"{trouble}; trying again")
                for channel in range(self._config.first_channel, self.channels):
                    out.offer(Cut(clock.now(), channel))  # what was being said is over; faces go on
                await clock.sleep_until(clock.now() + PAUSES[min(attempts, len(PAUSES) - 1)])
                attempts += 1
        finally:
            self._opening += 1  # blocks that are under way come too late
            self._offer(out, self._stamper.interrupt())
            worker.call(self._close)
            await worker.close()

    def _open(self, loop: asyncio.AbstractEventLoop, out: Out, clock: Clock, again: bool) -> None:
        """In the worker. ``again``: the device may have been plugged in since PortAudio looked."""
        if again:
            self._system.look_again()
        opening, self._fresh = self._opening, True

        def heard(block_NC: Floats, lost: bool) -> None:
            tell(loop, self._take, out, opening, block_NC, clock.now(), lost)

        c, (width, exact) = self._config, self._config.width
        self._input = self._system.open_input(c.device, width, exact, c.rate, c.chunk, c.latency, heard)

    async def _let_go(self, worker: Worker) -> Worker:
        """Close the device; the worker to go on with, another one where the driver hangs in closing it."""
        done, _ = await asyncio.wait([worker.call(self._close)], timeout=CLOSING)
        if done:
            done.pop().result()
            return worker
        await worker.close(0)
        return Worker("microphone")

    def _close(self) -> None:
        """In the worker."""
        stream, self._input = self._input, None
        if stream is not None:
            stream.close()

    async def _watch(self, clock: Clock, began: float) -> str:
        """Return in words why there is no more sound."""
        while True:
            await clock.sleep_until(clock.now() + LOOK)
            stream, now = self._input, clock.now()
            heard = self._heard if self._heard is not None and self._heard >= began else None
            if stream is None or not stream.active:
                return "the device has stopped: unplugged?"
            if heard is None and now - began > STARTING:
                return f"no sound within {STARTING:g} s of opening the device"
            if heard is not None and now - heard > SILENT:
                return f"no sound for {now - heard:.1f} s: unplugged?"

    def _take(self, out: Out, opening: int, block_NC: Floats, now: float, lost: bool) -> None:
        stream = self._input
        if stream is None or opening != self._opening:
            return
        pcm_KN = pick(block_NC.T, self._config.channels)
        begin = now - len(block_NC) / stream.rate
        if self._fresh:
            self._fresh, lost = False, False
            self._stamper.resume(stream.rate, len(pcm_KN), begin)
            self._level = Level(stream.rate, len(pcm_KN))
        self._heard = now
        self._offer(out, self._stamper.push(pcm_KN, stream.rate, begin, lost))
        assert self._level is not None
        self._level.push(pcm_KN)
        self._notices.set(self._origin, self._level.complaint)

    def _offer(self, out: Out, chunks: Iterable[AudioChunk]) -> None:
        for chunk in chunks:
            out.offer(chunk)
