"""Prosody is compared with the speaker's own past, never with the future."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.normalise import CLIP, Prior, Running, causal_normalise, fit_prior, scaled

PRIOR = Prior(("mean_hnr", "avg_pitch"), (6.0, 5.0), (2.0, 0.5), 5.0)


def test_the_first_utterance_is_near_a_corpus_z_score() -> None:
    """One utterance shrinks towards the prior, in mean and in variance."""
    z, _ = Running(PRIOR).push([10.0, np.exp(5.0)], 0)
    variance = (5 * 4 + 16 * 5 / 6) / 6
    assert z == pytest.approx([4 * 5 / 6 / variance**0.5, 0.0])


def test_many_utterances_make_the_speaker_their_own_measure() -> None:
    """After 400 utterances around 8 with deviation 1, a value of 9 is one deviation up."""
    values = np.random.default_rng(0).normal(8, 1, 400)
    running = Running(PRIOR)
    for value in values:
        _, running = running.push([value, 100.0], 0)
    z, _ = running.push([9.0, 100.0], 0)
    assert z[0] == pytest.approx(1.0, abs=0.15)


def test_the_statistics_equal_those_of_the_whole_past() -> None:
    """Running sums give the shrunk mean and variance computed at once."""
    x = np.array([4.0, 9.0, 5.0, 7.0])
    running = Running(PRIOR)
    for value in x:
        z, running = running.push([value, np.nan], 3)
    mean = (5 * 6 + x.sum()) / 9
    variance = (5 * (4 + (6 - mean) ** 2) + ((x - mean) ** 2).sum()) / 9
    assert z[0] == pytest.approx((7 - mean) / variance**0.5)


@given(st.integers(1, 9), st.integers(0, 99))
def test_the_future_does_not_matter(cut: int, seed: int) -> None:
    """Any prefix of a conversation has the z-scores it has within the whole."""
    rng = np.random.default_rng(seed)
    values, speakers = np.exp(rng.normal(5, 1, (10, 2))), rng.integers(0, 3, 10).tolist()
    whole = causal_normalise(values, speakers, PRIOR)
    np.testing.assert_array_equal(causal_normalise(values[:cut], speakers[:cut], PRIOR), whole[:cut])


def test_speakers_do_not_mix() -> None:
    """What one says leaves the z-scores of the other alone."""
    alone = causal_normalise(np.array([[5.0, 90.0], [7.0, 95.0]]), [0, 0], PRIOR)
    mixed = causal_normalise(np.array([[5.0, 90.0], [50.0, 500.0], [7.0, 95.0]]), [0, 1, 0], PRIOR)
    np.testing.assert_array_equal(mixed[[0, 2]], alone)


def test_missing_is_zero_and_teaches_nothing() -> None:
    """NaN gives z = 0; the statistics of that measure stay, those of the others move."""
    z, running = Running(PRIOR).push([np.nan, 100.0], 0)
    assert z[0] == 0
    count, _, _ = running.seen[0]
    assert count.tolist() == [0, 1]


def test_push_is_a_value() -> None:
    """A partial utterance can be read and thrown away: the statistics before it are unchanged."""
    _, running = Running(PRIOR).push([5.0, 90.0], 0)
    first, _ = running.push([9.0, 120.0], 0)
    again, _ = running.push([9.0, 120.0], 0)
    np.testing.assert_array_equal(first, again)


def test_outliers_are_clipped_and_impossible_values_are_missing() -> None:
    """A z-score beyond 4 is cut; a pitch of 0 Hz has no logarithm and counts as missing."""
    z, _ = Running(PRIOR).push([1e6, 0.0], 0)
    assert abs(z[0]) <= CLIP
    assert z[1] == 0
    assert np.isnan(scaled([0.0], ["avg_pitch"])[0])


def test_the_prior_of_a_corpus() -> None:
    """Mean and deviation per measure on its own scale, missing values left out."""
    prior = fit_prior(np.array([[1.0, np.e], [3.0, np.nan]]), ("mean_hnr", "avg_pitch"))
    assert prior.mean_A == pytest.approx((2.0, 1.0))
    assert prior.std_A == pytest.approx((1.0, 0.0))


def test_absolute_level_is_never_used() -> None:
    """A prior over avg_intensity is refused, as is one whose lengths differ."""
    with pytest.raises(ValueError, match="absolute level"):
        Prior(("avg_intensity",), (60.0,), (5.0,))
    with pytest.raises(ValueError, match="one mean"):
        Prior(("mean_hnr",), (1.0, 2.0), (1.0,))
