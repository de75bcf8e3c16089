"""Valence and arousal of an utterance: of its words by a small head on the text features, else of its labels.

Both are in -1..1 with 0 in the middle of the annotators' scale: EmoBank's 1..5 becomes ``(x - 3) / 2``. They
are an observer's reading of a sentence, how pleasant and how excited it comes across, and nothing that
anybody feels. Where there are no words, a linear map of the label probabilities stands in; it was fitted on
the same sentences.

Shape suffixes: n utterances, D text features, K labels, A measures (`MEASURES`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models import checkpoint
from models.checkpoint import WEIGHTS, CheckpointError, digest

KIND = "affect"
DEFAULT = WEIGHTS / "affect.safetensors"
MEASURES = ("valence", "arousal")
ELSE = (
    "train it anew (python -m models.train_affect ship --data DATA --weights FOLDER), or take the file away:"
    " valence and arousal are null then"
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """``text`` features in, ``width`` hidden; ``labels`` in the map."""

    text: int = 384
    width: int = 96
    labels: int = 7


class AffectNet(nn.Module):
    """The head and, beside it, the map of the labels."""

    mean_D: Tensor
    std_D: Tensor
    map_KA: Tensor

    def __init__(self, config: Config, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean_D", torch.zeros(config.text))
        self.register_buffer("std_D", torch.ones(config.text))
        self.register_buffer("map_KA", torch.zeros(config.labels, len(MEASURES)))
        self.head = nn.Sequential(
            nn.Linear(config.text, config.width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(config.width, len(MEASURES)),
        )

    def scaled(self, text_nD: Tensor) -> Tensor:
        """The features as z-scores over the sentences of the training."""
        return (text_nD.float() - self.mean_D) / self.std_D

    def forward(self, text_nD: Tensor) -> Tensor:
        """Measures ``[n, A]`` of text features, not clipped."""
        out_nA: Tensor = self.head(self.scaled(text_nD))
        return out_nA

    def of_labels(self, probs_nK: Tensor) -> Tensor:
        """Measures ``[n, A]`` of label probabilities: the mean of the labels' own, not clipped."""
        return probs_nK.float() @ self.map_KA


@dataclass(frozen=True, slots=True)
class Affect:
    """The head ready to use; ``labels`` are those whose probabilities it maps, in order."""

    net: AffectNet
    labels: tuple[str, ...]
    meta: dict[str, Any]

    @torch.inference_mode()
    def of_words(self, text_D: Tensor) -> tuple[float, float]:
        """Valence and arousal, -1..1, of the features of an utterance's words."""
        return _pair(self.net(text_D.to(self.net.mean_D.device).unsqueeze(0)))

    @torch.inference_mode()
    def of_labels(self, probs: Sequence[float]) -> tuple[float, float]:
        """Valence and arousal, -1..1, of label probabilities."""
        return _pair(self.net.of_labels(torch.tensor([probs], device=self.net.map_KA.device)))


def _pair(out_nA: Tensor) -> tuple[float, float]:
    valence, arousal = out_nA[0].clamp(-1, 1).tolist()
    return valence, arousal


def load_affect(
    path: Path | None = None, device: str | torch.device = "cpu", labels: Sequence[str] | None = None
) -> Affect:
    """The head in ``path`` (default: the one that ships), for a fusion with these ``labels`` if given.

    It is of use only with the text encoder that it was trained on, ``text.safetensors`` beside it.

    Raises:
        CheckpointError: the file is missing, damaged, of another kind, or belongs to another text encoder
            or to other labels.
    """
    path = path or DEFAULT
    stored = checkpoint.load(path, KIND)
    try:
        net = AffectNet(Config(**stored.config))
        net.load_state_dict(stored.tensors)
        own, mark = tuple(stored.meta["labels"]), stored.meta["encoders"]["text"]
    except (KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"{path}: does not fit its own config ({error})") from error
    if len(own) != net.config.labels:
        raise CheckpointError(f"{path}: {len(own)} labels for a map of {net.config.labels}")
    if labels is not None and own != tuple(labels):
        raise CheckpointError(
            f"{path}: maps {', '.join(own)}, and the fusion tells {', '.join(labels)}; {ELSE}"
        )
    text = path.with_name("text.safetensors")
    if not text.is_file() or digest(text) != mark:
        raise CheckpointError(f"{path}: belongs to another text encoder than {text}; {ELSE}")
    return Affect(net.to(device).eval().requires_grad_(False), own, stored.meta)


def save_affect(path: Path, net: AffectNet, facts: Mapping[str, Any]) -> None:
    """Write ``net``; the ``facts`` must hold ``labels`` and the digests of the ``encoders``."""
    checkpoint.save(path, net.state_dict(), {**facts, "kind": KIND, "config": asdict(net.config)})
