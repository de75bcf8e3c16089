"""Smoothing over a speaker's last finals, and abstaining where the result is unsure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from streamer.estimate import Config
from streamer.stage import run_inline
from streamer.types import (
    Alone,
    AudioChunk,
    Estimate,
    Features,
    Reading,
    Segment,
    Span,
    Speaker,
    Utterance,
)

HERE, AWAY = Reading(True, 1.0, 1.0), Reading(False, 0.0, 0.0)


class Said:
    """A fusion that says what it is told."""

    def __init__(self, estimates: Sequence[Estimate]) -> None:
        self._estimates = {id(e.utterance): e for e in estimates}
        self.forgotten: list[float] = []

    def push(self, features: Features) -> Iterator[Estimate]:
        yield self._estimates[id(features.utterance)]

    def flush(self) -> Iterable[Estimate]:
        return ()

    def alone(self, features: Features) -> Alone:
        return ((1.0, 0.0), None, None)

    def forget(self, before: float) -> None:
        self.forgotten.append(before)


def said(
    p: float, start: float, *, who: str = "s0", sequence: int | None = 1, readings: Reading = HERE
) -> Estimate:
    utterance = Utterance(Span(start, start + 1), None, (), Speaker(who))
    return Estimate(utterance, "e", sequence, 0, ("a", "b"), (p, 1 - p), (readings, AWAY, AWAY), 0)


def features(e: Estimate) -> Features:
    return Features(e.utterance, 0, None, None, None, (0, 0, 0))


def settle(config: Config, estimates: Sequence[Estimate]) -> list[Estimate]:
    return run_inline(config.around(Said(estimates)), [features(e) for e in estimates])


def first(estimates: Sequence[Estimate]) -> list[float]:
    return [round(e.probs[0], 6) for e in estimates]


def test_by_default_nothing_is_smoothed() -> None:
    out = settle(Config(), [said(0.9, 0), said(0.1, 2)])
    assert first(out) == [0.9, 0.1]
    assert not any(e.abstained for e in out)


def test_the_last_finals_of_a_speaker_are_averaged() -> None:
    """As many as asked for, each as the fusion gave it and not as it was smoothed."""
    out = settle(Config(smooth=2), [said(0.9, 0), said(0.5, 2), said(0.1, 4)])
    assert first(out) == [0.9, 0.7, 0.3]
    assert all(sum(e.probs) == pytest.approx(1) for e in out)


def test_speakers_are_apart() -> None:
    out = settle(Config(smooth=3), [said(0.9, 0), said(0.1, 2, who="s1"), said(0.5, 4)])
    assert first(out) == [0.9, 0.1, 0.7]


def test_what_was_said_long_ago_does_not_count() -> None:
    """By event time: from the end of one to the end of the other."""
    out = settle(Config(smooth=5, smooth_within=10), [said(0.9, 0), said(0.1, 9.5), said(0.1, 10.5)])
    assert first(out) == [0.9, 0.5, 0.1]


def test_partials_are_smoothed_and_leave_no_trace() -> None:
    segment = Segment(AudioChunk(np.zeros(16000, np.float32), 2.0), final=False)
    partial = said(0.1, 2, sequence=None)
    partial = replace(partial, utterance=replace(partial.utterance, segment=segment))
    out = settle(Config(smooth=3), [said(0.9, 0), partial, said(0.5, 2)])
    assert first(out) == [0.9, 0.5, 0.7]


def test_the_unsure_abstain() -> None:
    """After smoothing; at the threshold itself they do not."""
    config = Config(abstain_below=0.75, smooth=2)
    out = settle(config, [said(0.75, 0), said(0.7, 2), said(0.9, 4)])
    assert [e.abstained for e in out] == [False, True, False]


def test_nothing_present_abstains_however_sure() -> None:
    assert [e.abstained for e in settle(Config(abstain_below=0), [said(1.0, 0, readings=AWAY)])] == [True]


def test_a_purge_forgets_what_was_averaged() -> None:
    """Also what was already under way when it came."""
    before, after = said(0.9, 0), said(0.1, 2)
    fusion = Said([before, after])
    settled = Config(smooth=5).around(fusion)
    settled.forget(1.0)
    list(settled.push(features(before)))  # ends at 1.0: was under way
    assert first(list(settled.push(features(after)))) == [0.1]
    assert fusion.forgotten == [1.0]
    assert settled.alone(features(after))[0] == (1.0, 0.0)
    assert list(settled.flush()) == []
