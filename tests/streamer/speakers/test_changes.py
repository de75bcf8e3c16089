"""Where one voice ends and another begins, from made-up windows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from streamer.speakers.changes import mean, quietest, turns
from streamer.types import RATE, Floats

LENGTH, HOP = 1.6, 0.2
VOICES = {"a": (1.0, 0.2, 0.0), "b": (0.0, 0.2, 1.0), "c": (0.0, 1.0, 0.0)}


def windows(script: str) -> tuple[Floats, Floats, float]:
    """A letter is 0.2 s of a voice; a window hears the shares of those in it."""
    end = len(script) * HOP
    starts = np.arange(0.0, end - LENGTH + 1e-6, HOP, dtype=np.float32)
    heard = [np.mean([VOICES[v] for v in script[i : i + 8]], 0) for i in range(len(starts))]
    return starts, np.array(heard, np.float32), end


@pytest.mark.parametrize(
    ("script", "cuts"),
    [
        ("a" * 30, []),
        ("a" * 15 + "b" * 15, [3.0]),
        ("a" * 12 + "b" * 12 + "a" * 12, [2.4, 4.8]),
        ("a" * 12 + "b" * 12 + "c" * 12, [2.4, 4.8]),
    ],
)
def test_a_stretch_is_cut_where_another_voice_goes_on(script: str, cuts: list[float]) -> None:
    starts, embeddings, end = windows(script)
    found = turns(starts, LENGTH, embeddings, end)
    assert found[0][0] == 0.0
    assert found[-1][1] == pytest.approx(end)
    assert [b for _, b in found[:-1]] == pytest.approx(cuts, abs=0.35)
    assert all(one[1] == two[0] for one, two in pairwise(found))


def test_a_short_reply_stays_where_it_is() -> None:
    starts, embeddings, end = windows("a" * 15 + "b" * 3)
    assert turns(starts, LENGTH, embeddings, end) == [(0.0, end)]


def test_less_than_a_window_is_one_voice() -> None:
    assert turns(np.zeros(1, np.float32), 0.7, np.ones((1, 3), np.float32), 0.7) == [(0.0, 0.7)]


def test_the_mean_is_of_the_windows_inside() -> None:
    starts, embeddings, _ = windows("a" * 15 + "b" * 15)
    assert mean(starts, LENGTH, embeddings, 0.0, 3.0) == pytest.approx(VOICES["a"], abs=0.1)
    assert mean(starts, LENGTH, embeddings, 3.0, 6.0) == pytest.approx(VOICES["b"], abs=0.1)


def test_a_stretch_shorter_than_a_window_has_the_nearest() -> None:
    starts, embeddings, _ = windows("a" * 15 + "b" * 15)
    assert mean(starts, LENGTH, embeddings, 5.2, 6.0) == pytest.approx(VOICES["b"], abs=0.01)


def test_the_cut_is_at_the_softest_moment_nearby() -> None:
    pcm = np.random.default_rng(0).normal(0, 0.1, 4 * RATE).astype(np.float32)
    pcm[round(2.13 * RATE) : round(2.19 * RATE)] = 0.0
    assert quietest(pcm, 2.0) == pytest.approx(2.16, abs=0.03)
    assert quietest(pcm, 3.0) == pytest.approx(3.0, abs=0.25)
