"""Valence and arousal: of the words where there are any, else of what was fused, else of nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
import torch

from models.encoders.affect import Affect, AffectNet, Config
from streamer.affect import WithAffect
from streamer.estimate import Config as Settling
from streamer.stage import run_inline
from streamer.types import Alone, Estimate, Features, Reading, Span, Speaker, Utterance

HERE, AWAY = Reading(True, 1.0, 1.0), Reading(False, 0.0, 0.0)
PROBS = (0.75, 0.25)


class Heard:
    """A fusion that is sure of the same thing each time."""

    forgotten = -1.0

    def push(self, features: Features) -> Iterator[Estimate]:
        here = [HERE if x is not None else AWAY for x in (features.text, features.audio, features.visual)]
        yield Estimate(features.utterance, "e", 1, 0, ("joy", "anger"), PROBS, (here[0], here[1], here[2]), 0)

    def flush(self) -> Iterable[Estimate]:
        return ()

    def alone(self, features: Features) -> Alone:
        return (PROBS, None, None)

    def forget(self, before: float) -> None:
        self.forgotten = before


@pytest.fixture
def head() -> Affect:
    torch.manual_seed(0)
    net = AffectNet(Config(text=3, width=4, labels=2)).eval()
    net.map_KA = torch.tensor([[0.4, 0.2], [-0.4, 0.6]])
    return Affect(net, ("joy", "anger"), {})


def turn(start: float = 0.0, *, words: float | None = None, voice: bool = True) -> Features:
    u = Utterance(Span(start, start + 1), None, (), Speaker("s0"))
    text = None if words is None else torch.full((3,), words)
    return Features(u, 0, text, (1.0,) if voice else None, None, (0, 0, 0))


def test_words_are_read_by_the_head_whatever_else_is_there(head: Affect) -> None:
    (e,) = run_inline(WithAffect(Heard(), head), [turn(words=1.0)])
    assert (e.valence, e.arousal) == head.of_words(torch.ones(3))
    assert (e.valence, e.arousal) != head.of_labels(PROBS)
    assert e.probs == PROBS


def test_without_words_the_labels_are_mapped(head: Affect) -> None:
    (e,) = run_inline(WithAffect(Heard(), head), [turn()])
    assert (e.valence, e.arousal) == pytest.approx((0.2, 0.3))


def test_where_nothing_is_present_nothing_is_told(head: Affect) -> None:
    (e,) = run_inline(WithAffect(Heard(), head), [turn(voice=False)])
    assert (e.valence, e.arousal) == (None, None)


def test_the_fusion_inside_is_asked_for_all_else(head: Affect) -> None:
    fusion = Heard()
    stage = WithAffect(fusion, head)
    stage.forget(3.0)
    assert fusion.forgotten == 3.0
    assert stage.alone(turn()) == (PROBS, None, None)
    assert list(stage.flush()) == []


def test_smoothing_averages_what_is_known(head: Affect) -> None:
    """The mean over the finals that have it; one without a reading has that of the others."""
    turns = [turn(0, words=1.0), turn(2, voice=False), turn(4)]
    settled = Settling(smooth=3).around(WithAffect(Heard(), head))
    first, second, third = run_inline(settled, turns)
    valence, arousal = head.of_words(torch.ones(3))
    assert (first.valence, first.arousal) == pytest.approx((valence, arousal), abs=1e-6)
    assert second.valence == pytest.approx(valence, abs=1e-6)
    assert third.valence == pytest.approx((valence + 0.2) / 2, abs=1e-6)
    assert third.arousal == pytest.approx((arousal + 0.3) / 2, abs=1e-6)


def test_smoothing_leaves_unknown_what_nobody_told() -> None:
    turns = [replace(turn(t), text=None) for t in range(2)]
    out = run_inline(Settling(smooth=3).around(Heard()), turns)
    assert {e.valence for e in out} == {None}
