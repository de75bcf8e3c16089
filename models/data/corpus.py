"""One form for every corpus: conversations in time order, with features by modality.

Shape suffixes: N utterances, D features of a modality.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "dev", "test")
UNLABELLED = -1


class DataError(ValueError):
    """Data that cannot be used: the message names the file, what was expected and what can be done."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """One dialogue in time order.

    ``speakers`` are names as the corpus gives them (models see only their order of first appearance);
    ``labels_N`` int64 indices into the corpus's labels, -1 where there is none (never trained on, never
    scored). ``features`` holds ``[N, D]`` float32 by modality; a row that is all NaN is an utterance without
    that modality, a NaN in a row that has numbers is one missing measure.
    """

    id: str
    utterances: tuple[str, ...]
    speakers: tuple[str, ...]
    labels_N: NDArray[np.int64]
    texts: tuple[str, ...] = ()
    features: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    group: str = ""  # what must stay within one split besides: an episode, a session; "" for none

    def __len__(self) -> int:
        return len(self.utterances)

    def order_of_appearance(self) -> tuple[int, ...]:
        """Speakers as 0, 1, ... by first appearance: all that a live node knows of them."""
        order: dict[str, int] = {}
        return tuple(order.setdefault(s, len(order)) for s in self.speakers)

    def with_features(self, **features: NDArray[np.float32]) -> Conversation:
        """The same with ``features`` added or replaced."""
        return replace(self, features={**self.features, **features})


@dataclass(frozen=True, slots=True)
class Corpus:
    """Conversations by split, with what tables and model cards must say of them."""

    name: str
    labels: tuple[str, ...]
    splits: Mapping[str, tuple[Conversation, ...]]
    licence: str
    commercial_use: str = "no"  # yes, no or unclear
    measures: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # names of features, where known
    # What no two splits share (see `models.data.check`); "test speaker": what test shares with no other.
    disjoint_by: tuple[str, ...] = ("dialogue",)
    given_words: bool = False  # actors speak given sentences: the same words in two splits are no leak

    def sizes(self) -> dict[str, int]:
        """Width of each modality."""
        first = next(c for conversations in self.splits.values() for c in conversations)
        return {name: rows.shape[1] for name, rows in first.features.items()}
