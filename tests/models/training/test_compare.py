"""The paired bootstrap against cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.metrics import scores
from models.training.compare import Comparison, Counts, paired, weighted_f1
from models.training.rows import tally

CONVERSATIONS, EACH, CLASSES = 40, 25, 3


def truth(seed: int = 0) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, CLASSES, CONVERSATIONS * EACH)


def arm(right: float, seed: int) -> Counts:
    """A model that is right with probability ``right``, else wrong at random."""
    random, labels = np.random.default_rng(seed), truth()
    wrong = (labels + random.integers(1, CLASSES, len(labels))) % CLASSES
    guess = np.where(random.random(len(labels)) < right, labels, wrong)
    return tally(guess, labels, np.full(CONVERSATIONS, EACH), CLASSES)


def test_weighted_f1_is_that_of_the_metrics() -> None:
    import torch

    random, labels = np.random.default_rng(3), truth()
    guess = np.where(random.random(len(labels)) < 0.6, labels, 0)
    counts = tally(guess, labels, np.full(CONVERSATIONS, EACH), CLASSES).sum(0)
    probs_NC = torch.eye(CLASSES)[torch.from_numpy(guess)]
    assert weighted_f1(counts) == pytest.approx(scores(probs_NC, torch.from_numpy(labels))["weighted_f1"])


def test_a_model_against_itself_is_exactly_a_tie() -> None:
    same = {s: arm(0.7, s) for s in range(3)}
    found = paired(same, same)
    assert (found.difference, found.low, found.high) == (0, 0, 0)
    assert found.verdict == "tie"


def test_a_clear_difference_is_found_with_its_sign() -> None:
    worse, better = {s: arm(0.6, s) for s in range(5)}, {s: arm(0.7, 10 + s) for s in range(5)}
    found = paired(worse, better)
    assert found.difference == pytest.approx(10, abs=2)
    assert 0 < found.low < found.difference < found.high
    assert found.verdict == "better"
    back = paired(better, worse)
    assert back.verdict == "worse"
    assert back.difference == pytest.approx(-found.difference)


def test_two_models_that_are_as_good_are_told_apart_as_seldom_as_said() -> None:
    """A 95 % interval leaves out the truth about once in twenty."""
    trials = [
        paired({s: arm(0.7, s + 10 * k)}, {s: arm(0.7, 500 + s + 10 * k)}, resamples=500)
        for k in range(20)
        for s in range(5)
    ]
    assert sum(t.verdict in ("better", "worse") for t in trials) <= 12


def test_the_interval_has_the_width_that_theory_gives() -> None:
    """One seed, classes alike: F1 is nearly accuracy, whose paired difference has a known deviation."""
    a, b = {0: arm(0.6, 1)}, {0: arm(0.7, 2)}
    found = paired(a, b, resamples=8000)
    n = CONVERSATIONS * EACH
    deviation = 100 * np.sqrt((0.6 * 0.4 + 0.7 * 0.3) / n)  # the two err independently
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * deviation, rel=0.2)


def test_pairing_narrows_the_interval_of_models_that_err_together() -> None:
    labels, lengths = truth(), np.full(CONVERSATIONS, EACH)
    random = np.random.default_rng(5)
    guess = np.where(random.random(len(labels)) < 0.6, labels, (labels + 1) % CLASSES)
    mended = np.where(random.random(len(labels)) < 0.1, labels, guess)
    a, b = tally(guess, labels, lengths, CLASSES), tally(mended, labels, lengths, CLASSES)
    near, far = paired({0: a}, {0: b}), paired({0: a}, {0: arm(0.64, 9)})
    assert near.high - near.low < 0.6 * (far.high - far.low)
    assert near.verdict == "better"


def test_seeds_that_differ_widen_the_interval() -> None:
    """The same conversations, but the second model depends on luck."""
    base = {s: arm(0.65, s) for s in range(4)}
    steady = {s: arm(0.65, 20 + s) for s in range(4)}
    lucky = {s: arm(right, 20 + s) for s, right in enumerate((0.5, 0.6, 0.7, 0.8))}
    a, b = paired(base, steady), paired(base, lucky)
    assert b.high - b.low > 2 * (a.high - a.low)


def test_only_common_seeds_are_compared() -> None:
    base = {s: arm(0.6, s) for s in (0, 1, 2)}
    found = paired(base, {1: arm(0.6, 1), 2: arm(0.6, 2), 7: arm(0.9, 3)})
    assert found.seeds == 2
    assert found.difference == 0
    with pytest.raises(ValueError, match="no common seed"):
        paired(base, {9: arm(0.6, 1)})


def test_other_conversations_are_refused() -> None:
    labels = truth(1)
    other = tally(labels, labels, np.full(CONVERSATIONS, EACH), CLASSES)
    with pytest.raises(ValueError, match="not measured on the same"):
        paired({0: arm(0.6, 1)}, {0: other})


def test_it_gives_the_same_every_time() -> None:
    a, b = {s: arm(0.6, s) for s in range(3)}, {s: arm(0.62, 9 + s) for s in range(3)}
    assert paired(a, b) == paired(a, b)


@pytest.mark.parametrize(
    ("difference", "low", "high", "verdict"),
    [
        (0.5, -0.2, 1.1, "tie"),
        (-0.9, -2.0, 0.1, "tie"),
        (1.5, -0.1, 3.0, "unclear"),
        (0.5, 0.1, 0.9, "tie"),
        (-2.0, -3.0, -1.0, "worse"),
    ],
)
def test_a_tie_is_under_a_point(difference: float, low: float, high: float, verdict: str) -> None:
    found = Comparison(difference, low, high, 5)
    assert found.verdict == verdict
    assert verdict in str(found)
