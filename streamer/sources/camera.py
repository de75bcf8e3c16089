"""What all live cameras need: reading in a thread, the newest picture, a watch over it, opening again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..clock import Clock
from ..context import Notices
from ..errors import CaptureError
from ..seams import Out
from ..types import Picture, VideoFrame
from .beat import Beat
from .worker import tell

LOOK = 0.25  # seconds between two looks at the camera
PATIENCE = 0.7  # seconds that a thread gets to end; then it is left behind


class RefusedError(CaptureError):
    """Trying again will not help: wrong address, wrong password."""


class Pictures(Protocol):
    """An open camera, used by one thread."""

    def grab(self) -> bool:
        """Wait for the next picture; False at the end. May raise `CaptureError`."""

    def retrieve(self) -> Picture | None:
        """The picture grabbed last, bgr uint8 ``[H, W, 3]``; None if it is damaged."""

    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Watch:
    """When (in seconds) a camera has failed, and how long to wait before it is opened again."""

    opening: float = 10.0  # until the first picture
    silent: float = 2.0  # without a picture
    frozen: float | None = 3.0  # with the same picture over and over; None: that is no fault
    pauses: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)  # the last one stays
    wait_at_start: bool = False  # keep trying even if it was never there


class Camera:
    """A `streamer.seams.Source` around ``open_camera``, which may block and may raise `CaptureError`.

    Pictures are stamped when they have been read. One that equals the one before is stale or a still
    life: it counts as a picture, until ``frozen`` seconds of them count as a fault.
    """

    def __init__(
        self,
        origin: str,
        open_camera: Callable[[], Pictures],
        notices: Notices,
        watch: Watch,
        fps: float | None,
    ) -> None:
        self._origin, self._open_camera, self._notices = origin, open_camera, notices
        self._rules, self._fps = watch, fps
        self._last: Picture | None = None  # outlives a reopening: a frozen camera may stay frozen
        self._changed: float | None = None

    @property
    def tracks(self) -> frozenset[str]:
        return frozenset({"video"})

    async def run(self, out: Out, clock: Clock) -> None:
        attempts, ever = 0, False
        while True:
            visit = _Visit(self, out, clock, attempts)
            try:
                trouble = await self._watch(visit, clock)
            finally:
                await visit.end()
            ever = ever or visit.fresh
            if isinstance(trouble, BaseException) and (not ever or not isinstance(trouble, CaptureError)):
                hopeful = isinstance(trouble, CaptureError) and not isinstance(trouble, RefusedError)
                if not (hopeful and self._rules.wait_at_start):
                    raise trouble
            attempts = 0 if visit.fresh else attempts
            self._notices.set(self._origin, f"{trouble}; trying again")
            pause = self._rules.pauses[min(attempts, len(self._rules.pauses) - 1)]
            await clock.sleep_until(clock.now() + pause)
            attempts += 1

    async def _watch(self, visit: _Visit, clock: Clock) -> BaseException | str:
        """Return in words why there are no more pictures."""
        began = clock.now()
        while True:
            await clock.sleep_until(clock.now() + LOOK)
            now = clock.now()
            if visit.trouble is not None:
                return visit.trouble
            if visit.seen is None:
                if now - began > self._rules.opening:
                    return f"no picture within {self._rules.opening:g} s of opening the camera"
            elif now - visit.seen > self._rules.silent:
                return f"no picture for {now - visit.seen:.1f} s: unplugged?"
            elif self._frozen(now):
                return f"the same picture for {now - (self._changed or 0.0):.1f} s: frozen?"

    def look(self, bgr: Picture, now: float) -> bool:
        """Called by the reading thread: whether ``bgr`` is worth passing on."""
        if self._last is None or not np.array_equal(self._last, bgr):
            self._changed = now
        self._last = bgr
        return not self._frozen(now)

    def _frozen(self, now: float) -> bool:
        limit = self._rules.frozen
        return limit is not None and self._changed is not None and now - self._changed > limit

    def pass_on(self, out: Out, frame: VideoFrame) -> None:
        self._notices.set(self._origin, None)
        out.offer(frame)

    def opened(self) -> Pictures:
        return self._open_camera()

    @property
    def name(self) -> str:
        return self._origin

    def beat(self) -> Beat:
        return Beat(self._fps)


class _Visit:
    """One opening of the camera and the thread that reads from it.

    ``seen`` is when the last picture came, ``fresh`` whether one was worth passing on, ``trouble`` why the
    thread has ended.
    """

    def __init__(self, camera: Camera, out: Out, clock: Clock, number: int) -> None:
        self.trouble: BaseException | str | None = None
        self.seen: float | None = None
        self.fresh = False
        self._camera, self._out, self._clock = camera, out, clock
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._ended = self._loop.create_future()
        self._newest: VideoFrame | None = None
        self._passed: VideoFrame | None = None
        self._coming = False
        self._thread = threading.Thread(target=self._read, name=camera.name, daemon=True)
        self._thread.start()

    async def end(self) -> None:
        """Stop the thread; one that hangs in the driver is left behind and closes the camera later."""
        self._stop.set()
        done, _ = await asyncio.wait([self._ended], timeout=PATIENCE)
        if done:
            self._thread.join()

    def _read(self) -> None:
        try:
            self._visit()
        except BaseException as error:  # the run raises it
            self.trouble = error
        tell(self._loop, self._end)

    def _visit(self) -> None:
        try:
            pictures = self._camera.opened()
        except CaptureError as error:
            self.trouble = error
        else:
            try:
                self._read_from(pictures)
            except CaptureError as error:
                self.trouble = str(error)
            finally:
                pictures.close()

    def _read_from(self, pictures: Pictures) -> None:
        beat = self._camera.beat()
        while not self._stop.is_set():
            if not pictures.grab():
                self.trouble = "the camera gives no more pictures: unplugged?"
                return
            now = self._clock.now()
            if not beat.due(now):
                self.seen = now
                continue
            bgr = pictures.retrieve()
            if bgr is None:
                continue
            self.seen = now
            if self._camera.look(bgr, now):
                self._newest = VideoFrame(bgr, now)
                if not self._coming:  # else the loop is about to come for the newest anyway
                    self._coming = True
                    tell(self._loop, self._take)

    def _take(self) -> None:
        self._coming = False
        frame = self._newest
        if frame is not None and frame is not self._passed and not self._stop.is_set():
            self._passed, self.fresh = frame, True
            self._camera.pass_on(self._out, frame)

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)
