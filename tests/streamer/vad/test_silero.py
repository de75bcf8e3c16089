"""The detector hears speech, and neither noise nor silence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pydantic import ValidationError

from streamer.context import Context, Session
from streamer.errors import ConfigError
from streamer.types import RATE, Floats
from streamer.vad import silero
from tests.data import shared_data

CONTEXT = Context(session=Session(conversation="c", purpose="research"), state_dir=Path())


def probabilities(pcm: Floats) -> Floats:
    vad = silero.Config().build(CONTEXT)()
    blocks = len(pcm) // silero.BLOCK
    return np.array([vad(b) for b in pcm[: blocks * silero.BLOCK].reshape(blocks, -1)], np.float32)


def sound(*parts: str) -> Floats:
    pcm, rate = soundfile.read(shared_data(*parts), dtype="float32")
    assert rate == RATE
    return np.asarray(pcm, np.float32)


def test_speech_with_pauses_is_mostly_speech() -> None:
    share = float(np.mean(probabilities(sound("asr", "vad_test_60s.flac")) > 0.5))
    assert 0.65 < share < 0.9


def test_noise_is_not_speech() -> None:
    for path in sorted(shared_data("noise").glob("noise*.flac")):
        assert np.mean(probabilities(sound("noise", path.name)) > 0.5) < 0.02, path.name


def test_silence_is_not_speech() -> None:
    assert probabilities(np.zeros(RATE, np.float32)).max() < 0.1


def test_quiet_speech_is_still_heard() -> None:
    quiet = sound("asr", "jfk.flac") * 0.02
    assert np.mean(probabilities(quiet) > 0.5) > 0.4


def test_detectors_of_two_channels_do_not_disturb_each_other() -> None:
    speech = sound("asr", "jfk.flac")[: 60 * silero.BLOCK].reshape(60, -1)
    make = silero.Config().build(CONTEXT)
    alone, one, other = make(), make(), make()
    wanted = [alone(b) for b in speech]
    got = [(one(b), other(np.zeros_like(b)))[0] for b in speech]
    assert got == wanted


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.onnx: no such file"):
        silero.Config(path=Path("nowhere.onnx")).build(CONTEXT)


def test_a_file_that_is_no_such_network_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(ConfigError, match=r"other\.onnx: not a Silero VAD network"):
        silero.Config(path=path).build(CONTEXT)


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(ValidationError, match="treshold"):
        silero.Config.model_validate({"treshold": 0.5})


def test_neither_torch_nor_the_package_is_imported() -> None:
    code = (
        "import sys; from streamer.vad import silero; silero._open(silero.packaged());"
        "print([m for m in ('torch', 'silero_vad') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
