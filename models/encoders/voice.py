"""A small network that hears how an utterance is spoken, while it is spoken.

Log-mel frames, the pitch contour and Praat's measures of the utterance so far are pooled into statistics
(`models.encoders.voice_statistics`), set against how the same speaker sounded before where that is known, and
read by two layers: an embedding for the fusion and a distribution over the expressions.

A voice by itself says little of a mood: what is high or loud for one person is plain for another. So every
statistic is a z-score against mean and variance of the speaker so far, shrunk towards the corpus
(`Reference`, as `models.normalise` does for the eight measures). Nothing need be known of the speaker: then
it is a z-score against the corpus. The network is told how much is known, and trained on all cases.

Shape suffixes: N utterances, S statistics, E embedding, K expressions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import checkpoint
from models.encoders.hearing import Hearing
from models.encoders.voice_statistics import COUNT, statistics

Floats = NDArray[np.float64]

KIND = "voice"
LABELS = ("neutral", "happy", "surprised", "sad", "angry", "disgust", "fearful")
DEFAULT = checkpoint.WEIGHTS / "voice.safetensors"

_CLIP = 4.0  # z-scores beyond this are errors of measurement more often than speech


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """How a speaker has sounded: ``count`` utterances, their mean ``[S]`` and summed squared deviations.

    A value: `plus` makes a new one, so that the reading of an unfinished utterance changes nothing.
    """

    count: int
    mean_S: Floats
    square_S: Floats

    @classmethod
    def unknown(cls) -> Reference:
        """Of somebody not heard yet."""
        return cls(0, np.zeros(COUNT), np.zeros(COUNT))

    @classmethod
    def of(cls, statistics_NS: Floats) -> Reference:
        """Of somebody heard ``N`` times, at least once."""
        mean_S = statistics_NS.mean(0)
        return cls(len(statistics_NS), mean_S, np.square(statistics_NS - mean_S).sum(0))

    def plus(self, statistics_S: Floats) -> Reference:
        """The same speaker with one utterance more."""
        count = self.count + 1
        apart_S = statistics_S - self.mean_S
        mean_S = self.mean_S + apart_S / count
        return Reference(count, mean_S, self.square_S + apart_S * (statistics_S - mean_S))


@dataclass(frozen=True, slots=True)
class Config:
    """``width`` units between the statistics and the ``embedding``; ``prior``: utterances of a speaker that
    count as much as what is known of everybody."""

    width: int = 256
    embedding: int = 64
    dropout: float = 0.4
    prior: float = 5.0
    labels: tuple[str, ...] = LABELS


class VoiceNet(nn.Module):
    """Statistics relative to a speaker ``[N, S + 1]`` -> ``(embedding_NE, logits_NK)``.

    ``mean_S`` and ``std_S`` are those of the corpus that it was trained on; an embedding has about zero mean
    and unit variance in every dimension.
    """

    mean_S: Tensor
    std_S: Tensor

    def __init__(self, config: Config | None = None) -> None:
        super().__init__()
        self.config = config = config or Config()
        self.meta: dict[str, Any] = {}  # the facts of the file's header
        self.register_buffer("mean_S", torch.zeros(COUNT, dtype=torch.float64))
        self.register_buffer("std_S", torch.ones(COUNT, dtype=torch.float64))
        self.trunk = nn.Sequential(
            nn.Linear(COUNT + 1, config.width, bias=False),
            nn.BatchNorm1d(config.width),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.width, config.embedding, bias=False),
            nn.BatchNorm1d(config.embedding, affine=False),
        )
        self.head = nn.Sequential(
            nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(config.embedding, len(config.labels))
        )

    def forward(self, x_NS: Tensor) -> tuple[Tensor, Tensor]:
        embedding_NE = self.trunk(x_NS)
        return embedding_NE, self.head(embedding_NE)

    def relative(self, statistics_NS: Floats, speakers: Sequence[Reference]) -> NDArray[np.float32]:
        """``[N, S + 1]``: each utterance as z-scores against its speaker, and how much is known of them.

        ``speakers`` include the utterance itself: `Reference.plus` it first.
        """
        count_N1 = np.array([[float(s.count)] for s in speakers])
        mean_NS = np.stack([s.mean_S for s in speakers])
        square_NS = np.stack([s.square_S for s in speakers])
        return self.scores(statistics_NS, count_N1, mean_NS, square_NS)

    def scores(
        self, x_NS: Floats, count_N1: Floats, mean_NS: Floats, square_NS: Floats
    ) -> NDArray[np.float32]:
        """As `relative`, from arrays of any leading shape that broadcast."""
        speaker = count_N1, mean_NS, square_NS
        return z_scores(x_NS, speaker, self.mean_S.numpy(), self.std_S.numpy(), self.config.prior)

    @torch.inference_mode()
    def embed(self, statistics_NS: Floats, speakers: Sequence[Reference]) -> tuple[Tensor, Tensor]:
        """Embedding ``[N, E]`` and probabilities ``[N, K]``, float32; ``speakers`` as for `relative`."""
        x_NS = torch.from_numpy(self.relative(statistics_NS, speakers))
        embedding_NE, logits_NK = self(x_NS)
        return embedding_NE, logits_NK.softmax(1)

    def read(self, statistics_S: Floats, speaker: Reference) -> Reading:
        """What one utterance sounds like, from its ``statistics_S``; ``speaker`` is known from before it."""
        embedding_NE, probs_NK = self.embed(statistics_S[None], [speaker.plus(statistics_S)])
        return Reading(tuple(embedding_NE[0].tolist()), tuple(probs_NK[0].tolist()), statistics_S)

    @classmethod
    def load(cls, path: Path | None = None) -> VoiceNet:
        """The trained network of ``path`` (None: the one that ships), ready for `embed`.

        Raises:
            CheckpointError: the file is missing, truncated, or holds other weights.
        """
        path = path or DEFAULT
        stored = checkpoint.load(path, KIND)
        try:
            net = cls(Config(**{**stored.config, "labels": tuple(stored.config["labels"])}))
            net.load_state_dict(stored.tensors)
            net.meta = stored.meta
        except (RuntimeError, TypeError, KeyError) as error:
            raise checkpoint.CheckpointError(f"{path}: does not fit this voice network ({error})") from error
        return net.eval().requires_grad_(False)

    def save(self, path: Path, facts: dict[str, Any]) -> None:
        """Write the weights with ``facts`` (metrics, data, licences) beside kind, config and labels."""
        meta = {"kind": KIND, "config": asdict(self.config), "labels": list(self.config.labels), **facts}
        checkpoint.save(path, self.state_dict(), meta)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What a voice sounds like so far.

    Attributes:
        embedding: ``[E]``, for the fusion.
        emotion: The network's own reading: probabilities in the order of its labels.
        statistics_S: For `Reference.plus`, once the utterance is final.
    """

    embedding: tuple[float, ...]
    emotion: tuple[float, ...]
    statistics_S: Floats


class VoiceEncoder:
    """Hears one utterance: `push` sound as it comes, `read` at any time."""

    def __init__(self, net: VoiceNet, speaker: Reference | None = None) -> None:
        self.hearing = Hearing()
        self._net, self._speaker = net, speaker or Reference.unknown()

    def push(self, pcm: NDArray[np.float32]) -> None:
        """As `Hearing.push`."""
        self.hearing.push(pcm)

    def read(self) -> Reading | None:
        """The reading of everything so far; None where nothing was heard. More may be pushed afterwards."""
        heard = self.hearing.heard()
        if heard is None:
            return None
        return self._net.read(statistics(heard), self._speaker)


def z_scores(
    x_NS: Floats, speaker: tuple[Floats, Floats, Floats], mean_S: Floats, std_S: Floats, prior: float
) -> NDArray[np.float32]:
    """``[..., S + 1]``: ``x_NS`` against ``speaker``, shrunk to the corpus; that counts as ``prior`` clips.

    ``speaker`` is count ``[..., 1]``, mean and summed squares ``[..., S]``, and includes ``x_NS`` itself.
    """
    count_N1, own_NS, square_NS = speaker
    total_N1, apart_NS = count_N1 + prior, own_NS - mean_S
    centre_NS = mean_S + apart_NS * count_N1 / total_N1
    between_NS = np.square(apart_NS) * prior * count_N1 / total_N1
    variance_NS = (prior * np.square(std_S) + square_NS + between_NS) / total_N1
    z_NS = np.clip((x_NS - centre_NS) / np.sqrt(variance_NS), -_CLIP, _CLIP)
    known_N1 = np.broadcast_to(count_N1 / total_N1, (*z_NS.shape[:-1], 1))
    return np.concatenate((z_NS, known_N1), axis=-1).astype(np.float32)
