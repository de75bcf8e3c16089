"""MELD: conversations of the TV show Friends, one emotion for each utterance (Poria et al. 2019).

Read from ``meld/meld_text_prosody.csv.gz``: labels of declare-lab/MELD, Praat measures of the original clips
by SpeechCueLLM (Wu et al. 2025). Episodes stand in several splits as published; dialogues do not.

Shape suffixes: N utterances, A measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.data import table
from models.data.corpus import Conversation, Corpus, DataError

FILE = "meld/meld_text_prosody.csv.gz"
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
COLUMNS = ("split", "text", "speaker", "emotion", "dialogue_id", "utterance_id", "season", "episode")
NUMBERS = ("utterance_id", "season", "episode")


def load(folder: Path, measures: Sequence[str] = MEASURES) -> Corpus:
    """MELD below ``folder``; ``features["audio"]`` holds ``measures`` (raw: s, dB, Hz, syllables/s).

    Raises:
        DataError: the file is absent, damaged or lacks a column.
    """
    splits = {
        split: tuple(conversation(rows, split, measures) for rows in found)
        for split, found in dialogues(folder).items()
    }
    return Corpus(
        "meld",
        LABELS,
        splits,
        licence="GPL-3.0 (labels); TV-show content, research",
        measures={"audio": tuple(measures)},
    )


def dialogues(folder: Path) -> dict[str, list[list[table.Row]]]:
    """The rows of each dialogue in time order, by split (``train``, ``dev``, ``test``).

    Raises:
        DataError: the file is absent, damaged or lacks a column.
    """
    path = folder / FILE
    rows = table.rows(path, COLUMNS, "MELD's text and prosody", NUMBERS)
    found = table.by(rows, "split", "dialogue_id")
    out: dict[str, list[list[table.Row]]] = {ours: [] for ours in SPLITS}
    ours = {theirs: name for name, theirs in SPLITS.items()}
    for (split, _), rows in found.items():
        if split not in ours:
            raise DataError(f"{path}: split {split!r}; expected one of {', '.join(ours)}")
        out[ours[split]].append(sorted(rows, key=lambda r: int(r["utterance_id"])))
    return out


def conversation(rows: Sequence[table.Row], split: str, measures: Sequence[str]) -> Conversation:
    """One dialogue from its rows; the dialogue's number counts within its ``split`` alone."""
    first = rows[0]
    id_ = f"{split}_dia{first['dialogue_id']}"
    return Conversation(
        id_,
        tuple(f"{id_}_utt{r['utterance_id']}" for r in rows),
        tuple(r["speaker"] for r in rows),
        np.array([table.index(LABELS, r["emotion"], id_) for r in rows], dtype=np.int64),
        tuple(table.tidy(r["text"]) for r in rows),
        {"audio": table.measured(rows, measures, id_).astype(np.float32)},
        group=episode(int(first["season"]), int(first["episode"])),
    )


def episode(season: int, number: int) -> str:
    """The name of an episode of Friends, the same in every corpus of it."""
    return f"friends-s{season:02d}e{number:02d}"
