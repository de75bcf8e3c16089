"""A sound server of our own: what is played into its loudspeaker is what the microphone must hear."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamer.clock import StreamClock
from streamer.context import Context, Session
from streamer.errors import CaptureError
from streamer.sources import portaudio
from streamer.sources.microphone import Config, Microphone
from streamer.types import RATE, AudioChunk, Floats, VideoFrame
from tests.fakes import Caught
from tests.virtual import SoundServer, sound_server, until

pytestmark = pytest.mark.timeout(120)


class Listening(Caught):
    def __init__(self) -> None:
        super().__init__()
        self._news = asyncio.Event()

    def offer(self, item: AudioChunk | VideoFrame) -> bool:
        self._news.set()
        return super().offer(item)

    async def more(self, chunks: int) -> None:
        """Wait for that many chunks from now on."""
        count = len(self.items) + chunks
        while len(self.items) < count:
            self._news.clear()
            await self._news.wait()

    def joined(self, channel: int = 0) -> Floats:
        return np.concatenate([c.pcm for c in self.audio if c.channel == channel])


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoundServer]:
    with sound_server(tmp_path) as running:
        yield from listened(running, monkeypatch)


@pytest.fixture
def stereo_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoundServer]:
    with sound_server(tmp_path, rate=48_000, channels=2) as running:
        yield from listened(running, monkeypatch)


def listened(running: SoundServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoundServer]:
    for name, value in running.environment.items():
        monkeypatch.setenv(name, value)
    try:
        portaudio.look_again()
    except CaptureError as missing:
        pytest.skip(str(missing))
    if not portaudio.inputs():
        pytest.skip("PortAudio does not see the sound server (apt-get install libasound2-plugins)")
    yield running


def context(tmp_path: Path) -> Context:
    session = Session(conversation="test", purpose="research", consent="self", live=True)
    return Context(session=session, state_dir=tmp_path)


@asynccontextmanager
async def recording(source: Microphone) -> AsyncIterator[Listening]:
    out = Listening()
    task = asyncio.create_task(source.run(out, StreamClock()))
    try:
        await out.more(5)
        yield out
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not [t for t in threading.enumerate() if t.name == "microphone"]


def speech(tmp_path: Path, rate: int = RATE, channels: int = 1) -> tuple[Path, Floats]:
    """Two seconds of noise bursts: any splice, loss or doubling breaks its likeness to the recording.

    Nothing above 1 kHz, so that a recording which begins between two samples is still alike.
    """
    from scipy.signal import butter, sosfilt

    noise = np.random.default_rng(5).normal(0, 0.1 * (rate / RATE) ** 0.5, (2 * rate, channels))
    pcm = sosfilt(butter(4, 1000, fs=rate, output="sos"), noise, axis=0).astype(np.float32)
    pcm *= (np.sin(np.arange(2 * rate) / rate * 2 * np.pi * 1.5) > -0.5)[:, None]
    soundfile.write(tmp_path / "speech.wav", pcm, rate, subtype="PCM_16")
    return tmp_path / "speech.wav", soundfile.read(tmp_path / "speech.wav", dtype="float32", always_2d=True)[
        0
    ]


def likeness(heard: Floats, played: Floats) -> tuple[float, int]:
    """The largest normalised correlation and where it is."""
    from scipy.signal import correlate

    whole = correlate(heard, played, mode="valid", method="fft")
    at = int(whole.argmax())
    part = heard[at : at + len(played)]
    return float(np.corrcoef(part, played)[0, 1]), at


async def test_what_is_played_is_what_is_heard_and_its_time_is_that_of_the_clock(
    server: SoundServer, tmp_path: Path
) -> None:
    wav, played = speech(tmp_path)
    source = Config(rate=RATE).build(context(tmp_path))
    async with recording(source) as out:
        await server.play(wav)
        await out.more(20)
    heard = out.joined()
    alike, at = likeness(heard, played[:, 0])
    assert alike > 0.999
    np.testing.assert_allclose(heard[at : at + len(played)], played[:, 0], atol=1e-4)
    starts = [c.start for c in out.audio]
    ends = [c.span.end for c in out.audio]
    assert starts[1:] == pytest.approx(ends[:-1])
    assert abs(source.drift) < 0.1


async def test_another_rate_and_two_speakers_on_two_channels(
    stereo_server: SoundServer, tmp_path: Path
) -> None:
    from scipy.signal import resample_poly

    wav, played = speech(tmp_path, 48_000, 2)
    source = Config(rate=48_000, channels="split", inputs=2).build(context(tmp_path))
    async with recording(source) as out:
        await stereo_server.play(wav)
        await out.more(40)
    for channel in (0, 1):
        ideal = resample_poly(played[:, channel], 1, 3).astype(np.float32)
        alike, _ = likeness(out.joined(channel), ideal)
        assert alike > 0.99, channel


async def test_the_sound_server_dies_and_comes_back(server: SoundServer, tmp_path: Path) -> None:
    ctx = context(tmp_path)
    wav, played = speech(tmp_path)
    source = Config(rate=RATE).build(ctx)
    async with recording(source) as out:
        await server.play(wav)
        await out.more(5)
        server.stop()
        await until(lambda: "trying again" in ctx.notices.all().get("microphone", ""))
        count = len(out.audio)
        server.start()
        await out.more(5)
        await server.play(wav)
        await out.more(20)
    before, after = out.audio[count - 1], out.audio[count]
    assert after.start - before.span.end > 0.3  # the missing time is a gap
    again = np.concatenate([c.pcm for c in out.audio[count:]])
    assert likeness(again, played[:, 0])[0] > 0.999
    assert "trying again" not in str(ctx.notices.all())


async def test_a_microphone_that_gives_nothing_but_zeros_is_noticed(
    server: SoundServer, tmp_path: Path
) -> None:
    ctx = context(tmp_path)
    async with recording(Config().build(ctx)) as out:
        await out.more(80)
        assert "permission denied or muted?" in ctx.notices.all()["microphone"]


def test_a_microphone_of_an_unknown_name_is_refused_with_the_list(
    server: SoundServer, tmp_path: Path
) -> None:
    with pytest.raises(CaptureError, match=r"no microphone 'lapel'; inputs found: .*pulse"):
        Config(device="lapel").build(context(tmp_path))
    with pytest.raises(CaptureError, match="channels; 64 are asked for"):
        Config(inputs=64).build(context(tmp_path))
