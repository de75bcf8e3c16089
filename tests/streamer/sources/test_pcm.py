from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from streamer.clock import ManualClock, settle
from streamer.context import Context
from streamer.errors import CaptureError
from streamer.sources.pcm import Config
from streamer.types import RATE, Floats
from tests.fakes import Caught
from tests.virtual import until

from .files import context, tone


def s16(pcm: Floats) -> bytes:
    return (pcm * 32767).astype("<i2").tobytes()


def joined(out: Caught, channel: int = 0) -> Floats:
    return np.concatenate([c.pcm for c in out.audio if c.channel == channel])


@contextmanager
def standard_input() -> Iterator[int]:
    """Standard input as a pipe; gives the end to write to."""
    kept = os.dup(0)
    reading, writing = os.pipe()
    os.dup2(reading, 0)
    os.close(reading)
    try:
        yield writing
    finally:
        os.dup2(kept, 0)
        os.close(kept)


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "sound"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 192_000])
async def test_a_file_of_raw_sound_is_read_by_counting_samples(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(s16(tone(1.0, rate)))
    out = Caught()
    source = Config(path=str(path), rate=rate).build(context(tmp_path))
    assert source.tracks == {"audio"}
    await source.run(out, ManualClock())
    heard = joined(out)
    assert len(heard) == RATE
    assert np.abs(heard[200:-200] - tone(1.0, RATE)[200:-200]).max() < 1e-3
    ends = [c.span.end for c in out.audio]
    assert [c.start for c in out.audio] == pytest.approx([0.0, *ends[:-1]])


async def test_floats_and_several_channels_are_read(tmp_path: Path) -> None:
    both = np.stack([tone(0.5, RATE, 300), tone(0.5, RATE, 700)], axis=1)
    path = tmp_path / "a.raw"
    path.write_bytes(both.astype("<f4").tobytes())
    out = Caught()
    options = {"path": str(path), "format": "f32le", "inputs": 2, "channels": "split", "first_channel": 3}
    source = Config.model_validate(options).build(context(tmp_path))
    assert source.channels == 5
    await source.run(out, ManualClock())
    np.testing.assert_array_equal(joined(out, 3), both[:, 0])
    np.testing.assert_array_equal(joined(out, 4), both[:, 1])


async def test_what_is_no_number_becomes_silence_and_what_is_too_loud_is_clipped(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(np.array([np.nan, np.inf, -np.inf, 7.0, 0.5], "<f4").tobytes())
    out = Caught()
    await Config(path=str(path), format="f32le").build(context(tmp_path)).run(out, ManualClock())
    assert joined(out).tolist() == [0.0, 1.0, -1.0, 1.0, 0.5]


async def test_standard_input_is_read_in_pieces_that_need_not_end_with_a_sample(tmp_path: Path) -> None:
    sound, out = s16(tone(0.5, RATE)), Caught()
    with standard_input() as pipe:
        before = os.get_blocking(0)
        task = asyncio.create_task(Config().build(context(tmp_path)).run(out, ManualClock()))
        for at in range(0, len(sound), 3_333):
            os.write(pipe, sound[at : at + 3_333])
            await settle()
        os.close(pipe)
        await task
        assert os.get_blocking(0) is before
    np.testing.assert_allclose(joined(out), tone(0.5, RATE), atol=1e-4)


async def test_live_time_counts_from_the_arrival_of_the_first_sound(fifo: Path) -> None:
    ctx = context(fifo.parent)
    live = Context(session=replace(ctx.session, live=True), state_dir=ctx.state_dir)
    clock, out = ManualClock(), Caught()
    task = asyncio.create_task(Config(path=str(fifo)).build(live).run(out, clock))
    await settle()
    await clock.advance(7.0)
    with fifo.open("wb", buffering=0) as writer:
        writer.write(s16(tone(0.1, RATE)))
        await until(lambda: out.audio)
    await task
    assert out.audio[0].start == pytest.approx(6.9)


async def test_live_what_piled_up_before_the_start_is_left_out(fifo: Path) -> None:
    ctx = context(fifo.parent)
    live = Context(session=replace(ctx.session, live=True), state_dir=ctx.state_dir)
    clock, out = ManualClock(), Caught()
    old, new = s16(tone(0.5, RATE, 300.0)), s16(tone(0.1, RATE, 700.0))
    task = asyncio.create_task(Config(path=str(fifo)).build(live).run(out, clock))
    await settle()
    with fifo.open("wb", buffering=0) as writer:
        writer.write(old + new[:1])  # half a sample, too
        await settle()
        await clock.advance(0.1)
        writer.write(new[1:])
        await until(lambda: out.audio)
    await task
    np.testing.assert_allclose(joined(out), tone(0.1, RATE, 700.0), atol=1e-4)
    assert out.audio[0].start == pytest.approx(0.0, abs=1e-3)


async def test_live_a_recording_that_comes_all_at_once_is_taken_whole(fifo: Path) -> None:
    ctx = context(fifo.parent)
    live = Context(session=replace(ctx.session, live=True), state_dir=ctx.state_dir)
    for seconds in (0.5, 15.0):  # ends at once, or does not seem to end
        out = Caught()
        task = asyncio.create_task(Config(path=str(fifo)).build(live).run(out, ManualClock()))
        await settle()
        with fifo.open("wb", buffering=0) as writer:
            await asyncio.get_running_loop().run_in_executor(None, writer.write, s16(tone(seconds, RATE)))
        await task
        assert len(joined(out)) == seconds * RATE


async def test_a_named_pipe_may_wait_for_its_writer_and_ends_with_it(fifo: Path) -> None:
    out = Caught()
    task = asyncio.create_task(Config(path=str(fifo)).build(context(fifo.parent)).run(out, ManualClock()))
    await settle()
    assert not task.done()
    with fifo.open("wb", buffering=0) as writer:
        writer.write(s16(tone(0.1, RATE)))
        await until(lambda: out.audio)
        assert not task.done()
    await task
    assert len(joined(out)) == 1600


async def test_waiting_for_sound_can_be_cancelled_at_once(fifo: Path) -> None:
    source = Config(path=str(fifo)).build(context(fifo.parent))
    task = asyncio.create_task(source.run(Caught(), ManualClock()))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_end_in_the_middle_of_a_sample_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(s16(tone(0.1, RATE)) + b"\x01")
    ctx, out = context(tmp_path), Caught()
    await Config(path=str(path)).build(ctx).run(out, ManualClock())
    assert len(joined(out)) == 1600
    assert "middle of a sample" in ctx.notices.all()["pcm"]


async def test_an_input_that_ends_without_sound_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.raw").touch()
    source = Config(path=str(tmp_path / "a.raw")).build(context(tmp_path))
    with pytest.raises(CaptureError, match="ended without any sound"):
        await source.run(Caught(), ManualClock())


async def test_a_folder_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="cannot be read"):
        await Config(path=str(tmp_path)).build(context(tmp_path)).run(Caught(), ManualClock())


def test_a_missing_pipe_and_a_terminal_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    with pytest.raises(CaptureError, match="mkfifo"):
        Config(path=str(tmp_path / "none")).build(context(tmp_path))
    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(CaptureError, match="arecord -q -t raw"):
        Config().build(context(tmp_path))
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(CaptureError, match="closed"):
        Config().build(context(tmp_path))


@pytest.mark.parametrize("wrong", [{"rate": 4000}, {"rate": 400_000}, {"channels": 1}, {"format": "mp3"}])
def test_values_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Config(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
async def test_a_device_that_nothing_comes_from_is_refused(tmp_path: Path, device: str) -> None:
    source = Config(path=device).build(context(tmp_path))
    with pytest.raises(CaptureError, match=f"{device}: is a device that nothing comes from"):
        await source.run(Caught(), ManualClock())
