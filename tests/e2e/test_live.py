"""A microphone and a camera feed a live run; Ctrl-C ends it cleanly."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from streamer.types import Picture
from tests.e2e.product import SAMPLE, end, lmam, read_log, start
from tests.virtual import free_port, mjpeg_camera, sound_server

pytestmark = pytest.mark.timeout(120)

CONFIG = """
purpose = "research"
consent = "self"

[[source]]
kind = "microphone"

[[source]]
kind = "network_camera"
url = "{camera}"

[transcriber]
kind = "none"

[[sink]]
kind = "console"

[[sink]]
kind = "jsonl"
path = "{log}"

[[sink]]
kind = "mqtt"
broker = "embedded"
port = {port}
"""


def sample_sound(folder: Path, seconds: float) -> Path:
    """The beginning of the bundled sample as a WAV file."""
    with av.open(str(SAMPLE)) as media:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
        frames = [f for frame in media.decode(audio=0) for f in resampler.resample(frame)]
    pcm = np.concatenate([f.to_ndarray()[0] for f in frames])[: int(seconds * 16_000)]
    soundfile.write(folder / "sample.wav", pcm, 16_000)
    return folder / "sample.wav"


def sample_faces() -> list[Picture]:
    """The pictures of the sample, of which some show a face."""
    with av.open(str(SAMPLE)) as media:
        return [np.asarray(f.to_ndarray(format="bgr24"), np.uint8) for f in media.decode(video=0)]


async def until_said(process: asyncio.subprocess.Process, word: bytes) -> None:
    assert process.stdout is not None
    while word not in await process.stdout.readline():
        assert process.returncode is None


async def test_a_microphone_and_a_camera_feed_a_run_that_ctrl_c_ends(tmp_path: Path) -> None:
    pictures, log, port = sample_faces(), tmp_path / "live.jsonl", free_port()
    first_face = len(pictures) // 3
    with sound_server(tmp_path) as sound:
        camera_at = mjpeg_camera(fps=8, picture=lambda n: pictures[(first_face + n) % len(pictures)])  # type: ignore[arg-type]
        async with camera_at as camera:
            config = tmp_path / "live.toml"
            config.write_text(CONFIG.format(camera=camera.url, log=log, port=port))
            process = await start("run", str(config), state=tmp_path, **sound.environment)
            await until_said(process, b"started")
            await sound.play(sample_sound(tmp_path, 16.0))
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            ended = await end(process)
            took = time.monotonic() - began
    assert ended.code == 0, ended.err
    assert "Traceback" not in ended.err
    assert "observed expression" in ended.out
    finals = read_log(log)
    assert len([e for e in finals if e.modalities.audio.present]) >= 2, ended.out
    assert any(e.modalities.visual.present for e in finals)
    assert {e.text for e in finals} == {None}
    assert [e.sequence for e in finals] == list(range(1, len(finals) + 1))
    assert "interrupted: what was being heard was finished" in ended.out
    assert took < 20, "Ctrl-C did not end it"


async def test_without_purpose_and_consent_nothing_starts(tmp_path: Path) -> None:
    config = tmp_path / "live.toml"
    config.write_text('[[source]]\nkind = "microphone"\n')
    ended = await lmam("run", str(config), state=tmp_path)
    assert ended.code == 2
    assert 'purpose = "personal"' in ended.err
    assert 'consent = "informed"' in ended.err


async def test_a_workplace_needs_an_exemption(tmp_path: Path) -> None:
    config = tmp_path / "live.toml"
    config.write_text('purpose = "workplace"\nconsent = "explicit"\n[[source]]\nkind = "microphone"\n')
    ended = await lmam("run", str(config), state=tmp_path)
    assert ended.code == 2
    assert "exemption" in ended.err


async def test_sound_on_standard_input_becomes_estimates(tmp_path: Path) -> None:
    pcm = soundfile.read(sample_sound(tmp_path, 16.0), dtype="int16")[0].tobytes()
    config, log = tmp_path / "pipe.toml", tmp_path / "pipe.jsonl"
    config.write_text(
        'purpose = "research"\nconsent = "self"\n[[source]]\nkind = "pcm"\npath = "-"\n'
        f'[transcriber]\nkind = "none"\n[[sink]]\nkind = "jsonl"\npath = "{log}"\n'
    )
    process = await start("run", str(config), state=tmp_path, stdin=True)
    assert process.stdin is not None
    for at in range(0, len(pcm), 3200):  # as fast as live would be, ten times over
        process.stdin.write(pcm[at : at + 3200])
        await process.stdin.drain()
        await asyncio.sleep(0.01)
    process.stdin.close()
    ended = await end(process)
    assert ended.code == 0, ended.err
    assert len(read_log(log)) >= 2
