"""Statistics of a voice: what changes them and what does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.encoders.mel import BANDS
from models.encoders.prosody import USED_MEASURES
from models.encoders.voice_statistics import COUNT, MELODY, Heard, _without_background, statistics

AT = 11 * 20 - 2  # where the melody begins


def utterance(frames: int = 120, seed: int = 0) -> Heard:
    rng = np.random.default_rng(seed)
    mel = rng.normal(-6.0, 2.0, (frames, BANDS)).astype(np.float32)
    hz = np.where(rng.random(frames) < 0.7, rng.uniform(120, 220, frames), 0.0)
    return Heard(mel, hz, rng.uniform(0.5, 5.0, len(USED_MEASURES)))


def test_as_many_as_promised_and_all_finite() -> None:
    found = statistics(utterance())
    assert found.shape == (COUNT,)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("frames", [Heard.LEAST, 11, 30, 31, 1500])
def test_any_length_from_the_shortest_on(frames: int) -> None:
    assert np.isfinite(statistics(utterance(frames))).all()


def test_the_gain_changes_nothing() -> None:
    heard = utterance()
    louder = replace(heard, mel_TB=heard.mel_TB + np.float32(4.6))  # 20 dB
    np.testing.assert_allclose(statistics(louder), statistics(heard), atol=1e-4)


def test_what_is_far_below_the_loudest_counts_as_silence() -> None:
    heard = utterance()
    deep, deeper = heard.mel_TB.copy(), heard.mel_TB.copy()
    deep[:20], deeper[:20] = -30.0, -300.0
    first, second = (statistics(replace(heard, mel_TB=m)) for m in (deep, deeper))
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_a_steady_background_is_taken_off() -> None:
    """Pauses say how loud it is; without that, the colour of the noise would be the voice's."""
    heard = utterance(200)
    mel = heard.mel_TB.copy()
    mel[::4] = -25.0
    rng = np.random.default_rng(1)
    noise = -7.0 + 0.3 * rng.normal(size=mel.shape) - np.linspace(0, 4, BANDS)
    clean, noisy = (
        replace(heard, mel_TB=mel),
        replace(heard, mel_TB=np.logaddexp(mel, noise).astype(np.float32)),
    )
    quiet, loud = (_without_background(h.mel_TB) for h in (clean, noisy))
    speech = mel > noise + 2
    assert np.abs(quiet - loud)[speech].mean() < 0.7 * np.abs(quiet - noisy.mel_TB)[~speech].mean()
    assert (loud[::4] < noisy.mel_TB[::4]).mean() > 0.9


def test_a_higher_pitch_moves_the_melody_and_nothing_else() -> None:
    heard = utterance()
    moved = statistics(replace(heard, hz_T=heard.hz_T * 2)) - statistics(heard)
    np.testing.assert_allclose(moved[AT : AT + 6], np.log(2.0), atol=1e-9)
    rest = np.delete(moved, np.arange(AT, AT + 6))
    np.testing.assert_allclose(rest, 0.0, atol=1e-9)


def test_a_rising_melody_has_a_slope_and_its_quarters_rise() -> None:
    heard = utterance(100)
    rising = statistics(replace(heard, hz_T=np.exp(np.linspace(5.0, 5.4, 100))))[AT : AT + MELODY]
    assert rising[11] == pytest.approx(0.4, abs=0.02)  # the slope, per utterance
    assert (np.diff(rising[13:]) > 0).all()


def test_without_a_voice_the_melody_says_nothing() -> None:
    heard = utterance()
    silent = np.zeros(len(heard.hz_T))
    few = silent.copy()
    few[:3] = 200.0
    a, b = (statistics(replace(heard, hz_T=hz)) for hz in (silent, few))
    np.testing.assert_array_equal(a, b)
    assert a[AT] == pytest.approx(np.log(150.0))


def test_an_unknown_measure_is_zero() -> None:
    heard = utterance()
    unknown = replace(heard, measures=np.full(len(USED_MEASURES), np.nan))
    assert np.isfinite(statistics(unknown)).all()


def test_modulation_rises_where_the_loudness_beats() -> None:
    steady = Heard(np.full((200, BANDS), -5.0, dtype=np.float32), np.zeros(200), np.ones(len(USED_MEASURES)))
    beat = np.cos(2 * np.pi * 5.0 * np.arange(200) / 100)[:, None]  # 5 Hz
    beating = replace(steady, mel_TB=(steady.mel_TB + beat).astype(np.float32))
    modulation = AT + MELODY + len(USED_MEASURES) - 1 + 20
    before, after = (statistics(h)[modulation : modulation + 5] for h in (steady, beating))
    assert (after > before + 1).all()
    assert after.argmax() == 2  # 4.8 Hz
