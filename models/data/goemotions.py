"""GoEmotions: Reddit comments with any of 27 emotions, or neutral (Demszky et al. 2020).

Read from ``goemotions/{train,dev,test}.tsv.gz`` (text, label numbers separated by commas, comment) and
``goemotions/labels.txt``.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.data import table
from models.data.corpus import SPLITS, DataError
from models.data.sentences import ANY_OF, Part, Sentences

# Ekman's six, as the authors group them; what is left is neutral.
EKMAN = {
    "anger": ("anger", "annoyance", "disapproval"),
    "disgust": ("disgust",),
    "fear": ("fear", "nervousness"),
    "joy": (
        "admiration", "amusement", "approval", "caring", "desire", "excitement", "gratitude", "joy", "love",
        "optimism", "pride", "relief",
    ),
    "sadness": ("disappointment", "embarrassment", "grief", "remorse", "sadness"),
    "surprise": ("confusion", "curiosity", "realization", "surprise"),
}  # fmt: skip


def load(folder: Path) -> Sentences:
    """GoEmotions below ``folder``.

    Raises:
        DataError: a file is absent or damaged, or a label number has no name.
    """
    names = table.existing(folder / "goemotions" / "labels.txt", "GoEmotions' label names")
    labels = tuple(names.read_text(encoding="utf-8").split())
    splits = {s: _split(folder / "goemotions" / f"{s}.tsv.gz", labels) for s in SPLITS}
    return Sentences("goemotions", ANY_OF, labels, splits, "CC BY 4.0, Apache-2.0", "yes")


def _split(path: Path, labels: tuple[str, ...]) -> Part:
    table.existing(path, "GoEmotions' comments")
    texts: list[str] = []
    rows: list[NDArray[np.float32]] = []
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                fields = line.rstrip("\n").split("\t")
                row = np.zeros(len(labels), dtype=np.float32)
                row[[int(k) for k in fields[1].split(",")]] = 1
                texts.append(table.tidy(fields[0]))
                rows.append(row)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); expected GoEmotions' comments") from error
    except (IndexError, ValueError) as error:
        raise DataError(
            f"{path}:{len(texts) + 1}: {error}; expected a text, a tab and label numbers below {len(labels)}"
        ) from error
    return Part(
        tuple(texts), (0,) * len(texts), np.array(rows, dtype=np.float32).reshape(len(rows), len(labels))
    )
