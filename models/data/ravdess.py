"""RAVDESS: actors speak two sentences in eight expressions, with action units (Livingstone & Russo 2018).

Read from ``ravdess/manifest.csv`` and ``ravdess/face_action_units.csv.gz`` (OpenFace, averaged over a clip).
Every clip is a conversation of one utterance; splits share no actor. The words are given, so that they say
nothing of the label and their return in another split is no leak.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.data import table
from models.data.corpus import Conversation, Corpus, DataError

FILE = "ravdess/manifest.csv"
LABELS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
SPLITS = {"train": "train", "valid": "dev", "test": "test"}
COLUMNS = ("path", "emotion", "speaker", "split", "text")


def load(folder: Path) -> Corpus:
    """RAVDESS below ``folder``; ``features["visual"]`` ``[1, 35]``: intensities 0..5, presences 0..1.

    Raises:
        DataError: a file is absent, damaged or lacks a column.
    """
    path = folder / FILE
    clips = table.rows(path, COLUMNS, "RAVDESS's clips")
    seen = folder / "ravdess" / "face_action_units.csv.gz"
    faces = table.rows(seen, ("path",), "RAVDESS's action units")
    units = tuple(c for c in faces[0] if c.startswith("AU"))
    if not units:
        raise DataError(f"{seen}: no column AU.._r or AU.._c")
    values = dict(
        zip((r["path"] for r in faces), table.measured(faces, units, seen).astype(np.float32), strict=True)
    )
    absent = np.full(len(units), np.nan, dtype=np.float32)
    splits: dict[str, list[Conversation]] = {"train": [], "dev": [], "test": []}
    for clip in clips:
        if clip["split"] not in SPLITS:
            raise DataError(f"{path}: split {clip['split']!r}; expected one of {', '.join(SPLITS)}")
        splits[SPLITS[clip["split"]]].append(
            Conversation(
                clip["path"],
                (clip["path"],),
                (clip["speaker"],),
                np.array([table.index(LABELS, clip["emotion"], path)], dtype=np.int64),
                (table.tidy(clip["text"]),),
                {"visual": values.get(clip["path"], absent)[None]},
                group=clip["speaker"],
            )
        )
    return Corpus(
        "ravdess",
        LABELS,
        {s: tuple(c) for s, c in splits.items()},
        licence="CC BY-NC-SA 4.0, research",
        measures={"visual": units},
        disjoint_by=("dialogue", "speaker"),
        given_words=True,
    )
