"""EmoryNLP: scenes of the TV show Friends, seven emotions, text only (Zahiri & Choi 2018).

Read from ``emorynlp/emorynlp.csv.gz``. Its episodes are partly MELD's: see `models.data.check`.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.data import table
from models.data.corpus import Conversation, Corpus, DataError
from models.data.meld import episode

FILE = "emorynlp/emorynlp.csv.gz"
LABELS = ("Neutral", "Joyful", "Peaceful", "Powerful", "Scared", "Mad", "Sad")
SPLITS = {"train": "train", "valid": "dev", "test": "test"}
COLUMNS = ("split", "Utterance", "Speaker", "Emotion", "Scene_ID", "Utterance_ID", "Season", "Episode")
NUMBERS = ("Scene_ID", "Utterance_ID", "Season", "Episode")


def load(folder: Path) -> Corpus:
    """EmoryNLP below ``folder``; a scene is a conversation, an episode its group.

    Raises:
        DataError: the file is absent, damaged or lacks a column.
    """
    path = folder / FILE
    rows = table.rows(path, COLUMNS, "EmoryNLP's utterances", NUMBERS)
    splits: dict[str, list[Conversation]] = {"train": [], "dev": [], "test": []}
    for (split, *_), scene in table.by(rows, "split", "Season", "Episode", "Scene_ID").items():
        if split not in SPLITS:
            raise DataError(f"{path}: split {split!r}; expected one of {', '.join(SPLITS)}")
        splits[SPLITS[split]].append(_conversation(scene))
    return Corpus(
        "emorynlp",
        LABELS,
        {s: tuple(c) for s, c in splits.items()},
        licence="Apache-2.0 (labels); TV-show content, research",
        disjoint_by=("dialogue", "group"),
    )


def _conversation(rows: Sequence[table.Row]) -> Conversation:
    rows = sorted(rows, key=lambda r: int(r["Utterance_ID"]))
    group = episode(int(rows[0]["Season"]), int(rows[0]["Episode"]))
    id_ = f"{group.removeprefix('friends-')}_scene{int(rows[0]['Scene_ID']):02d}"
    return Conversation(
        id_,
        tuple(f"{id_}_utt{r['Utterance_ID']}" for r in rows),
        tuple(_speaker(r["Speaker"], id_) for r in rows),
        np.array([table.index(LABELS, r["Emotion"], id_) for r in rows], dtype=np.int64),
        tuple(table.tidy(r["Utterance"]) for r in rows),
        group=group,
    )


def _speaker(names: str, where: str) -> str:
    """``['Monica Geller']`` as ``Monica Geller``; those who speak together are one speaker."""
    try:
        return " & ".join(map(str, ast.literal_eval(names)))
    except (ValueError, SyntaxError):
        raise DataError(f"{where}: speaker {names!r}; expected a list such as ['Monica Geller']") from None
