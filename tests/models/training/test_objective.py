"""The loss: over labelled utterances alone, weighted as asked, the same in parts as in one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from models.training.config import Train, TrainingError
from models.training.objective import Objective, class_weights

LOGITS = torch.randn(7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).float()
LABELS = torch.tensor([0, 1, 2, 1, 1, 0, 1])


def mean(train: Train) -> float:
    objective = Objective(train, LABELS, 3)
    return float(objective.sum(LOGITS, LABELS)) / objective.weight(LABELS)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", ["none", "balanced", (1.0, 2.0, 0.5)])
def test_it_is_torch_s_weighted_mean(smoothing: float, weights: object) -> None:
    train = Train.model_validate({"smoothing": smoothing, "class_weights": weights})
    weight_C = class_weights(train, LABELS, 3)
    want = F.cross_entropy(LOGITS, LABELS, weight_C, label_smoothing=smoothing)
    assert mean(train) == pytest.approx(float(want), rel=1e-6)


def test_focal_loss_without_gamma_is_cross_entropy_and_with_it_forgives_the_easy() -> None:
    plain = float(F.cross_entropy(LOGITS, LABELS))
    assert mean(Train(loss="focal", gamma=0.0)) == pytest.approx(plain, rel=1e-6)
    p = LOGITS.softmax(1).gather(1, LABELS[:, None]).squeeze(1)
    want = float((-((1 - p) ** 2.5) * p.log()).mean())
    assert mean(Train(loss="focal", gamma=2.5)) == pytest.approx(want, rel=1e-5)


def test_parts_of_a_batch_add_up_to_the_whole() -> None:
    objective = Objective(Train(class_weights="balanced", smoothing=0.1), LABELS, 3)
    parts = [(LOGITS[:4], LABELS[:4]), (LOGITS[4:], LABELS[4:])]
    total = sum(float(objective.sum(x, y)) for x, y in parts)
    assert total == pytest.approx(float(objective.sum(LOGITS, LABELS)), rel=1e-6)
    assert sum(objective.weight(y) for _, y in parts) == pytest.approx(objective.weight(LABELS))


def test_balanced_classes_weigh_the_same_and_an_unseen_one_does_no_harm() -> None:
    weight_C = class_weights(Train(class_weights="balanced"), torch.tensor([0, 0, 0, 2, -1, -1]), 4)
    assert weight_C[0] * 3 == pytest.approx(float(weight_C[2]))
    assert torch.isfinite(weight_C).all()


def test_unlabelled_utterances_weigh_nothing() -> None:
    assert Objective(Train(), LABELS, 3).weight(torch.tensor([[0, -1], [-1, 2]])) == 2


def test_one_weight_for_each_class() -> None:
    with pytest.raises(TrainingError, match="2 for 3 classes"):
        class_weights(Train(class_weights=(1.0, 2.0)), LABELS, 3)
    for wrong in ((0.0, 0.0, 0.0), (-1.0, 1.0, 1.0)):
        with pytest.raises(TrainingError, match="not all of them 0"):
            class_weights(Train(class_weights=wrong), LABELS, 3)
