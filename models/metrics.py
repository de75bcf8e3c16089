"""Accuracy, F1 and calibration of label probabilities; plain torch.

Shape suffixes: N utterances, C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor


def scores(probs_NC: Tensor, labels_N: Tensor) -> dict[str, float]:
    """``accuracy``, ``weighted_f1``, ``macro_f1`` (all in percent) and ``ece`` (0..1, 15 bins).

    Macro F1 is the mean over all C classes; a class neither present nor predicted counts as 0.

    Raises:
        ValueError: no utterances, or the numbers of rows differ.
    """
    if len(labels_N) == 0 or len(labels_N) != len(probs_NC):
        raise ValueError(f"{len(probs_NC)} rows of probabilities for {len(labels_N)} labels")
    guess_N = probs_NC.argmax(1)
    classes = probs_NC.shape[1]
    confusion_CC = torch.zeros(classes, classes, dtype=torch.float64)
    confusion_CC.index_put_(
        (labels_N, guess_N), torch.ones(len(labels_N), dtype=torch.float64), accumulate=True
    )
    hit_C, true_C, said_C = confusion_CC.diag(), confusion_CC.sum(1), confusion_CC.sum(0)
    f1_C = 2 * hit_C / (true_C + said_C).clamp_min(1)
    return {
        "accuracy": float(100 * hit_C.sum() / len(labels_N)),
        "weighted_f1": float(100 * (f1_C * true_C).sum() / len(labels_N)),
        "macro_f1": float(100 * f1_C.mean()),
        "ece": expected_calibration_error(probs_NC, labels_N),
    }


def selective(probs_NC: Tensor, labels_N: Tensor, threshold: float) -> dict[str, float]:
    """What is left where a label with less than ``threshold`` is held back: ``coverage``, the share that is
    kept, and their ``accuracy``, both in percent (accuracy NaN where nothing is kept)."""
    confidence_N, guess_N = probs_NC.max(1)
    kept_N = confidence_N >= threshold
    right = float((guess_N == labels_N)[kept_N].double().mean())
    return {"coverage": 100 * float(kept_N.double().mean()), "accuracy": 100 * right}


def expected_calibration_error(probs_NC: Tensor, labels_N: Tensor, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equal-width bins of confidence (Guo et al. 2017)."""
    confidence_N, guess_N = probs_NC.max(1)
    right_N = (guess_N == labels_N).double()
    bin_N = (confidence_N * bins).long().clamp(0, bins - 1)
    gap = 0.0
    for b in range(bins):
        inside = bin_N == b
        if inside.any():
            gap += float(inside.sum()) * abs(
                float(right_N[inside].mean() - confidence_N[inside].double().mean())
            )
    return gap / len(labels_N)


def calibration_error_by_chance(probs_NC: Tensor, draws: int = 200, seed: int = 0) -> float:
    """The `expected_calibration_error` that probabilities which are exactly right have on so few utterances.

    Mean over ``draws`` of labels from ``probs_NC`` themselves. Over a hundred utterances it is about 0.1, so
    that no error below can be shown there.
    """
    generator = torch.Generator().manual_seed(seed)
    label_ND = torch.multinomial(probs_NC, draws, replacement=True, generator=generator)
    return sum(expected_calibration_error(probs_NC, label_N) for label_N in label_ND.T) / draws
