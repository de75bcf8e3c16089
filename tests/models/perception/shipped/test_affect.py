"""Valence and arousal of the shipped files: the sentences that are read, and the baseline of words."""

from __future__ import annotations

import numpy as np
import pytest

from models.data.sentences import MEASURES, Part, Sentences
from models.perception.affect import ALONE, MISHEARD
from models.perception.shipped.affect import conditions, ridge

FINE, FOUL = "what a lovely day", "this is a dreadful mess"


def corpus(test: Part) -> Sentences:
    return Sentences(
        "made", MEASURES, ("valence", "arousal", "dominance"), {**learnt(), "test": test}, "", "yes"
    )


def learnt() -> dict[str, Part]:
    return {
        "train": part(*[(FINE, 0.5, -0.5), (FOUL, -0.5, 0.5)] * 8),
        "dev": part((FINE, 0.5, -0.5), (FOUL, -0.5, 0.5)),
    }


def part(*said: tuple[str, float, float]) -> Part:
    texts, valence, arousal = zip(*said, strict=True)
    targets_NK = np.stack((valence, arousal, np.zeros(len(said))), 1).astype(np.float32)
    return Part(texts, (0,) * len(said), targets_NK)


def test_ridge_regression_learns_words_that_tell_and_is_scored_on_test() -> None:
    pytest.importorskip("sklearn")
    right, swapped = part((FINE, 0.5, -0.5), (FOUL, -0.5, 0.5)), part((FINE, -0.5, 0.5), (FOUL, 0.5, -0.5))
    for test, r in ((right, 1.0), (swapped, -1.0)):
        found = ridge(corpus(test), {ALONE: test.texts, MISHEARD: test.texts[::-1]})
        assert found[ALONE] == pytest.approx({"valence": r, "arousal": r}, abs=1e-4)
        assert found[MISHEARD] == pytest.approx({"valence": -r, "arousal": -r}, abs=1e-4)


def test_misheard_sentences_have_wrong_words_and_are_the_same_each_time() -> None:
    test = part(*[("It Rained, Again And Again!", 0.1, 0.1)] * 40)
    texts = conditions(corpus(test))
    assert texts[ALONE] == test.texts
    assert all(text == text.lower() and "!" not in text for text in texts[MISHEARD])
    assert len(set(texts[MISHEARD])) > 5
    assert texts == conditions(corpus(test))
