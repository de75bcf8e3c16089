"""Cameras on the loopback network: they come, go, freeze and refuse."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from streamer.clock import StreamClock
from streamer.context import Context, Session
from streamer.errors import CaptureError
from streamer.sources.network_camera import Config
from streamer.types import VideoFrame
from tests.fakes import Caught
from tests.rtsp import rtsp_camera
from tests.virtual import ffmpeg, free_port, mjpeg_camera, until

pytestmark = pytest.mark.timeout(120)


class Watching(Caught):
    async def more(self, count: int) -> None:
        target = len(self.items) + count
        await until(lambda: len(self.items) >= target)


class Bench:
    def __init__(self, tmp_path: Path, url: str, **options: object) -> None:
        session = Session(conversation="test", purpose="research", consent="self", live=True)
        self.context = Context(session=session, state_dir=tmp_path)
        self.out, self.clock = Watching(), StreamClock()
        self.source = Config(url=url, **options).build(self.context)  # type: ignore[arg-type]
        self.task = asyncio.create_task(self.source.run(self.out, self.clock))

    @property
    def notice(self) -> str:
        return self.context.notices.all().get("network_camera", "")


@asynccontextmanager
async def watching(tmp_path: Path, url: str, **options: object) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, url, **options)
    try:
        yield bench
    finally:
        bench.task.cancel()
        await asyncio.gather(bench.task, return_exceptions=True)
        await until(lambda: not [t for t in threading.enumerate() if t.name == "network_camera"])


def assert_moving(frames: list[VideoFrame]) -> None:
    times = [f.time for f in frames]
    assert times == sorted(times)
    assert all(f.bgr.shape == (120, 160, 3) for f in frames)
    changed = sum(not np.array_equal(a.bgr, b.bgr) for a, b in pairwise(frames))
    assert changed > 0.8 * (len(frames) - 1)


async def test_mjpeg_over_http_is_seen_at_the_wanted_rate(tmp_path: Path) -> None:
    async with mjpeg_camera() as camera, watching(tmp_path, camera.url, fps=10.0) as bench:
        await bench.out.more(20)
        assert_moving(bench.out.video)
        first, last = bench.out.video[0].time, bench.out.video[-1].time
        assert 19 / (last - first) < 12.5
        assert bench.notice == ""


async def test_a_camera_that_restarts_is_found_again(tmp_path: Path) -> None:
    async with mjpeg_camera() as camera, watching(tmp_path, camera.url) as bench:
        await bench.out.more(5)
        await camera.stop()
        await until(lambda: "trying again" in bench.notice)
        gone = bench.clock.now()
        await camera.start()
        await bench.out.more(5)
        assert bench.notice == ""
        assert bench.out.video[-5].time > gone
        assert_moving(bench.out.video)


async def test_a_camera_that_is_away_at_the_start_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    async with watching(tmp_path, f"http://viewer:secret@127.0.0.1:{port}/video.mjpg") as bench:
        await until(lambda: bench.notice)
        address = f"http://127.0.0.1:{port}/video.mjpg"
        assert bench.notice == f"{address}: cannot be opened (Connection refused); trying again"
        async with mjpeg_camera(port):
            await bench.out.more(3)
            assert bench.notice == ""


async def test_a_camera_that_falls_silent_is_noticed(tmp_path: Path) -> None:
    async with mjpeg_camera() as camera, watching(tmp_path, camera.url, timeout=1.0) as bench:
        await bench.out.more(5)
        camera.mute = True
        await until(lambda: "trying again" in bench.notice)
        camera.mute = False
        await bench.out.more(5)
        assert bench.notice == ""


async def test_a_camera_that_repeats_one_picture_is_noticed(tmp_path: Path) -> None:
    async with mjpeg_camera() as camera, watching(tmp_path, camera.url, frozen_after=1.0) as bench:
        await bench.out.more(5)
        camera.frozen = True
        await until(lambda: "the same picture for" in bench.notice)
        camera.frozen = False
        await bench.out.more(5)
        assert bench.notice == ""


async def test_rtsp_is_seen_and_its_restart_survived(tmp_path: Path) -> None:
    async with rtsp_camera(password="secret") as camera:
        url = f"rtsp://viewer:secret@127.0.0.1:{camera.port}/live"
        async with watching(tmp_path, url) as bench:
            await bench.out.more(15)
            assert_moving(bench.out.video)
            await camera.stop()
            await until(lambda: "trying again" in bench.notice)
            assert "secret" not in bench.notice
            await camera.start()
            await bench.out.more(5)
            assert bench.notice == ""


async def test_a_wrong_password_is_an_error_that_does_not_tell_it(tmp_path: Path) -> None:
    async with rtsp_camera(password="secret") as camera:
        url = f"rtsp://viewer:guess@127.0.0.1:{camera.port}/live"
        async with watching(tmp_path, url) as bench:
            with pytest.raises(CaptureError, match="wrong user or password") as caught:
                await bench.task
            assert "guess" not in str(caught.value)


async def test_mpeg_ts_over_udp_is_seen(tmp_path: Path) -> None:
    port = free_port()
    film = ["-re", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=25", "-c:v", "mpeg2video", "-g", "10"]
    target = f"udp://127.0.0.1:{port}?pkt_size=1316"
    with ffmpeg(*film, "-f", "mpegts", target):
        async with watching(tmp_path, f"udp://127.0.0.1:{port}") as bench:
            await bench.out.more(15)
            assert [f.bgr.shape for f in bench.out.video[:1]] == [(120, 160, 3)]
            assert bench.notice == ""


async def test_stopping_does_not_wait_for_a_camera_that_never_answers(tmp_path: Path) -> None:
    """It accepts the connection and says nothing: opening blocks until its time limit."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/"
        async with watching(tmp_path, url, timeout=2.0) as bench:
            await until(lambda: [t for t in threading.enumerate() if t.name == "network_camera"])
            bench.task.cancel()
            await asyncio.gather(bench.task, return_exceptions=True)
            assert bench.task.cancelled()
            assert [t.daemon for t in threading.enumerate() if t.name == "network_camera"] == [True]
