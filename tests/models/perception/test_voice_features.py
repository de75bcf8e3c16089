"""What is heard of a corpus under each condition, and that it is heard once."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.perception import voice_features
from models.perception.voice_features import (
    CONDITIONS,
    EVALUATION_NOISES,
    ROOMS,
    TRAINING_NOISES,
    heard,
    line,
    noisy,
    reverberant,
    spoken,
    telephone,
)
from tests.models.encoders.test_voice import RATE, vowel

QUIET = lambda text: None  # noqa: E731  nobody listens


def corpus(data: Path, silent: bool = False) -> None:
    """Two clips and the noises, as the shared data has them."""
    (data / "few").mkdir(parents=True)
    (data / "noise").mkdir()
    rows = ["shard,path,emotion,speaker,gender,split"]
    with zipfile.ZipFile(data / "few" / "a.zip", "w") as shard:
        for number, hz in enumerate((120.0, 210.0)):
            file = io.BytesIO()
            pcm = vowel(0.6, hz)
            soundfile.write(file, np.zeros_like(pcm) if silent else pcm, RATE, format="FLAC")
            shard.writestr(f"{number}.flac", file.getvalue())
            rows.append(f"a.zip,{number}.flac,happy,s{number},F,train")
    (data / "few" / "manifest.csv").write_text("\n".join(rows) + "\n")
    rng = np.random.default_rng(0)
    for name in (*TRAINING_NOISES, *EVALUATION_NOISES, *ROOMS):
        soundfile.write(data / "noise" / f"{name}.flac", rng.uniform(-0.3, 0.3, RATE), RATE)


def test_noises_of_training_and_evaluation_are_different() -> None:
    assert not set(TRAINING_NOISES) & set(EVALUATION_NOISES)


def test_every_condition_is_heard_and_differs(tmp_path: Path) -> None:
    corpus(tmp_path)
    found = {c: heard(tmp_path, "few", c, tmp_path / "cache", QUIET) for c in CONDITIONS}
    assert [len(f) for f in found.values()] == [2] * len(CONDITIONS)
    clean = found["clean"]
    pitches = [h.hz_T[h.hz_T > 0].mean() for h in clean]
    assert pitches == pytest.approx([120, 210], rel=0.1)
    quietest = {c: np.mean([np.quantile(h.mel_TB, 0.05) for h in f]) for c, f in found.items()}
    assert quietest["noisy"] > quietest["clean"] + 1
    assert quietest["room 1"] > quietest["clean"] + 0.1
    assert quietest["room 1"] != quietest["room 2"]
    above = {c: np.mean([h.mel_TB[:, -6:].max() for h in f]) for c, f in found.items()}  # above 4.9 kHz
    assert above["telephone"] < above["clean"] - 2
    assert above["line"] < above["room 1"] - 2


def test_what_was_heard_is_taken_from_the_cache_the_second_time(tmp_path: Path) -> None:
    corpus(tmp_path)
    first = heard(tmp_path, "few", "clean", tmp_path / "cache", QUIET)
    (tmp_path / "few" / "a.zip").unlink()
    again = heard(tmp_path, "few", "clean", tmp_path / "cache", QUIET)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.mel_TB, b.mel_TB)
        np.testing.assert_array_equal(a.hz_T, b.hz_T)
        np.testing.assert_array_equal(a.measures, b.measures)
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_clip_without_speech_is_named(tmp_path: Path) -> None:
    corpus(tmp_path, silent=True)
    with pytest.raises(ValueError, match=r"0\.flac: no speech"):
        heard(tmp_path, "few", "clean", tmp_path / "cache", QUIET)


def test_a_clip_is_cut_to_its_speech_with_a_little_around_it() -> None:
    quiet = np.random.default_rng(0).normal(0, 1e-5, 2 * RATE)
    pcm = np.concatenate((quiet, vowel(1.0), quiet)).astype(np.float32)
    cut = spoken(pcm)
    assert cut.start / RATE == pytest.approx(2.25 - 0.25, abs=0.1)
    assert cut.stop / RATE == pytest.approx(3.25 + 0.1, abs=0.1)
    assert spoken(np.zeros(0, dtype=np.float32)) == slice(0, round(0.1 * RATE))


@pytest.mark.parametrize("snr", [0.0, 10.0, 20.0])
def test_noise_lies_as_far_below_the_speech_as_asked(snr: float) -> None:
    pcm = vowel(2.0)
    noise = np.random.default_rng(1).normal(0, 0.3, RATE).astype(np.float32)
    added = noisy(pcm, noise, snr, np.random.default_rng(0)) - pcm
    speech = pcm[np.abs(pcm) > 0.02 * np.abs(pcm).max()]
    measured = 10 * np.log10(np.mean(speech**2) / np.mean(added**2))
    assert measured == pytest.approx(snr, abs=0.1)


def test_a_room_keeps_the_place_and_the_length_of_the_sound() -> None:
    click = np.zeros(RATE, dtype=np.float32)
    click[4000] = 1.0
    room = np.zeros(RATE, dtype=np.float32)
    room[500], room[900] = 1.0, 0.4
    out = reverberant(click, room)
    assert len(out) == len(click)
    assert abs(int(np.abs(out).argmax()) - 4000) <= 16
    assert np.linalg.norm(out) == pytest.approx(1.0, rel=1e-3)


def test_a_telephone_keeps_its_band_and_the_length() -> None:
    at = np.arange(RATE + 1) / RATE

    def power(hz: float) -> float:
        out = telephone((0.5 * np.sin(2 * np.pi * hz * at)).astype(np.float32))
        assert len(out) == len(at)
        return float(np.mean(np.square(out)))

    assert power(1000) == pytest.approx(0.125, rel=0.1)
    assert max(power(100), power(5000)) < 1e-4


def test_lines_differ_and_keep_the_length() -> None:
    pcm, rng = vowel(1.0), np.random.default_rng(0)
    one, two = line(pcm, rng), line(pcm, rng)
    assert one.shape == two.shape == pcm.shape
    assert np.abs(one).max() <= 1.2
    assert not np.allclose(one, two, atol=1e-3)


def test_the_cache_knows_the_code_that_hears() -> None:
    names = {Path(m.__file__ or "").stem for m in voice_features.SOURCES}
    assert {"hearing", "mel", "prosody", "periodicity", "syllables"} <= names
