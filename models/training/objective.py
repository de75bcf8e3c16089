"""What is minimised: cross-entropy or focal loss over the labelled utterances alone.

Shape suffixes: K labelled utterances, C classes.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from models.training.config import Train, TrainingError


class Objective:
    """A weighted mean over utterances, as a sum and its weight, so that shares of a batch add up exactly."""

    def __init__(self, train: Train, label_U: Tensor, classes: int) -> None:
        self.train = train
        self.weight_C = class_weights(train, label_U, classes)

    def sum(self, logits_KC: Tensor, label_K: Tensor) -> Tensor:
        """The weighted sum over utterances; focal: (1 - p)^gamma times (Lin et al., arXiv 1708.02002)."""
        weight_C = self.weight_C.to(logits_KC.device)
        logits_KC = logits_KC.float()
        if self.train.loss == "focal":
            logp_K = F.log_softmax(logits_KC, -1).gather(1, label_K[:, None]).squeeze(1)
            return -(weight_C[label_K] * (1 - logp_K.exp()) ** self.train.gamma * logp_K).sum()
        return F.cross_entropy(
            logits_KC, label_K, weight_C, reduction="sum", label_smoothing=self.train.smoothing
        )

    def weight(self, label: Tensor) -> float:
        """What to divide `sum` by: the weights of the labelled utterances of ``label``."""
        label_K = label[label >= 0]
        return float(self.weight_C.to(label.device)[label_K].sum())


def class_weights(train: Train, label_U: Tensor, classes: int) -> Tensor:
    """``[C]``: ones, one over the share of the class ("balanced", mean 1 over utterances), or as given.

    Raises:
        TrainingError: not one weight for each class, a negative one, or all 0.
    """
    if train.class_weights == "none":
        return torch.ones(classes)
    if train.class_weights == "balanced":
        count_C = torch.bincount(label_U[label_U >= 0].cpu(), minlength=classes).float()
        return torch.where(count_C > 0, count_C.sum() / ((count_C > 0).sum() * count_C.clamp_min(1)), 1.0)
    if len(train.class_weights) != classes:
        raise TrainingError(f"train.class_weights: {len(train.class_weights)} for {classes} classes")
    if not (min(train.class_weights) >= 0 < max(train.class_weights) < math.inf):
        raise TrainingError(
            f"train.class_weights: {train.class_weights}; expected numbers from 0 on, not all of them 0"
        )
    return torch.tensor(train.class_weights)
