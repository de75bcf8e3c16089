"""The baselines of the words: what they are given, and that they learn what can be learnt."""

from __future__ import annotations

import pytest
import torch

from models.asr_noise import WordErrors
from models.batches import Example
from models.meld import LABELS
from models.normalise import Prior
from models.perception.shipped.text import POLARITIES, polarity, polarity_of_labels, tfidf
from models.train_meld import Corpus


def example(*said: tuple[str, int]) -> Example:
    texts, labels = zip(*said, strict=True)
    n = len(texts)
    return Example(texts, (0,) * n, torch.tensor(labels), torch.zeros(n, 1), torch.ones(n, dtype=torch.bool))


def test_words_that_tell_are_learnt_and_utterances_without_a_label_are_not() -> None:
    pytest.importorskip("sklearn")
    joy, anger = LABELS.index("joy"), LABELS.index("anger")
    train = [example(("what a lovely day", joy), ("go away now", anger), ("lovely", -1))] * 8
    dev = [example(("lovely lovely", joy), ("away", anger))]
    corpus = Corpus(train, dev, dev, Prior(("a",), (0.0,), (1.0,)), WordErrors(["x"]))
    found = tfidf(corpus, {"gold": dev, "swapped": [example(("away", joy), ("lovely", anger))]})
    assert found["gold"]["accuracy"] == 100.0
    assert found["swapped"]["accuracy"] == 0.0


def test_labels_share_in_polarities_as_on_train() -> None:
    joy = LABELS.index("joy")
    share_CP = polarity_of_labels(torch.tensor([joy, joy, joy, 0, -1]), torch.tensor([2, 2, 1, 1, 0]))
    assert share_CP[joy].tolist() == pytest.approx([0.0, 1 / 3, 2 / 3])
    assert share_CP[0].tolist() == [0.0, 1.0, 0.0]
    assert float(share_CP.sum()) == pytest.approx(2.0)  # the utterance without a label is nobody's


def test_a_compound_score_near_nothing_is_neutral() -> None:
    assert [POLARITIES[polarity(x)] for x in (-0.05, -0.04, 0.0, 0.04, 0.05)] == [
        "negative",
        "neutral",
        "neutral",
        "neutral",
        "positive",
    ]
