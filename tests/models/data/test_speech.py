"""Spoken clips out of zip files, and what is said of those that cannot be read."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.data.corpus import DataError
from models.data.speech import RATE, clips, recording, sounds

HEADER = "shard,path,emotion,speaker,gender,split\n"


def flac(seconds: float = 0.1, rate: int = RATE, channels: int = 1) -> bytes:
    pcm = np.random.default_rng(0).uniform(-0.5, 0.5, (int(seconds * rate), channels))
    file = io.BytesIO()
    soundfile.write(file, pcm, rate, format="FLAC")
    return file.getvalue()


def corpus(folder: Path, content: bytes) -> Path:
    folder.mkdir()
    (folder / "manifest.csv").write_text(HEADER + "a.zip,x/1.flac,happy,anna,F,train\n")
    with zipfile.ZipFile(folder / "a.zip", "w") as shard:
        shard.writestr("x/1.flac", content)
    return folder


def test_clips_come_in_the_order_of_the_manifest_with_their_sound(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "c", flac())
    (clip,) = clips(folder)
    assert (clip.emotion, clip.speaker, clip.gender, clip.split) == ("happy", "anna", "F", "train")
    (pcm,) = sounds(folder, [clip])
    assert pcm.dtype == np.float32
    assert pcm.shape == (RATE // 10,)
    assert 0.4 < np.abs(pcm).max() <= 0.5


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"no sound", "cannot be read"), (flac(rate=8000), "8000 Hz"), (flac(channels=2), "mono")],
)
def test_what_is_no_16_khz_mono_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    folder = corpus(tmp_path / "c", content)
    with pytest.raises(DataError, match=rf"a\.zip: x/1\.flac.*{message}"):
        list(sounds(folder, clips(folder)))


def test_a_missing_shard_column_or_manifest_is_named(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "c", flac())
    (folder / "a.zip").unlink()
    with pytest.raises(DataError, match=r"a\.zip: x/1\.flac"):
        list(sounds(folder, clips(folder)))
    (folder / "manifest.csv").write_text("shard,path\na,b\n")
    with pytest.raises(DataError, match="emotion"):
        clips(folder)
    with pytest.raises(DataError, match="not found"):
        clips(tmp_path)


def test_a_recording_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "noise.flac"
    path.write_bytes(flac(0.2))
    assert recording(path).shape == (RATE // 5,)
    path.write_bytes(flac(rate=44100))
    with pytest.raises(DataError, match="44100 Hz"):
        recording(path)
    with pytest.raises(DataError, match=r"absent\.flac"):
        recording(tmp_path / "absent.flac")
