from __future__ import annotations

import pytest

from streamer.sources.beat import Beat


@pytest.mark.parametrize(("given", "wanted", "expected"), [(25, 12, 120), (30, 10, 100), (10, 12, 100)])
def test_the_mean_rate_is_the_wanted_one_where_there_is_enough(
    given: int, wanted: int, expected: int
) -> None:
    beat = Beat(wanted)
    assert sum(beat.due(i / given) for i in range(10 * given)) == pytest.approx(expected, abs=1)


def test_without_a_wanted_rate_every_picture_is_due() -> None:
    beat = Beat(None)
    assert all(beat.due(i / 100) for i in range(10))


def test_after_a_pause_nothing_is_made_up_for() -> None:
    beat = Beat(10)
    assert beat.due(0.0)
    assert beat.due(5.0)
    assert not beat.due(5.04)
    assert beat.due(5.1)


def test_jitter_does_not_halve_the_rate() -> None:
    beat = Beat(10)
    assert [beat.due(t) for t in (0.0, 0.098, 0.203, 0.295)] == [True] * 4
