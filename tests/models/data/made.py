"""Small corpora that tests make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.data.corpus import Conversation, Corpus

LABELS = ("glad", "angry")


def talk(
    id_: str,
    *lines: str,
    who: str = "",
    labels: Sequence[int] = (),
    group: str = "",
    features: Mapping[str, NDArray[np.float32]] | None = None,
) -> Conversation:
    """A conversation of ``lines``; ``who`` has a letter for each (default: A and B in turn)."""
    who = who or ("AB" * len(lines))[: len(lines)]
    y = np.array(labels or [i % 2 for i in range(len(lines))], dtype=np.int64)
    ids = tuple(f"{id_}_{i}" for i in range(len(lines)))
    return Conversation(id_, ids, tuple(who), y, tuple(lines), features or {}, group)


def corpus(
    train: Sequence[Conversation] = (),
    dev: Sequence[Conversation] = (),
    test: Sequence[Conversation] = (),
    *,
    name: str = "made",
    measures: Mapping[str, tuple[str, ...]] | None = None,
    disjoint_by: tuple[str, ...] = ("dialogue",),
) -> Corpus:
    splits = {"train": tuple(train), "dev": tuple(dev), "test": tuple(test)}
    return Corpus(name, LABELS, splits, "none", measures=measures or {}, disjoint_by=disjoint_by)
