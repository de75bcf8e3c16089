"""EmoBank: sentences of many kinds of text with valence, arousal and dominance (Buechel & Hahn 2017).

Read from ``emobank/emobank.csv.gz``; the scale 1..5 of the annotators becomes -1..1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.data import table
from models.data.corpus import SPLITS, DataError
from models.data.sentences import MEASURES, Part, Sentences

COLUMNS = {"V": "valence", "A": "arousal", "D": "dominance"}
MIDDLE, HALF = 3.0, 2.0  # of the annotators' scale


def load(folder: Path) -> Sentences:
    """EmoBank below ``folder``; sentences without a word are left out.

    Raises:
        DataError: the file is absent, damaged or lacks a column, or a value is outside 1..5.
    """
    path = folder / "emobank" / "emobank.csv.gz"
    rows = [
        r for r in table.rows(path, ("split", "text", *COLUMNS), "EmoBank's sentences") if _words(r["text"])
    ]
    values_NK = (table.measured(rows, tuple(COLUMNS), path) - MIDDLE) / HALF
    if not (np.abs(values_NK) <= 1).all():
        raise DataError(f"{path}: a value outside 1..5; expected the annotators' means")
    if unknown := {r["split"] for r in rows} - set(SPLITS):
        raise DataError(f"{path}: split {sorted(unknown)[0]!r}; expected one of {', '.join(SPLITS)}")
    texts = np.array([table.tidy(r["text"]) for r in rows], dtype=object)
    split_N = np.array([r["split"] for r in rows])
    parts = {s: np.flatnonzero(split_N == s) for s in SPLITS}
    splits = {
        s: Part(tuple(texts[at]), (0,) * len(at), values_NK[at].astype(np.float32)) for s, at in parts.items()
    }
    return Sentences("emobank", MEASURES, tuple(COLUMNS.values()), splits, "CC BY-SA 4.0", "yes")


def _words(text: str) -> bool:
    return any(c.isalnum() for c in text)
