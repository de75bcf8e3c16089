"""Scores against scikit-learn, and calibration against its definition."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score

from models.calibration import SUBSETS, Temperatures, fit_temperature, probabilities
from models.losses import masked_cross_entropy
from models.metrics import calibration_error_by_chance, expected_calibration_error, scores, selective


def test_scores_are_those_of_scikit_learn() -> None:
    """Accuracy, weighted and macro F1 of random guesses."""
    g = torch.Generator().manual_seed(0)
    probs = torch.rand(300, 7, generator=g).softmax(1)
    labels = torch.randint(0, 7, (300,), generator=g)
    got, guess = scores(probs, labels), probs.argmax(1)
    assert got["accuracy"] == pytest.approx(100 * accuracy_score(labels, guess))
    assert got["weighted_f1"] == pytest.approx(100 * f1_score(labels, guess, average="weighted"))
    assert got["macro_f1"] == pytest.approx(100 * f1_score(labels, guess, average="macro"))


def test_nothing_to_score_is_an_error() -> None:
    """No rows or unequal rows would make a number that means nothing."""
    with pytest.raises(ValueError, match="0 rows"):
        scores(torch.zeros(0, 7), torch.zeros(0, dtype=torch.long))
    with pytest.raises(ValueError, match="2 rows"):
        scores(torch.zeros(2, 7), torch.zeros(3, dtype=torch.long))


def test_calibration_error_of_a_boaster() -> None:
    """Sure of everything and right half of the time: the error is one half; right as often as sure: zero."""
    sure = torch.tensor([[1.0, 0.0]] * 4)
    assert expected_calibration_error(sure, torch.tensor([0, 1, 0, 1])) == pytest.approx(0.5)
    half = torch.tensor([[0.75, 0.25]] * 4)
    assert expected_calibration_error(half, torch.tensor([0, 0, 0, 1])) == pytest.approx(0.0)


@pytest.mark.parametrize("true", [0.5, 1.0, 2.5])
def test_the_temperature_is_found(true: float) -> None:
    """Logits blown up by a factor get that factor back as their temperature."""
    g = torch.Generator().manual_seed(0)
    honest = torch.randn(3_000, 5, generator=g)
    labels = torch.multinomial(honest.softmax(1), 1, generator=g)[:, 0]
    assert fit_temperature(honest * true, labels) == pytest.approx(true, rel=0.1)
    torch.testing.assert_close(probabilities(honest * true, true), honest.softmax(1))


def test_a_temperature_needs_data() -> None:
    """No utterances: an error, not a default."""
    with pytest.raises(ValueError, match="no utterances"):
        fit_temperature(torch.zeros(0, 7), torch.zeros(0, dtype=torch.long))


def test_padding_does_not_train() -> None:
    """The masked loss is that of the valid rows alone; NaN in padding reaches neither value nor gradient."""
    logits = torch.randn(2, 3, 4)
    logits[1, 2] = float("nan")
    logits.requires_grad_()
    labels, valid = torch.randint(0, 4, (2, 3)), torch.ones(2, 3, dtype=torch.bool)
    valid[1, 2] = False
    loss = masked_cross_entropy(logits, labels, valid)
    want = torch.nn.functional.cross_entropy(logits.detach()[valid], labels[valid])
    torch.testing.assert_close(loss.detach(), want)
    loss.backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad[1, 2], torch.zeros(4))


def test_an_utterance_without_a_label_trains_nothing() -> None:
    """-1 is no label; where none has one the loss is 0 and so is its gradient."""
    logits = torch.randn(2, 3, 4, requires_grad=True)
    labels, valid = torch.tensor([[0, -1, 3], [-1, -1, 2]]), torch.ones(2, 3, dtype=torch.bool)
    want = torch.nn.functional.cross_entropy(logits[labels >= 0], labels[labels >= 0])
    torch.testing.assert_close(masked_cross_entropy(logits, labels, valid), want)
    nothing = masked_cross_entropy(logits, torch.full_like(labels, -1), valid)
    (grad,) = torch.autograd.grad(nothing, logits)
    assert nothing == 0
    assert not grad.any()


def test_each_subset_of_the_modalities_has_its_temperature() -> None:
    """Text, audio and visual in this order; the names of subsets are built likewise."""
    t = Temperatures(tuple(float(i + 1) for i in range(8)))
    present = torch.tensor([[False] * 3, [True, False, False], [False, True, True], [True] * 3])
    assert t.at(present).squeeze(1).tolist() == [1, 2, 7, 8]
    assert t.table() == {name: i + 1 for i, name in enumerate(SUBSETS)}
    for i, name in enumerate(SUBSETS[1:], 1):
        bits = [m in name.split("+") for m in ("text", "audio", "visual")]
        assert t.at(torch.tensor(bits)).item() == i + 1
    assert Temperatures.of(t.table()) == t
    probs = probabilities(torch.tensor([[0.0, 8.0]]).repeat(4, 1), t.at(present))
    assert probs[1, 1] == pytest.approx(1 / (1 + math.exp(-4)))


def test_the_unsure_are_held_back() -> None:
    """Coverage and accuracy are of what has the threshold or more."""
    probs = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5], [0.2, 0.8]])
    labels = torch.tensor([0, 0, 1, 1])
    assert selective(probs, labels, 0.0) == {"coverage": 100, "accuracy": 50}
    assert selective(probs, labels, 0.7) == {"coverage": 50, "accuracy": 100}
    assert selective(probs, labels, 0.6)["coverage"] == 75
    nothing = selective(probs, labels, 0.95)
    assert nothing["coverage"] == 0
    assert math.isnan(nothing["accuracy"])


@pytest.mark.parametrize("values", [(1.0,) * 7, (0.0,) * 8, (float("nan"),) * 8, (float("inf"),) * 8])
def test_impossible_temperatures_are_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="expected 8 temperatures above 0"):
        Temperatures(values)


def test_temperatures_of_other_subsets_are_refused() -> None:
    with pytest.raises(ValueError, match="temperatures of text; expected those of none, text"):
        Temperatures.of({"text": 1.0})


def test_few_utterances_have_a_calibration_error_by_chance() -> None:
    """It falls with the square root of their number, and is none where nothing is left to chance."""
    probs = torch.softmax(2 * torch.randn(8000, 3, generator=torch.Generator().manual_seed(0)), 1)
    few, many = (calibration_error_by_chance(probs[:n], draws=50) for n in (80, 8000))
    assert few == pytest.approx(10 * many, rel=0.3)
    # of one that is right four times in five: off by 0.2 then, else by 0.8
    one = calibration_error_by_chance(torch.tensor([[0.8, 0.2]]), draws=4000)
    assert one == pytest.approx(0.8 * 0.2 + 0.2 * 0.8, abs=0.02)
    assert calibration_error_by_chance(torch.eye(3)) == 0
