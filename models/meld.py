"""MELD as the shipped model is trained on it: split by split, speakers by order of first appearance.

`models.data.meld` reads the file; here the raw measures keep double precision and speakers are anonymous
(0, 1, ...), which is all that a live node knows.

Shape suffixes: N utterances, A measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.data import table
from models.data.meld import LABELS as LABELS
from models.data.meld import MEASURES as MEASURES
from models.data.meld import SPLITS, dialogues
from models.data.table import tidy as tidy


@dataclass(frozen=True, slots=True)
class Conversation:
    """One dialogue in time order; speakers by first appearance, label indices, raw measures ``[N, A]``."""

    texts: tuple[str, ...]
    speakers: tuple[int, ...]
    labels: tuple[int, ...]
    audio_NA: NDArray[np.float64]


def load(data: Path, split: str, measures: tuple[str, ...] = MEASURES) -> list[Conversation]:
    """The conversations of ``split`` (``train``, ``dev`` or ``test``) below the folder ``data``.

    Raises:
        ValueError: no such split, or the file is absent or lacks a column.
    """
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; MELD has {', '.join(SPLITS)}")
    return [_conversation(rows, measures) for rows in dialogues(data)[split]]


def _conversation(rows: Sequence[table.Row], measures: tuple[str, ...]) -> Conversation:
    order: dict[str, int] = {}
    return Conversation(
        tuple(tidy(r["text"]) for r in rows),
        tuple(order.setdefault(r["speaker"], len(order)) for r in rows),
        tuple(table.index(LABELS, r["emotion"], "MELD") for r in rows),
        table.measured(rows, measures, "MELD"),
    )
