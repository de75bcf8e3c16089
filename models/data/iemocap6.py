"""IEMOCAP with the usual six emotions: 151 dialogues of ten actors (Busso et al. 2008).

Read from ``iemocap/iemocap6_text_prosody.csv.gz``: published split (sessions 1 to 4 train and dev, session 5,
two unseen speakers, test), Praat measures by SpeechCueLLM (Wu et al. 2025). Evaluation only: no released
weights are trained on it.

Shape suffixes: N utterances.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.data import table
from models.data.corpus import Conversation, Corpus, DataError
from models.data.meld import MEASURES

FILE = "iemocap/iemocap6_text_prosody.csv.gz"
LABELS = ("happy", "sad", "neutral", "angry", "excited", "frustrated")
NAMES = {
    "hap": "happy",
    "sad": "sad",
    "neu": "neutral",
    "ang": "angry",
    "exc": "excited",
    "fru": "frustrated",
}
SPLITS = {"train": "train", "valid": "dev", "test": "test"}
COLUMNS = ("split", "dialogue_id", "turn", "speaker", "emotion", "text", "utt_id")


def load(folder: Path, measures: Sequence[str] = MEASURES) -> Corpus:
    """IEMOCAP-6 below ``folder``; ``features["audio"]`` holds ``measures`` (raw: s, dB, Hz, syllables/s).

    Raises:
        DataError: the file is absent, damaged or lacks a column.
    """
    path = folder / FILE
    whole = table.rows(path, COLUMNS, "IEMOCAP-6's text and prosody", ("turn",))
    splits: dict[str, tuple[Conversation, ...]] = {"train": (), "dev": (), "test": ()}
    for (split, id_), rows in table.by(whole, "split", "dialogue_id").items():
        if split not in SPLITS:
            raise DataError(f"{path}: split {split!r}; expected one of {', '.join(SPLITS)}")
        splits[SPLITS[split]] += (_conversation(id_, rows, measures),)
    return Corpus(
        "iemocap6",
        LABELS,
        splits,
        licence="IEMOCAP (USC, signed research licence); evaluation only",
        measures={"audio": tuple(measures)},
        disjoint_by=("dialogue", "test speaker", "test group"),
    )


def _conversation(id_: str, rows: Sequence[table.Row], measures: Sequence[str]) -> Conversation:
    rows = sorted(rows, key=lambda r: int(r["turn"]))
    return Conversation(
        id_,
        tuple(r["utt_id"] for r in rows),
        tuple(r["speaker"] for r in rows),
        np.array(
            [table.index(LABELS, NAMES.get(r["emotion"], r["emotion"]), id_) for r in rows], dtype=np.int64
        ),
        tuple(table.tidy(r["text"]) for r in rows),
        {"audio": table.measured(rows, measures, id_).astype(np.float32)},
        group=id_[:5],  # Ses01: the recording session, which has speakers of its own
    )
