"""A voice is stored when asked, shown and removed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from streamer.cli import app
from streamer.errors import ConfigError, StreamerError
from streamer.speakers.enrolled import voices
from tests.data import shared_data, speaker_encoder


def enroll(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["enroll", *arguments])
    if done.exception is not None:
        raise done.exception
    return done.output


def test_a_voice_is_stored_shown_and_removed(tmp_path: Path) -> None:
    assert speaker_encoder()
    file, folder = str(shared_data("asr", "librivox_0870.flac")), ("--state-dir", str(tmp_path))
    assert "biometric" in enroll("Ann", file, *folder)
    (voice,) = voices(tmp_path)
    assert np.linalg.norm(voice.embedding) == pytest.approx(1, abs=1e-5)
    assert enroll(*folder) == "Ann\n"
    assert "removed  Ann" in enroll("Ann", "--remove", *folder)
    assert voices(tmp_path) == []
    assert "nobody is enrolled" in enroll(*folder)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["Ann"], "name a recording"),
        (["--remove"], "expected a name"),
        (["Ann", "x.wav", "--remove"], "no file"),
        (["Ann", "--remove"], "is not enrolled"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(arguments: list[str], says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        enroll(*arguments, "--state-dir", str(tmp_path))


def test_an_absent_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(StreamerError, match=r"no\.wav: no such"):
        enroll("Ann", str(tmp_path / "no.wav"), "--state-dir", str(tmp_path))


def test_too_little_speech_is_refused(tmp_path: Path) -> None:
    assert speaker_encoder()
    path = tmp_path / "silence.wav"
    soundfile.write(path, np.zeros(160_000, np.float32), 16_000)
    with pytest.raises(ConfigError, match=r"silence\.wav: 0\.0 s of speech"):
        enroll("Ann", str(path), "--state-dir", str(tmp_path))
    assert voices(tmp_path) == []
