"""Jensen-Shannon divergence: the same is 0, nothing in common is 1."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.inspection.divergence import divergence

SPREADS = st.lists(st.floats(0, 1), min_size=7, max_size=7).filter(lambda x: sum(x) > 1e-3)


def normal(x: list[float]) -> list[float]:
    return [v / sum(x) for v in x]


def test_the_ends_of_the_scale() -> None:
    assert divergence([0.2, 0.8], [0.2, 0.8]) == 0
    assert divergence([1, 0, 0], [0, 0.5, 0.5]) == 1


def test_a_value_worked_out_by_hand() -> None:
    """p = (1, 0), q = (1/2, 1/2): H(3/4, 1/4) - 1/2 bit."""
    wanted = -0.75 * math.log2(0.75) - 0.25 * math.log2(0.25) - 0.5
    assert divergence([1, 0], [0.5, 0.5]) == pytest.approx(wanted)


@given(SPREADS, SPREADS)
def test_it_is_symmetric_and_between_nought_and_one(a: list[float], b: list[float]) -> None:
    p, q = normal(a), normal(b)
    assert 0 <= divergence(p, q) <= 1
    assert divergence(p, q) == pytest.approx(divergence(q, p))


def test_distributions_over_different_labels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"longer|shorter"):
        divergence([1.0], [0.5, 0.5])
