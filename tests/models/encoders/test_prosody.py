"""The voice measures on sounds whose answer is known, whatever way they come in."""

from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.encoders.prosody import MEASURES, RATE, USED_MEASURES, Measures, ProsodyAccumulator
from models.normalise import FORBIDDEN

Pcm = NDArray[np.float32]


def tone(hz: float | Pcm, seconds: float, amplitude: float = 0.1) -> Pcm:
    """A buzz of 20 harmonics that fall off by 6 dB an octave, as a voice does; ``hz`` may vary in time."""
    pitch = np.broadcast_to(np.asarray(hz, dtype=np.float64), (int(seconds * RATE),))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    return np.asarray(
        amplitude * sum(np.sin(k * phase) / k for k in range(1, 21) if k * pitch.max(initial=0) < RATE / 2),
        dtype=np.float32,
    )


def silence(seconds: float) -> Pcm:
    return np.zeros(int(seconds * RATE), dtype=np.float32)


def noise(seconds: float, amplitude: float, seed: int = 0) -> Pcm:
    return (amplitude * np.random.default_rng(seed).normal(size=int(seconds * RATE))).astype(np.float32)


def syllables(count: int, each: float = 0.2, hz: float = 150.0) -> Pcm:
    """A buzz that swells and fades ``count`` times."""
    time = np.arange(int(count * each * RATE)) / RATE
    swell = 0.05 + 0.95 * np.sin(np.pi * time / each) ** 2
    return np.asarray(tone(hz, count * each) * swell, dtype=np.float32)


def speech() -> Pcm:
    """Something with voiced, voiceless, loud, soft and silent parts."""
    glide = tone(np.linspace(120, 240, int(0.6 * RATE)), 0.6)
    parts = (noise(0.2, 0.0005), syllables(3), noise(0.1, 0.02), silence(0.15), glide, noise(0.3, 0.0005, 1))
    return np.concatenate(parts)


def measured(pcm: Pcm, *, whole: bool = False, chunk: int = 512) -> Measures:
    voice = ProsodyAccumulator()
    for at in range(0, len(pcm), chunk):
        voice.push(pcm[at : at + chunk])
    return voice.measures(whole=whole)


@pytest.mark.parametrize("hz", [80.0, 110.0, 157.3, 220.0, 333.3, 480.0, 590.0])
def test_the_pitch_of_a_steady_voice_is_found(hz: float) -> None:
    found = measured(tone(hz, 1.0))
    assert found.avg_pitch == pytest.approx(hz, rel=2e-3)
    assert found.pitch_std == pytest.approx(0.0, abs=0.002 * hz)
    assert found.pitch_range == pytest.approx(0.0, abs=0.01 * hz)


def test_a_pitch_that_glides_has_the_spread_of_the_glide() -> None:
    found = measured(tone(np.linspace(100, 300, 2 * RATE), 2.0))
    assert found.avg_pitch == pytest.approx(200, rel=0.01)
    assert found.pitch_std == pytest.approx(200 / math.sqrt(12), rel=0.05)
    assert found.pitch_range == pytest.approx(200, rel=0.05)


@pytest.mark.parametrize("depth", [0.2, 0.5, 0.8])
def test_a_voice_whose_loudness_swings_varies_by_as_many_decibels(depth: float) -> None:
    time = np.arange(4 * RATE) / RATE
    gain = 1 + depth * np.sin(2 * np.pi * 1.0 * time)  # slow beside the window of 64 ms
    found = measured((tone(150, 4.0) * gain).astype(np.float32), whole=True)
    assert found.intensity_variation == pytest.approx(np.std(20 * np.log10(gain)), rel=0.03)


def test_the_level_is_that_of_full_scale_as_one_pascal() -> None:
    sine = (0.1 * np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE)).astype(np.float32)
    found = measured(sine)
    assert found.avg_intensity == pytest.approx(20 * math.log10(0.1 / math.sqrt(2) / 2e-5), abs=0.01)


@pytest.mark.parametrize("ratio_db", [0.0, 10.0, 20.0])
def test_harmonics_to_noise_is_the_ratio_that_was_mixed(ratio_db: float) -> None:
    voice = tone(150, 2.0)
    power = float(np.mean(np.square(voice)))
    found = measured(voice + noise(2.0, math.sqrt(power * 10 ** (-ratio_db / 10))))
    assert found.mean_hnr == pytest.approx(ratio_db, abs=1.5)


@pytest.mark.parametrize(("count", "each"), [(10, 0.2), (15, 0.15), (8, 0.3)])
def test_syllables_are_counted_but_for_the_last(count: int, each: float) -> None:
    """De Jong and Wempe count a peak when another follows after a dip."""
    found = measured(syllables(count, each))
    assert found.articulation_rate == pytest.approx((count - 1) / (count * each), rel=0.08)


def test_a_pause_is_no_phonation() -> None:
    five = syllables(5)
    apart, once = measured(np.concatenate((five, silence(1.0), five))), measured(np.concatenate((five, five)))
    assert apart.articulation_rate == pytest.approx(once.articulation_rate, rel=0.1)
    assert apart.duration == pytest.approx(once.duration + 1.0, abs=0.1)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(0, 9_000), min_size=1, max_size=40), st.booleans(), st.booleans())
def test_how_the_sound_is_cut_into_chunks_does_not_matter(
    sizes: list[int], look_in_between: bool, whole: bool
) -> None:
    pcm = speech()
    voice, at = ProsodyAccumulator(), 0
    for size in sizes:
        voice.push(pcm[at : at + size])
        at += size
        if look_in_between:
            voice.measures()
    voice.push(pcm[at:])
    assert astuple(voice.measures(whole=whole)) == pytest.approx(
        astuple(measured(pcm, whole=whole)), rel=1e-6, nan_ok=True
    )


def test_provisional_measures_are_those_of_the_sound_so_far() -> None:
    pcm = speech()
    voice = ProsodyAccumulator()
    for end in (8_000, 16_001, len(pcm)):
        voice.push(pcm[round(voice.seconds * RATE) : end])
        assert voice.measures() == measured(pcm[:end])


@pytest.mark.parametrize("gain", [0.1, 0.01, 5.0])
def test_how_near_the_microphone_is_changes_the_level_only(gain: float) -> None:
    near, far = measured(speech()), measured((gain * speech()).astype(np.float32))
    assert near.avg_intensity is not None
    assert far.avg_intensity == pytest.approx(near.avg_intensity + 20 * math.log10(gain), abs=0.01)
    assert far.values(USED_MEASURES) == pytest.approx(near.values(USED_MEASURES), rel=1e-3)


def test_a_constant_offset_of_the_microphone_does_not_matter() -> None:
    plain, offset = measured(speech()), measured(speech() + np.float32(0.3))
    assert offset.values(USED_MEASURES) == pytest.approx(plain.values(USED_MEASURES), rel=0.02)


def test_silence_around_the_speech_is_not_measured() -> None:
    pcm = np.concatenate([noise(0.3, 0.0005, 2), speech(), noise(0.3, 0.0005, 3)])
    padded, plain = measured(pcm), measured(speech())
    assert padded.values(USED_MEASURES) == pytest.approx(plain.values(USED_MEASURES), rel=0.03)
    assert padded.duration < len(pcm) / RATE - 0.6


def test_the_whole_sound_is_measured_where_that_is_asked() -> None:
    pcm = speech()
    assert measured(pcm, whole=True).duration == len(pcm) / RATE
    within, whole = measured(pcm).intensity_variation, measured(pcm, whole=True).intensity_variation
    assert within is not None
    assert whole is not None
    assert whole > within + 5


def test_digital_zeros_between_words_are_no_deeper_than_a_natural_pause() -> None:
    gated = np.concatenate((syllables(4), silence(0.3), syllables(4)))
    found = measured(gated)
    assert found.intensity_variation is not None
    assert found.intensity_variation < 15  # MELD's largest but for 3 of 13,708 are 18 dB


def test_clipping_leaves_the_pitch_as_it_was() -> None:
    clipped = np.clip(10 * tone(180, 1.0), -1, 1).astype(np.float32)
    assert measured(clipped).avg_pitch == pytest.approx(180, rel=0.01)


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.03, 0.049])
def test_a_sound_too_short_to_analyse_has_a_duration_only(seconds: float) -> None:
    found = measured(tone(150, seconds))
    assert found.duration == pytest.approx(seconds, abs=1e-4)
    assert found.intensity_variation is None
    assert found.articulation_rate is None


def test_silence_has_no_voice_and_no_level() -> None:
    assert measured(silence(1.0)) == Measures(duration=1.0)


def test_noise_has_next_to_no_voice() -> None:
    voice = ProsodyAccumulator()
    voice.push(noise(2.0, 0.1))
    found = voice.measures()
    assert found.mean_hnr is not None
    assert found.mean_hnr < 0
    assert found.articulation_rate is None or found.articulation_rate < 2


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 4_000),
    st.sampled_from(["tone", "noise", "click", "step", "square"]),
    st.floats(1e-6, 1.0),
    st.integers(0, 1_000),
)
def test_whatever_comes_no_measure_is_infinite_or_not_a_number(
    length: int, kind: str, amplitude: float, lead: int
) -> None:
    time = np.arange(length)
    shape = {
        "tone": np.sin(time / 10),
        "noise": np.random.default_rng(length).normal(size=length),
        "click": (time == length // 2).astype(float),
        "step": (time > length // 2).astype(float),
        "square": np.sign(np.sin(time / 17)),
    }[kind]
    pcm = np.concatenate((np.zeros(lead), amplitude * shape)).astype(np.float32)
    for whole in (False, True):
        values = [v for v in astuple(measured(pcm, whole=whole)) if v is not None]
        assert np.isfinite(values).all()


def test_bad_sound_is_refused_with_the_reason() -> None:
    voice = ProsodyAccumulator()
    with pytest.raises(ValueError, match=r"\[n\], got \[16, 2\]"):
        voice.push(np.zeros((16, 2), dtype=np.float32))
    with pytest.raises(ValueError, match="finite"):
        voice.push(np.array([0.0, np.nan], dtype=np.float32))
    with pytest.raises(ValueError, match="16000 Hz, not 44100"):
        ProsodyAccumulator(rate=44_100)


def test_a_refused_chunk_leaves_what_was_heard_as_it_is() -> None:
    pcm, voice = speech(), ProsodyAccumulator()
    voice.push(pcm)
    with pytest.raises(ValueError, match="finite"):
        voice.push(np.array([np.inf], dtype=np.float32))
    assert voice.measures() == measured(pcm)


def test_no_sound_is_kept_beyond_the_longest_window() -> None:
    voice = ProsodyAccumulator()
    for _ in range(10):
        voice.push(tone(150, 1.0))
    assert len(voice._sound) + sum(map(len, voice._waiting)) < RATE // 2


def test_values_come_in_the_order_asked_for_and_nan_where_unknown() -> None:
    values = Measures(duration=2.0, avg_pitch=150.0).values(("avg_pitch", "duration", "mean_hnr"))
    assert values == pytest.approx((150.0, 2.0, math.nan), nan_ok=True)


def test_the_absolute_level_is_never_used() -> None:
    assert set(USED_MEASURES) <= set(MEASURES)
    assert not FORBIDDEN.intersection(USED_MEASURES)
