from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from streamer.clock import ManualClock, settle
from streamer.errors import CaptureError
from streamer.sources.camera import LOOK, Camera, RefusedError, Watch
from streamer.types import Picture
from tests.fakes import Caught
from tests.virtual import until

from .files import context


class FakeCamera:
    """Gives the pictures that a test shows it; ``None`` is its end, an exception its failure."""

    def __init__(self) -> None:
        self._shown: queue.SimpleQueue[Picture | Exception | None] = queue.SimpleQueue()
        self._picture: Picture | None = None
        self.closed, self.waiting = threading.Event(), threading.Event()

    def show(self, shown: Picture | Exception | None) -> None:
        self.waiting.clear()
        self._shown.put(shown)

    def grab(self) -> bool:
        if self._shown.empty():
            self.waiting.set()
        shown = self._shown.get()
        if isinstance(shown, Exception):
            raise shown
        self._picture = shown
        return shown is not None

    def retrieve(self) -> Picture | None:
        return self._picture

    def close(self) -> None:
        self.closed.set()


class Bench:
    def __init__(self, tmp_path: Path, *cameras: FakeCamera | Exception, fps: float | None, **rules: object):
        self.cameras, self.opened = list(cameras), 0
        self.context, self.out, self.clock = context(tmp_path), Caught(), ManualClock()
        watch = Watch(**rules)  # type: ignore[arg-type]
        self.source = Camera("webcam", self._open, self.context.notices, watch, fps)
        self.task = asyncio.create_task(self.source.run(self.out, self.clock))

    def _open(self) -> FakeCamera:
        self.opened += 1
        camera = self.cameras[min(self.opened, len(self.cameras)) - 1]
        if isinstance(camera, Exception):
            raise camera
        return camera

    @property
    def notice(self) -> str | None:
        return self.context.notices.all().get("webcam")

    async def show(self, camera: FakeCamera, shown: Picture, after: float = 0.1) -> None:
        """Let time pass, show a picture and wait until it has been dealt with."""
        await self.clock.advance(after)
        camera.show(shown)
        await until(camera.waiting.is_set)
        await settle()

    async def until_asleep(self) -> None:
        await settle()
        await until(lambda: self.clock._sleepers or self.task.done())

    async def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / LOOK)):
            await self.clock.advance(LOOK)
            await self.until_asleep()


@asynccontextmanager
async def bench(
    tmp_path: Path, *cameras: FakeCamera | Exception, fps: float | None = None, **rules: object
) -> AsyncIterator[Bench]:
    b = Bench(tmp_path, *cameras, fps=fps, **rules)
    try:
        await until(lambda: b.opened)
        await b.until_asleep()
        yield b
    finally:
        for camera in cameras:
            if isinstance(camera, FakeCamera):
                camera.show(None)  # so that the thread comes out of the driver
        b.task.cancel()
        await asyncio.gather(b.task, return_exceptions=True)
        await until(lambda: not [t for t in threading.enumerate() if t.name == "webcam"])


def picture(number: int) -> Picture:
    return np.full((4, 4, 3), number, np.uint8)


async def test_pictures_are_stamped_when_they_are_read(tmp_path: Path) -> None:
    camera = FakeCamera()
    async with bench(tmp_path, camera) as b:
        for number in range(3):
            await b.show(camera, picture(number))
        assert b.source.tracks == {"video"}
        assert [f.time for f in b.out.video] == pytest.approx([0.1, 0.2, 0.3])
        assert [int(f.bgr[0, 0, 0]) for f in b.out.video] == [0, 1, 2]
        assert b.notice is None
    assert camera.closed.is_set()


async def test_while_the_loop_is_busy_only_the_newest_picture_is_kept(tmp_path: Path) -> None:
    camera = FakeCamera()
    async with bench(tmp_path, camera) as b:
        for number in range(50):
            camera.show(picture(number))
        camera.waiting.wait()  # this blocks the loop until the thread has read them all
        await settle()
        assert [int(f.bgr[0, 0, 0]) for f in b.out.video] == [49]


async def test_no_more_pictures_than_wanted_are_used(tmp_path: Path) -> None:
    camera = FakeCamera()
    async with bench(tmp_path, camera, fps=5.0) as b:
        for number in range(20):
            await b.show(camera, picture(number), after=0.05)
        assert len(b.out.video) == 5


async def test_a_camera_that_is_absent_at_the_start_is_an_error(tmp_path: Path) -> None:
    async with bench(tmp_path, CaptureError("webcam 0 is not there")) as b:
        await b.clock.advance(LOOK)
        with pytest.raises(CaptureError, match="webcam 0 is not there"):
            await b.task


async def test_one_that_may_be_away_at_the_start_is_waited_for(tmp_path: Path) -> None:
    camera = FakeCamera()
    away = CaptureError("nobody answers")
    async with bench(tmp_path, away, away, camera, wait_at_start=True) as b:
        await b.pass_time(LOOK)
        assert b.notice == "nobody answers; trying again"
        await b.pass_time(3.0)
        assert b.opened == 3
        await b.show(camera, picture(1))
        assert b.notice is None
        assert len(b.out.video) == 1


async def test_one_that_refuses_is_an_error_even_then(tmp_path: Path) -> None:
    async with bench(tmp_path, RefusedError("wrong password"), wait_at_start=True) as b:
        await b.clock.advance(LOOK)
        with pytest.raises(CaptureError, match="wrong password"):
            await b.task


@pytest.mark.parametrize("end", [None, CaptureError("connection lost")])
async def test_a_camera_that_ends_is_noticed_and_opened_again(tmp_path: Path, end: Exception | None) -> None:
    first, second = FakeCamera(), FakeCamera()
    async with bench(tmp_path, first, second) as b:
        await b.show(first, picture(1))
        first.show(end)
        await until(first.closed.is_set)
        await b.pass_time(LOOK)
        assert b.notice is not None
        assert b.notice.endswith("trying again")
        await b.pass_time(1.0)
        assert b.opened == 2
        await b.show(second, picture(2))
        assert b.notice is None
        assert len(b.out.video) == 2


async def test_attempts_become_rarer_until_pictures_come(tmp_path: Path) -> None:
    first = FakeCamera()
    async with bench(tmp_path, first, CaptureError("gone"), pauses=(1.0, 2.0, 4.0)) as b:
        await b.show(first, picture(1))
        first.show(None)
        await until(first.closed.is_set)
        opened = []
        for _ in range(60):
            await b.pass_time(LOOK)
            if b.opened > len(opened) + 1:
                opened.append(b.clock.now())
        pauses = [b - a for a, b in pairwise(opened)]
        assert pauses == pytest.approx([2.25, 4.25, 4.25])


async def test_a_camera_that_hangs_is_noticed_after_two_seconds(tmp_path: Path) -> None:
    first, second = FakeCamera(), FakeCamera()
    async with bench(tmp_path, first, second) as b:
        await b.show(first, picture(1))
        await b.pass_time(2.0)
        assert b.notice is None
        await b.pass_time(2 * LOOK)
        assert b.notice is not None
        assert "no picture for 2" in b.notice
        await b.pass_time(1.0)
        await b.show(second, picture(2))
        assert b.notice is None


async def test_a_frozen_camera_is_noticed_though_it_keeps_succeeding(tmp_path: Path) -> None:
    first, second = FakeCamera(), FakeCamera()
    async with bench(tmp_path, first, second) as b:
        for _ in range(32):
            await b.show(first, picture(7))
        await b.pass_time(LOOK)
        assert b.notice is not None
        assert "the same picture for 3" in b.notice
        count = len(b.out.video)
        assert max(f.time for f in b.out.video) <= 3.2  # stale pictures are not passed on
        await b.pass_time(1.0)
        await b.show(second, picture(7))  # opened again and still frozen
        assert len(b.out.video) == count
        assert b.notice is not None
        await b.show(second, picture(8))
        assert len(b.out.video) == count + 1
        assert b.notice is None


async def test_a_still_life_may_be_allowed(tmp_path: Path) -> None:
    camera = FakeCamera()
    async with bench(tmp_path, camera, frozen=None) as b:
        for _ in range(60):
            await b.show(camera, picture(7))
        assert b.notice is None
        assert len(b.out.video) == 60


async def test_a_camera_that_never_gives_a_picture_is_noticed(tmp_path: Path) -> None:
    async with bench(tmp_path, FakeCamera(), opening=3.0) as b:
        await b.pass_time(3.5)
        assert b.notice is not None
        assert b.notice.startswith("no picture within 3 s of opening the camera")


async def test_a_fault_in_the_program_ends_the_run(tmp_path: Path) -> None:
    camera = FakeCamera()
    async with bench(tmp_path, camera) as b:
        camera.show(ZeroDivisionError())
        await until(camera.closed.is_set)
        await b.clock.advance(LOOK)
        with pytest.raises(ZeroDivisionError):
            await b.task


async def test_stopping_does_not_wait_for_a_driver_that_hangs(tmp_path: Path) -> None:
    camera = FakeCamera()
    source = Camera("stuck", lambda: camera, context(tmp_path).notices, Watch(), None)
    task = asyncio.create_task(source.run(Caught(), ManualClock()))
    await until(camera.waiting.is_set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not camera.closed.is_set()
    camera.show(picture(1))  # the driver comes back at last: the thread closes the camera and ends
    await until(camera.closed.is_set)
    for thread in [t for t in threading.enumerate() if t.name == "stuck"]:
        thread.join()
