from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from streamer.clock import ManualClock, settle
from streamer.context import Context
from streamer.errors import CaptureError
from streamer.sources.microphone import LOOK, SILENT, STARTING, Config, Microphone
from streamer.sources.portaudio import Heard
from streamer.types import RATE, Cut, Floats
from tests.fakes import Caught
from tests.virtual import until

from .files import context, tone


class FakeInput:
    def __init__(self, heard: Heard, rate: int, width: int) -> None:
        self.heard, self.rate, self.width = heard, rate, width
        self.name, self.active, self.closed = "fake", True, False

    def close(self) -> None:
        self.active, self.closed = False, True


class FakeSystem:
    """A sound system whose one device a test plugs and unplugs; ``rate`` is all it can do."""

    def __init__(self, rate: int = RATE) -> None:
        self.rate, self.plugged, self.looks = rate, True, 0
        self.opened: list[FakeInput] = []
        self._news = threading.Condition()

    def look_again(self) -> bool:
        self.looks += 1
        return True

    def open_input(
        self,
        device: int | str | None,
        width: int,
        exact: bool,
        rate: int | None,
        seconds: float,
        latency: str,
        heard: Heard,
    ) -> FakeInput:
        if not self.plugged:
            raise CaptureError("no microphone; inputs found: none")
        self.opened.append(FakeInput(heard, rate or self.rate, width))
        return self.opened[-1]


class Bench:
    """A running `Microphone` with its surroundings."""

    def __init__(self, tmp_path: Path, system: FakeSystem, config: Config) -> None:
        self.context: Context = context(tmp_path)
        self.system, self.clock, self.out = system, ManualClock(), Caught()
        self.source = Microphone(config, self.context, system)
        self.task = asyncio.create_task(self.source.run(self.out, self.clock))

    @property
    def notice(self) -> str | None:
        return self.context.notices.all().get("microphone")

    async def opened(self, count: int) -> FakeInput:
        """The stream of that number, once the source waits for its sound."""
        await until(lambda: len(self.system.opened) >= count)
        await self.until_asleep()
        return self.system.opened[count - 1]

    async def speak(self, stream: FakeInput, seconds: float, pcm_NC: Floats | None = None) -> None:
        """Blocks of 32 ms, each handed over at its end."""
        size = round(0.032 * stream.rate)
        if pcm_NC is None:
            pcm_NC = np.repeat(tone(seconds, stream.rate)[:, None], stream.width, axis=1)
        for i in range(0, len(pcm_NC) - size + 1, size):
            await self.clock.advance(0.032)
            stream.heard(pcm_NC[i : i + size], False)
            await settle()

    async def until_asleep(self) -> None:
        """The worker has done what was asked of it and the source sleeps again."""
        await settle()
        await until(lambda: self.clock._sleepers)


@asynccontextmanager
async def bench(tmp_path: Path, system: FakeSystem | None = None, **options: object) -> AsyncIterator[Bench]:
    b = Bench(tmp_path, system or FakeSystem(), Config(**options))  # type: ignore[arg-type]
    try:
        yield b
    finally:
        b.task.cancel()
        with pytest.raises((asyncio.CancelledError, CaptureError)):
            await b.task
        assert not [t for t in threading.enumerate() if t.name == "microphone"]
        assert all(stream.closed for stream in b.system.opened)


async def test_sound_is_stamped_from_its_first_sample_on(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        stream = await b.opened(1)
        await b.clock.advance(0.2)
        await b.speak(stream, 0.32)
        assert b.source.tracks == {"audio"}
        assert [c.start for c in b.out.audio] == pytest.approx([0.2 + 0.032 * i for i in range(10)])
        heard = np.concatenate([c.pcm for c in b.out.audio])
        np.testing.assert_allclose(heard, tone(0.32, RATE), atol=1e-6)
        assert b.notice is None
        assert abs(b.source.drift) < 1e-6


async def test_a_device_with_another_rate_is_resampled_without_seams(tmp_path: Path) -> None:
    async with bench(tmp_path, FakeSystem(44_100)) as b:
        await b.speak(await b.opened(1), 1.0)
        heard = np.concatenate([c.pcm for c in b.out.audio])
        ideal = tone(1.0, RATE)[: len(heard)]
        assert np.abs(heard[200:-200] - ideal[200:-200]).max() < 1e-3


async def test_split_gives_each_speaker_a_channel(tmp_path: Path) -> None:
    both = np.stack([tone(0.1, RATE, 300), tone(0.1, RATE, 700)], axis=1)
    async with bench(tmp_path, channels="split", first_channel=2) as b:
        await b.speak(await b.opened(1), 0.1, both)
        assert {c.channel for c in b.out.audio} == {2, 3}
        second = np.concatenate([c.pcm for c in b.out.audio if c.channel == 3])
        np.testing.assert_array_equal(second, both[: len(second), 1])


async def test_an_absent_device_is_an_error_at_the_start(tmp_path: Path) -> None:
    system = FakeSystem()
    system.plugged = False
    async with bench(tmp_path, system) as b:
        with pytest.raises(CaptureError, match="no microphone"):
            await b.task


async def test_an_unplugged_device_is_noticed_and_opened_again_and_the_time_between_is_a_gap(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as b:
        stream = await b.opened(1)
        await b.speak(stream, 1.0)
        heard_until = b.out.audio[-1].span.end
        b.system.plugged, stream.active = False, False
        await b.clock.advance(LOOK)
        await b.until_asleep()
        assert stream.closed
        assert b.notice is not None
        assert "unplugged" in b.notice
        for _ in range(4):  # it looks again and again, less and less often
            await b.clock.advance(4.0)
            await b.until_asleep()
            last = b.out.items[-1]  # nobody waits meanwhile for sound that will not come
            assert isinstance(last, Cut)
            assert last.time > b.clock.now() - 4.0
            assert last.channel == 0
        assert b.system.looks >= 3
        assert b.notice == "no microphone; inputs found: none; trying again"
        b.system.plugged = True
        await b.clock.advance(4.0)
        stream = await b.opened(2)
        back = b.clock.now()
        await b.speak(stream, 0.1)
        assert b.notice is None
        later = [c for c in b.out.audio if c.start >= heard_until]
        assert later[0].start == pytest.approx(back)
        assert sum(len(c.pcm) for c in later) == 3 * 512


async def test_a_device_that_falls_silent_without_a_word_is_opened_again(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.speak(await b.opened(1), 0.5)
        await b.clock.advance(SILENT + LOOK)
        await b.until_asleep()
        assert b.notice is not None
        assert "no sound for" in b.notice
        await b.clock.advance(1.0)
        await b.speak(await b.opened(2), 0.1)
        assert b.notice is None


async def test_a_device_may_take_two_seconds_to_start_but_not_for_ever(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        stream = await b.opened(1)
        for _ in range(12):
            await b.clock.advance(LOOK)
        assert not stream.closed
        assert b.notice is None
        for _ in range(round((STARTING - 3) / LOOK) + 2):
            await b.clock.advance(LOOK)
        await b.until_asleep()
        assert b.notice is not None
        assert b.notice.startswith("no sound within 5 s of opening the device")


async def test_blocks_of_a_device_that_was_closed_are_not_heard(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        old = await b.opened(1)
        await b.speak(old, 0.1)
        old.active = False
        await b.clock.advance(LOOK)
        await b.until_asleep()
        await b.clock.advance(1.0)
        await b.opened(2)
        count = len(b.out.items)
        old.heard(np.ones((512, 2), np.float32), False)
        await settle()
        assert len(b.out.items) == count


async def test_a_muted_microphone_is_noticed_until_it_gives_sound(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        stream = await b.opened(1)
        await b.speak(stream, 2.2, np.zeros((round(2.2 * RATE), 2), np.float32))
        assert b.notice is not None
        assert b.notice.endswith("permission denied or muted?")
        assert b.out.audio  # what it gives is passed on all the same
        await b.speak(stream, 0.1)
        assert b.notice is None


async def test_lost_sound_is_a_gap(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        stream = await b.opened(1)
        await b.speak(stream, 0.32)
        await b.clock.advance(0.532)
        stream.heard(np.zeros((512, 2), np.float32), True)
        await settle()
        assert b.out.audio[-1].start - b.out.audio[-2].span.end == pytest.approx(0.5)


async def test_cancelling_while_the_driver_hangs_in_open_returns_and_closes_later(tmp_path: Path) -> None:
    release, hanging = threading.Event(), threading.Event()

    class Slow(FakeSystem):
        def open_input(self, *args: object) -> FakeInput:  # type: ignore[override]
            hanging.set()
            release.wait()
            return super().open_input(*args)  # type: ignore[arg-type]

    system = Slow()
    source = Microphone(Config(), context(tmp_path), system)
    task = asyncio.create_task(source.run(Caught(), ManualClock()))
    await until(hanging.is_set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    for thread in [t for t in threading.enumerate() if t.name == "microphone"]:
        thread.join()
    assert [stream.closed for stream in system.opened] == [True]


async def test_a_driver_that_hangs_in_closing_is_left_behind_and_the_device_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unplugged, and the driver does not come back: that is said, and the device heard once it is there."""
    release, hanging = threading.Event(), threading.Event()
    monkeypatch.setattr("streamer.sources.microphone.CLOSING", 0.05)
    async with bench(tmp_path) as b:
        stream = await b.opened(1)
        await b.speak(stream, 0.5)

        def close() -> None:
            stream.closed = True
            hanging.set()
            release.wait()

        monkeypatch.setattr(stream, "close", close)
        stream.active = False
        await b.clock.advance(LOOK)
        await until(hanging.is_set)
        await b.until_asleep()
        assert b.notice is not None
        assert "unplugged?; trying again" in b.notice
        await b.clock.advance(1.0)
        await b.speak(await b.opened(2), 0.1)
        assert b.notice is None
        release.set()
        await until(lambda: sum(t.name == "microphone" for t in threading.enumerate()) == 1)
        await b.speak(b.system.opened[1], 0.1)  # what came back late has closed its own device alone
        assert b.notice is None


@pytest.mark.parametrize(
    ("options", "width"),
    [
        ({}, (2, False)),
        ({"channels": "split"}, (2, True)),
        ({"channels": 0}, (1, True)),
        ({"channels": 3}, (4, True)),
        ({"channels": "split", "inputs": 6}, (6, True)),
    ],
)
def test_only_the_channels_that_are_needed_are_opened(
    options: dict[str, object], width: tuple[int, bool]
) -> None:
    assert Config(**options).width == width  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "channels"),
    [({}, 1), ({"first_channel": 1}, 2), ({"channels": "split"}, 2), ({"channels": 3}, 1)],
)
def test_it_tells_how_many_sound_channels_come(
    tmp_path: Path, options: dict[str, object], channels: int
) -> None:
    source = Microphone(Config(**options), context(tmp_path), FakeSystem())  # type: ignore[arg-type]
    assert source.channels == channels
