"""A corpus as flat tensors, gathered into padded batches by index: nothing is collated twice.

Every modality is standardised by the train split alone: the voice causally, speaker by speaker, where its
measures are known by name (`models.normalise`), everything else but encoder features by mean and deviation. A
row without a finite number is an utterance without that modality; a single missing or infinite value becomes
the mean, 0.

Shape suffixes: U utterances of a split and one row of padding, B conversations, N utterances, D features,
M modalities (3), T text, A audio, V visual features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.data.corpus import Conversation, Corpus
from models.dialogue import MODALITIES, Dialogue
from models.encoders.prosody import USED_MEASURES
from models.normalise import FORBIDDEN, Prior, causal_normalise, fit_prior
from models.training.config import TrainingError

CLIP = 5.0  # standard deviations; beyond stands an extractor's error
ENCODED = 384  # text of this width or wider comes from an encoder and is left as it is


@dataclass(frozen=True, slots=True)
class Split:
    """Utterances end to end; the last row is padding. ``rows_BN`` says where utterance n of b stands."""

    text_UT: Tensor
    audio_UA: Tensor
    visual_UV: Tensor
    present_UM: Tensor
    speaker_U: Tensor
    label_U: Tensor  # -1: neither trained on nor scored; so is padding
    rows_BN: Tensor
    length_B: Tensor

    def __len__(self) -> int:
        return len(self.length_B)

    @property
    def labelled(self) -> bool:
        """Whether any utterance has a label."""
        return bool((self.label_U >= 0).any())

    def to(self, device: torch.device | str) -> Split:
        """The same on ``device``."""
        return Split(*(getattr(self, f.name).to(device) for f in fields(self)))

    def without(self, *modalities: str) -> Split:
        """The same with ``modalities`` absent everywhere."""
        keep_M = torch.tensor([m not in modalities for m in MODALITIES], device=self.present_UM.device)
        return replace(self, present_UM=self.present_UM & keep_M)

    def batch(self, which: Tensor) -> tuple[Dialogue, Tensor]:
        """The conversations ``which`` ``[B]`` as a padded dialogue, and their labels ``[B, N]``."""
        longest = int(self.length_B[which].max())
        rows_BN = self.rows_BN[which, :longest]
        valid_BN = rows_BN < len(self.label_U) - 1
        dialogue = Dialogue(
            self.text_UT[rows_BN],
            self.audio_UA[rows_BN],
            self.visual_UV[rows_BN],
            self.present_UM[rows_BN],
            self.speaker_U[rows_BN],
            valid_BN,
        )
        return dialogue, self.label_U[rows_BN]

    def by_length(self, size: int) -> Iterator[Tensor]:
        """All conversations, ``size`` at a time, the long ones first, so that little is padded."""
        return iter(torch.split(self.length_B.argsort(descending=True, stable=True), size))


@dataclass(frozen=True, slots=True)
class Tensors:
    """What one run reads: splits by name (``train``, ``dev``, ``test`` and perhaps ``test@0.1``)."""

    splits: Mapping[str, Split]
    sizes: Mapping[str, int]
    classes: int

    def to(self, device: torch.device | str) -> Tensors:
        """The same on ``device``."""
        return replace(self, splits={name: s.to(device) for name, s in self.splits.items()})


@dataclass(frozen=True, slots=True)
class Scale:
    """What train says of one modality; numbers only, so that a checkpoint can hold it.

    ``measures`` are the names of a voice that is normalised causally (empty: of another modality or unknown).
    """

    mean_D: tuple[float, ...]
    std_D: tuple[float, ...]
    measures: tuple[str, ...] = ()


def scales(corpus: Corpus, modalities: Sequence[str], measures: Sequence[str] = ()) -> dict[str, Scale]:
    """The scale of each of ``modalities`` but encoder features, from train; ``measures`` choose of the voice.

    Raises:
        TrainingError: the corpus lacks a modality or a measure, or has no train split.
    """
    sizes, train = corpus.sizes(), corpus.splits.get("train", ())
    missing = [m for m in modalities if m not in sizes]
    if missing or not train:
        what = f"has no {' and no '.join(missing)}" if missing else "has no train split"
        raise TrainingError(
            f"{corpus.name} {what}; it has {', '.join(sizes) or 'words alone'} (see data.modalities, text)"
        )
    out: dict[str, Scale] = {}
    for name in modalities:
        rows_ND = np.concatenate([_rows(c, name) for c in train])
        names = _measures(corpus, measures) if name == "audio" else ()
        if np.isnan(rows_ND).all():
            raise TrainingError(f"{corpus.name}: no utterance of train has {name}; see data.modalities")
        if names:
            prior = fit_prior(rows_ND[:, _columns(corpus, names)], names)
            out[name] = Scale(prior.mean_A, prior.std_A, names)
        elif name != "text" or sizes[name] < ENCODED:
            rows_ND = rows_ND[~np.isnan(rows_ND).all(1)]
            std_D = np.maximum(np.nanstd(rows_ND, 0), 1e-6)
            out[name] = Scale(tuple(np.nanmean(rows_ND, 0).tolist()), tuple(std_D.tolist()))
    return out


def tensors(corpus: Corpus, modalities: Sequence[str], scales: Mapping[str, Scale]) -> Tensors:
    """``corpus`` with ``modalities`` alone, each by its scale."""
    splits = {name: _split(corpus, c, modalities, scales) for name, c in corpus.splits.items() if c}
    first = next(iter(splits.values()))
    widths = (first.text_UT.shape[1], first.audio_UA.shape[1], first.visual_UV.shape[1])
    return Tensors(splits, dict(zip(MODALITIES, widths, strict=True)), len(corpus.labels))


def _measures(corpus: Corpus, chosen: Sequence[str]) -> tuple[str, ...]:
    """The voice measures that are read, none where the corpus has others or does not name them."""
    known = tuple(corpus.measures.get("audio", ()))
    unknown = [m for m in chosen if m not in known]
    if unknown:
        raise TrainingError(
            f"{corpus.name} has no measure {unknown[0]!r}; it has {', '.join(known) or 'no names'}"
        )
    used = tuple(chosen) or tuple(m for m in known if m not in FORBIDDEN)
    if set(used) <= set(USED_MEASURES):
        return used
    if chosen:
        raise TrainingError(f"data.measures chooses among the voice measures {', '.join(USED_MEASURES)}")
    return ()  # learnt features with names: standardised like any others


def _columns(corpus: Corpus, names: Sequence[str]) -> list[int]:
    return [corpus.measures["audio"].index(n) for n in names]


def _split(
    corpus: Corpus, group: Sequence[Conversation], modalities: Sequence[str], scales: Mapping[str, Scale]
) -> Split:
    features, present = [], []
    units = sum(len(c) for c in group)
    for name in MODALITIES:
        if name not in modalities:
            features.append(torch.zeros(units + 1, 0))
            present.append(torch.zeros(units + 1, dtype=torch.bool))
            continue
        rows_ND = np.concatenate([_scaled(corpus, c, name, scales.get(name)) for c in group])
        rows_ND = np.concatenate([rows_ND, np.full_like(rows_ND[:1], np.nan)])
        present.append(torch.from_numpy(~np.isnan(rows_ND).all(1)))
        features.append(torch.from_numpy(np.nan_to_num(rows_ND).astype(np.float32)))
    lengths = [len(c) for c in group]
    rows_BN = torch.full((len(group), max(lengths)), units)
    at = 0
    for b, n in enumerate(lengths):
        rows_BN[b, :n] = torch.arange(at, at + n)
        at += n
    return Split(
        features[0],
        features[1],
        features[2],
        torch.stack(present, 1),
        torch.tensor([s for c in group for s in c.order_of_appearance()] + [0]),
        torch.from_numpy(np.concatenate([*(c.labels_N for c in group), [-1]])),
        rows_BN,
        torch.tensor(lengths),
    )


def _scaled(corpus: Corpus, c: Conversation, name: str, scale: Scale | None) -> NDArray[np.float64]:
    """Rows ``[N, D]`` of one modality; NaN throughout a row where the utterance lacks it."""
    rows_ND = _rows(c, name)
    if scale is None:
        return rows_ND
    absent_N1 = np.isnan(rows_ND).all(1, keepdims=True)
    if scale.measures:
        rows_ND = rows_ND[:, _columns(corpus, scale.measures)]
        absent_N1 = np.isnan(rows_ND).all(1, keepdims=True)
        prior = Prior(scale.measures, scale.mean_D, scale.std_D)
        z_ND = causal_normalise(rows_ND, c.order_of_appearance(), prior)
    else:
        z_ND = np.clip((rows_ND - np.array(scale.mean_D)) / np.array(scale.std_D), -CLIP, CLIP)
    return np.where(absent_N1, np.nan, np.nan_to_num(z_ND))


def _rows(c: Conversation, name: str) -> NDArray[np.float64]:
    """The features ``[N, D]`` of a conversation; an infinite one is as good as missing."""
    rows_ND = c.features[name].astype(np.float64)
    return np.where(np.isfinite(rows_ND), rows_ND, np.nan)
