"""DailyDialog: everyday conversations of two, seven emotions, text only, lower case (Li et al. 2017).

Read from ``dailydialog/dailydialog.jsonl.gz``. Some test dialogues are copies of train ones: see
`models.data.check`.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np

from models.data import table
from models.data.corpus import Conversation, Corpus, DataError

FILE = "dailydialog/dailydialog.jsonl.gz"
LABELS = ("no_emotion", "happiness", "surprise", "sadness", "anger", "disgust", "fear")
SPLITS = {"train": "train", "valid": "dev", "test": "test"}


def load(folder: Path) -> Corpus:
    """DailyDialog below ``folder``.

    Raises:
        DataError: the file is absent or damaged, or a dialogue lacks a field.
    """
    path = folder / FILE
    table.existing(path, "DailyDialog's dialogues")
    splits: dict[str, list[Conversation]] = {"train": [], "dev": [], "test": []}
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                dialogue = json.loads(line)
                splits[SPLITS[dialogue["split"]]].append(_conversation(dialogue, f"{path}:{number}"))
    except (OSError, EOFError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: cannot be read ({error}); expected one JSON dialogue a line") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}:{number}: {error}; expected dialogue_id, split ({', '.join(SPLITS)}) and utterances"
            " with speaker, emotion and text"
        ) from error
    return Corpus(
        "dailydialog", LABELS, {s: tuple(c) for s, c in splits.items()}, licence="CC BY-NC-SA 4.0, research"
    )


def _conversation(dialogue: dict[str, Any], where: str) -> Conversation:
    id_, said = dialogue["dialogue_id"], dialogue["utterances"]
    return Conversation(
        id_,
        tuple(f"{id_}_utt{i}" for i in range(len(said))),
        tuple(str(u["speaker"]) for u in said),
        np.array([table.index(LABELS, u["emotion"], where) for u in said], dtype=np.int64),
        tuple(table.tidy(u["text"]) for u in said),
    )
