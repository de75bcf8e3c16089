"""MELD: conversations of the TV show Friends with one emotion for each utterance (Poria et al. 2019).

Read from ``meld/meld_text_prosody.csv.gz`` (labels of declare-lab/MELD, Praat measures of SpeechCueLLM).
Speakers are anonymous: their order of first appearance in the conversation (0, 1, ...), which is all that a
live node knows.
"""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LABELS = ("neutral", "joy", "sadness", "anger", "surprise", "fear", "disgust")
MEASURES = (
    "duration",
    "intensity_variation",
    "avg_pitch",
    "pitch_std",
    "pitch_range",
    "articulation_rate",
    "mean_hnr",
)
SPLITS = {"train": "train", "dev": "valid", "test": "test"}


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
    path = data / "meld" / "meld_text_prosody.csv.gz"
    if not path.is_file():
        raise ValueError(f"{path}: not found; --data must name the folder that holds meld/")
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["split"] == SPLITS[split]]
    dialogues: dict[int, list[dict[str, str]]] = {}
    for row in rows:
        dialogues.setdefault(int(row["dialogue_id"]), []).append(row)
    return [
        _conversation(sorted(d, key=lambda r: int(r["utterance_id"])), measures) for d in dialogues.values()
    ]


def _conversation(rows: list[dict[str, str]], measures: tuple[str, ...]) -> Conversation:
    missing = [m for m in measures if m not in rows[0]]
    if missing:
        raise ValueError(f"MELD has no measure {missing[0]!r}; it has {', '.join(MEASURES)}")
    order: dict[str, int] = {}
    speakers = tuple(order.setdefault(r["speaker"], len(order)) for r in rows)
    audio = [[float(r[m]) if r[m] else np.nan for m in measures] for r in rows]
    return Conversation(
        tuple(tidy(r["text"]) for r in rows),
        speakers,
        tuple(LABELS.index(r["emotion"]) for r in rows),
        np.array(audio, dtype=np.float64),
    )


def tidy(text: str) -> str:
    """``text`` with the typographic quotes and encoding leftovers of the corpus made plain."""
    for odd, plain in (
        ("\x92", "'"),
        ("’", "'"),
        ("‘", "'"),
        ("“", '"'),
        ("”", '"'),
        ("…", "..."),
        ("\x85", "..."),
    ):
        text = text.replace(odd, plain)
    return " ".join(text.split())
