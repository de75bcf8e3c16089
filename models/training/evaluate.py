"""What a trained model does on a split: scores, each class, the confusion, how true its confidence is.

Shape suffixes: K labelled utterances, C classes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.calibration import probabilities
from models.metrics import expected_calibration_error, scores
from models.training.config import MODALITIES, TrainingError
from models.training.features import CACHE, Say, nobody, open_data
from models.training.fit import predict
from models.training.run import Prepared
from models.training.store import Trained
from models.training.tensors import Tensors, tensors

BINS = 15
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PerClass:
    """Percent but ``n``, the number of utterances; precision is 0 where the class is never said."""

    label: str
    precision: float
    recall: float
    f1: float
    n: int


@dataclass(frozen=True, slots=True)
class Bin:
    """Of one fifteenth of the confidences: mean confidence and accuracy, 0..1, and the utterances in it."""

    low: float
    high: float
    confidence: float
    accuracy: float
    n: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """``confusion[i][j]`` counts utterances of label i called j; ``calibrated_ece`` is at the temperature."""

    split: str
    without: tuple[str, ...]
    utterances: int
    scores: dict[str, float]
    calibrated_ece: float
    classes: tuple[PerClass, ...]
    confusion: tuple[tuple[int, ...], ...]
    bins: tuple[Bin, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of the model."""
        return tuple(c.label for c in self.classes)

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return asdict(self)


def read_data(
    trained: Trained,
    folder: Path,
    *,
    split: str,
    word_errors: float = 0.0,
    cache: Path = CACHE,
    say: Say = nobody,
) -> Tensors:
    """The corpus in ``folder``, scaled as in training; ``word_errors``: share of test's words made wrong.

    Raises:
        DataError, TrainingError, CheckpointError: see `models.training.features.open_data`; no such split.
    """
    config = trained.config
    if word_errors:
        if split != "test":
            raise TrainingError(f"word errors are made in test, not in {split}")
        if "text" not in config.data.modalities or config.data.text == "packaged":
            raise TrainingError(
                "word errors need a model that reads words: this one was trained without them, or on text"
                " features that came with the corpus"
            )
        config = config.replace(**{"data.word_errors": (word_errors,)})
    data: Prepared = open_data(config, folder, cache, say)
    if not word_errors and data.digest != trained.meta["data_digest"]:
        log.warning(
            "%s or the encoder of its words is not what the model was trained on (%s, then %s)",
            *(data.corpus.name, data.digest, trained.meta["data_digest"]),
        )
    if data.corpus.labels != trained.labels:
        raise TrainingError(
            f"{data.corpus.name}: labels {data.corpus.labels}, the model has {trained.labels}"
        )
    read = tensors(data.corpus, config.data.modalities, trained.scales)
    wanted = f"test@{word_errors:g}" if word_errors else split
    if wanted not in read.splits:
        raise TrainingError(f"{data.corpus.name} has no split {wanted!r}; it has {', '.join(read.splits)}")
    if dict(read.sizes) != {m: trained.model.config.sizes.get(m, 0) for m in MODALITIES}:
        raise TrainingError(f"features of {dict(read.sizes)}, the model reads {trained.model.config.sizes}")
    return Tensors({split: read.splits[wanted]}, read.sizes, read.classes)


def evaluate(trained: Trained, data: Tensors, split: str, without: Sequence[str] = ()) -> Evaluation:
    """``trained`` on ``split`` with the modalities ``without`` absent everywhere.

    Raises:
        TrainingError: no such modality, none left, or no labelled utterance.
    """
    there = trained.model.config.modalities
    if unknown := [m for m in without if m not in there]:
        raise TrainingError(f"--without {unknown[0]}: the model reads {', '.join(there)}")
    if not set(there) - set(without):
        raise TrainingError("--without: no modality is left")
    part = data.splits[split].without(*without)
    label_U = part.label_U[:-1]
    known = label_U >= 0
    if not known.any():
        raise TrainingError(f"{split}: no utterance has a label")
    logits_KC, label_K = predict(trained.model, part)[known], label_U[known]
    probs_KC = logits_KC.softmax(-1)
    confusion_CC = confusion(probs_KC.argmax(1), label_K, len(trained.labels))
    calibrated = expected_calibration_error(probabilities(logits_KC, trained.temperature), label_K, BINS)
    return Evaluation(
        split,
        tuple(without),
        len(label_K),
        scores(probs_KC, label_K),
        calibrated,
        per_class(confusion_CC, trained.labels),
        tuple(tuple(row) for row in confusion_CC.tolist()),
        bins(probs_KC, label_K),
    )


def confusion(guess_K: Tensor, label_K: Tensor, classes: int) -> Tensor:
    """``[C, C]`` int64: utterances of label i called j."""
    cells = torch.bincount(label_K * classes + guess_K, minlength=classes * classes)
    return cells.view(classes, classes)


def per_class(confusion_CC: Tensor, labels: Sequence[str]) -> tuple[PerClass, ...]:
    """Precision, recall and F1 of each class."""
    hit, true, said = (t.double() for t in (confusion_CC.diag(), confusion_CC.sum(1), confusion_CC.sum(0)))
    precision, recall = hit / said.clamp_min(1), hit / true.clamp_min(1)
    f1 = 2 * hit / (true + said).clamp_min(1)
    return tuple(
        PerClass(label, 100 * float(precision[i]), 100 * float(recall[i]), 100 * float(f1[i]), int(true[i]))
        for i, label in enumerate(labels)
    )


def bins(probs_KC: Tensor, label_K: Tensor, count: int = BINS) -> tuple[Bin, ...]:
    """Bins of equal width, those of `models.metrics.expected_calibration_error`; empty ones are left out."""
    confidence_K, guess_K = probs_KC.max(1)
    bin_K = (confidence_K * count).long().clamp(0, count - 1)
    right_K = (guess_K == label_K).double()
    out = []
    for b in range(count):
        inside = bin_K == b
        if inside.any():
            mean, accuracy = float(confidence_K[inside].double().mean()), float(right_K[inside].mean())
            out.append(Bin(b / count, (b + 1) / count, mean, accuracy, int(inside.sum())))
    return tuple(out)
