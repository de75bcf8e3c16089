from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from streamer.clock import ManualClock, settle
from streamer.errors import CaptureError
from streamer.sources.decode import Options, Reader, moment, probe
from streamer.sources.media import Config
from streamer.types import RATE, AudioChunk, VideoFrame
from tests.fakes import Caught

from .files import context, film, tone, write_wav
from .test_probe import of_unknown_codec


class Told(Caught):
    """Says when an item has arrived, so that tests wait for it and not for time to pass."""

    def __init__(self) -> None:
        super().__init__()
        self._news = asyncio.Event()

    async def send(self, item: AudioChunk | VideoFrame) -> None:
        await super().send(item)
        self._news.set()

    async def until(self, count: int) -> None:
        while len(self.items) < count:
            self._news.clear()
            await self._news.wait()


def by_end(path: Path, time: float) -> int:
    """How many items are complete at ``time``."""
    reader = Reader(path, probe(path), Options())
    count = sum(moment(item) <= time + 1e-6 for item in reader.take(1000))
    reader.close()
    return count


def decoding_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("media")]


async def test_a_film_gives_both_tracks_in_time_order(tmp_path: Path) -> None:
    source = Config(path=film(tmp_path / "a.mkv")).build(context(tmp_path))
    out = Caught()
    await source.run(out, ManualClock())
    assert source.tracks == {"audio", "video"}
    assert [moment(i) for i in out.items] == sorted(moment(i) for i in out.items)
    assert sum(len(c.pcm) for c in out.audio) == 2 * RATE
    assert source.duration == pytest.approx(2.0, abs=0.1)
    assert source.position == pytest.approx(2.0, abs=0.1)
    assert source.skew == 0.0
    assert not decoding_threads()


async def test_a_file_as_fast_as_possible_asks_no_clock(tmp_path: Path) -> None:
    """The clock stands still throughout: a source that slept would never end."""
    source = Config(path=film(tmp_path / "a.mkv"), pace="fast").build(context(tmp_path))
    out = Caught()
    await source.run(out, ManualClock())
    assert len(out.audio) == 20


@pytest.mark.parametrize("pace", [1.0, 2.0])
async def test_at_a_pace_nothing_comes_before_it_is_complete(tmp_path: Path, pace: float) -> None:
    path = film(tmp_path / "a.mkv")
    source = Config(path=path, pace=pace).build(context(tmp_path))
    clock, out = ManualClock(), Told()
    task = asyncio.create_task(source.run(out, clock))
    for tick in range(1, 6):
        await clock.advance(0.2 / pace)
        await out.until(by_end(path, 0.2 * tick))
        await settle()
        assert max(moment(i) for i in out.items) <= 0.2 * tick + 1e-6
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelling_ends_the_thread_and_closes_the_file(tmp_path: Path) -> None:
    source = Config(path=film(tmp_path / "a.mkv", seconds=4.0), pace=1.0).build(context(tmp_path))
    out = Told()
    task = asyncio.create_task(source.run(out, ManualClock()))
    await out.until(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not decoding_threads()


async def test_the_reader_does_not_run_away_from_a_slow_taker(tmp_path: Path) -> None:
    source = Config(path=film(tmp_path / "a.mkv", seconds=10.0)).build(context(tmp_path))

    class Stuck(Told):
        async def send(self, item: AudioChunk | VideoFrame) -> None:
            await super().send(item)
            if len(self.items) == 10:
                await asyncio.Event().wait()

    out = Stuck()
    task = asyncio.create_task(source.run(out, ManualClock()))
    await out.until(10)
    await settle(100)
    assert len(out.items) == 10
    assert source.position < 1.0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_loop_stays_responsive_while_a_file_is_decoded(tmp_path: Path) -> None:
    source = Config(path=film(tmp_path / "a.mkv", seconds=4.0)).build(context(tmp_path))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counter = asyncio.create_task(count())
    await source.run(Caught(), ManualClock())
    counter.cancel()
    assert turns > 20


async def test_sound_and_pictures_can_be_left_out(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv")
    silent, blind = Caught(), Caught()
    source = Config(path=path, audio=False).build(context(tmp_path))
    assert source.tracks == {"video"}
    await source.run(silent, ManualClock())
    assert not silent.audio
    assert silent.video
    source = Config(path=path, video=False).build(context(tmp_path))
    assert source.tracks == {"audio"}
    await source.run(blind, ManualClock())
    assert blind.audio
    assert not blind.video


def test_a_file_without_the_wanted_track_is_refused(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone(0.5, RATE), RATE)
    assert Config(path=path).build(context(tmp_path)).tracks == {"audio"}
    with pytest.raises(CaptureError, match=r"a\.wav: holds only audio"):
        Config(path=path, audio=False).build(context(tmp_path))


def test_it_tells_how_many_sound_channels_come(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.zeros((RATE, 3), np.float32), RATE)
    assert Config(path=path).build(context(tmp_path)).channels == 1
    assert Config(path=path, channels=2).build(context(tmp_path)).channels == 1
    assert Config(path=path, channels="split").build(context(tmp_path)).channels == 3


async def test_false_in_the_configuration_lifts_a_limit(tmp_path: Path) -> None:
    table = {"path": film(tmp_path / "a.mkv"), "fps": False, "max_width": False}
    config, out = Config.model_validate(table), Caught()
    assert (config.fps, config.max_width) == (None, None)
    await config.build(context(tmp_path)).run(out, ManualClock())
    assert len(out.video) == 50


def test_a_channel_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.zeros((RATE, 2), np.float32), RATE)
    with pytest.raises(CaptureError, match="no sound channel 2; it has 0 to 1"):
        Config(path=path, channels=2).build(context(tmp_path))


async def test_damage_is_noticed_and_what_was_heard_is_kept(tmp_path: Path) -> None:
    import soundfile

    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 5 * RATE), RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    ctx, out = context(tmp_path), Caught()
    await Config(path=path).build(ctx).run(out, ManualClock())
    assert sum(len(c.pcm) for c in out.audio) > 2 * RATE
    assert "a.flac: ends after" in ctx.notices.all()["end of file"]


async def test_sound_of_an_unknown_codec_is_noticed_before_the_run(tmp_path: Path) -> None:
    path, ctx = of_unknown_codec(film(tmp_path / "a.mkv"), b"A_PCM/INT/LIT"), context(tmp_path)
    assert Config(path=path).build(ctx).tracks == {"video"}
    assert "a.mkv: its sound cannot be decoded" in ctx.notices.all()["media"]
    quiet = context(tmp_path)
    Config(path=path, audio=False).build(quiet)
    assert quiet.notices.all() == {}


async def test_a_sound_file_leaves_no_notice(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    await Config(path=film(tmp_path / "a.mkv")).build(ctx).run(Caught(), ManualClock())
    assert ctx.notices.all() == {}


async def test_a_file_that_vanishes_before_the_run_is_a_capture_error(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv")
    source = Config(path=path).build(context(tmp_path))
    path.unlink()
    with pytest.raises(CaptureError, match="no such file"):
        await source.run(Caught(), ManualClock())
    assert not decoding_threads()


@pytest.mark.parametrize("wrong", [{"pace": 0.0}, {"pace": -1.0}, {"pace": "slow"}, {"channels": "both"}])
def test_values_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Config(path=Path("a.wav"), **wrong)  # type: ignore[arg-type]
