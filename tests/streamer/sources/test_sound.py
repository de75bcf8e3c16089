from __future__ import annotations

import numpy as np
import pytest

from streamer.sources.sound import Chunker, Resampler, pick, to_float
from streamer.types import RATE

from .files import tone

ALL_RATES = (8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000)


def resample(pcm: np.ndarray, rate: int, block: int) -> np.ndarray:
    resampler = Resampler(rate)
    parts = [resampler.push(pcm[i : i + block]) for i in range(0, len(pcm), block)]
    return np.concatenate([*parts, resampler.flush()])


@pytest.mark.parametrize("rate", ALL_RATES)
def test_resampling_in_blocks_equals_resampling_at_once(rate: int) -> None:
    pcm = np.random.default_rng(1).normal(0, 0.2, rate).astype(np.float32)
    np.testing.assert_array_equal(resample(pcm, rate, 313), resample(pcm, rate, rate))


@pytest.mark.parametrize("rate", ALL_RATES)
def test_resampling_keeps_length_phase_and_shape_of_a_tone(rate: int) -> None:
    heard, ideal = resample(tone(1.0, rate), rate, 480), tone(1.0, RATE)
    assert len(heard) == RATE
    inner = slice(200, -200)
    error = heard[inner] - ideal[inner]
    assert 10 * np.log10(np.mean(ideal[inner] ** 2) / np.mean(error**2)) > 80  # dB


@pytest.mark.parametrize("rate", [44_100, 48_000, 192_000])
def test_what_is_above_half_the_rate_is_filtered_out(rate: int) -> None:
    heard = resample(tone(1.0, rate, hertz=10_000), rate, 480)
    assert np.abs(heard[200:-200]).max() < 0.002  # the tone has 0.5


def test_sound_at_the_right_rate_passes_unchanged() -> None:
    pcm = tone(0.1, RATE)
    assert Resampler(RATE).push(pcm) is pcm
    assert len(Resampler(RATE).flush()) == 0


@pytest.mark.parametrize(
    ("sound", "expected"),
    [
        (np.array([-32768, 0, 16384], np.int16), [-1.0, 0.0, 0.5]),
        (np.array([-(2**31), 0, 2**30], np.int32), [-1.0, 0.0, 0.5]),
        (np.array([0, 128, 192], np.uint8), [-1.0, 0.0, 0.5]),
        (np.array([-1.0, 0.0, 0.5], np.float64), [-1.0, 0.0, 0.5]),
    ],
)
def test_every_sample_format_becomes_floats_in_minus_one_to_one(
    sound: np.ndarray, expected: list[float]
) -> None:
    floats = to_float(sound)
    assert floats.dtype == np.float32
    assert floats.tolist() == expected


def test_channels_are_mixed_picked_or_kept() -> None:
    both = np.array([[1.0, 0.0], [0.0, 0.5]], np.float32)
    assert pick(both, "mix").tolist() == [[0.5, 0.25]]
    assert pick(both, 1).tolist() == [[0.0, 0.5]]
    assert pick(both, "split").tolist() == both.tolist()
    with pytest.raises(IndexError):
        pick(both, 2)


def test_chunks_are_equally_long_and_timed_by_the_count_of_samples() -> None:
    chunker = Chunker(48_000, 1, 0.1, begin=5.0)
    pcm = tone(1.03, 48_000)[None]
    chunks = [c for i in range(0, pcm.shape[1], 700) for c in chunker.push(pcm[:, i : i + 700])]
    chunks += chunker.flush()
    assert [len(c.pcm) for c in chunks] == [1600] * 10 + [480]
    assert [c.start for c in chunks] == pytest.approx([5 + i / 10 for i in range(11)])
    assert chunker.next == pytest.approx(6.03)


def test_split_channels_share_their_times() -> None:
    chunker = Chunker(RATE, 2, None)
    left, right = chunker.push(np.array([[0.1, 0.2], [0.3, 0.4]], np.float32))
    assert (left.channel, right.channel, left.start, right.start) == (0, 1, 0.0, 0.0)
    assert right.pcm.tolist() == pytest.approx([0.3, 0.4])


def test_a_restart_flushes_and_never_joins_what_is_apart() -> None:
    chunker = Chunker(48_000, 1, 0.1)
    before = [*chunker.push(tone(0.25, 48_000)[None]), *chunker.restart(3.0)]
    after = [*chunker.push(np.zeros((1, 12_000), np.float32)), *chunker.flush()]
    assert sum(len(c.pcm) for c in before) == sum(len(c.pcm) for c in after) == 4_000
    assert before[-1].span.end == pytest.approx(0.25)
    assert after[0].start == 3.0
    assert all(not c.pcm.any() for c in after)  # nothing of the tone rings on


def test_without_a_size_chunks_are_as_they_come() -> None:
    chunker = Chunker(RATE, 1, None)
    assert [len(c.pcm) for n in (7, 0, 9) for c in chunker.push(np.zeros((1, n), np.float32))] == [7, 9]
