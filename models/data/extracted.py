"""A folder of features that `lmam data extract` made: ``corpus.json`` and one ``.npz`` a conversation.

Everything is written whole or not at all, so that an interrupted extraction goes on where it was.

Shape suffixes: N utterances, D features of a modality.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.corpus import Conversation, Corpus, DataError
from models.whole import whole

Floats = NDArray[np.float32]

MANIFEST = "corpus.json"
FORMAT = "lmam-features/1"


def shard(folder: Path, split: str, id_: str) -> Path:
    """Where the features of conversation ``id_`` are kept."""
    return folder / split / f"{id_}.npz"


def save(path: Path, features: Mapping[str, Floats]) -> None:
    """Write ``features`` ``[N, D]`` by modality to ``path``."""
    with whole(path) as part, part.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **dict(features))


def load(path: Path, count: int) -> dict[str, Floats]:
    """The features in ``path``, each ``[count, D]``.

    Raises:
        DataError: missing, damaged, or of another number of utterances.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            features = {n: np.asarray(archive[n], dtype=np.float32) for n in archive.files}
    except FileNotFoundError:
        raise DataError(
            f"{path}: not found; 'lmam data extract' makes it, and goes on where it was"
        ) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read ({error}); delete it and extract again") from error
    for name, rows_ND in features.items():
        if rows_ND.ndim != 2 or len(rows_ND) != count:
            raise DataError(f"{path}: {name} of shape {list(rows_ND.shape)}; expected [{count}, features]")
    return features


def describe(folder: Path, corpus: Corpus, settings: Mapping[str, Any]) -> None:
    """Write ``corpus.json``: everything but the features, and the ``settings`` they are made with."""
    value = {
        "format": FORMAT,
        "settings": dict(settings),
        "name": corpus.name,
        "labels": corpus.labels,
        "licence": corpus.licence,
        "commercial_use": corpus.commercial_use,
        "measures": dict(corpus.measures),
        "disjoint_by": corpus.disjoint_by,
        "splits": {s: [_plain(c) for c in conversations] for s, conversations in corpus.splits.items()},
    }
    with whole(folder / MANIFEST) as part:
        part.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")


def _plain(c: Conversation) -> dict[str, Any]:
    return {
        "id": c.id,
        "utterances": c.utterances,
        "speakers": c.speakers,
        "labels": c.labels_N.tolist(),
        "texts": c.texts,
        "group": c.group,
    }


def described(folder: Path) -> dict[str, Any] | None:
    """What ``corpus.json`` says, None where there is none.

    Raises:
        DataError: damaged, or of another format.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); extract into a new folder") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise DataError(f"{path}: not a folder of extracted features (format {FORMAT!r} expected)")
    return value


def read(folder: Path) -> Corpus:
    """The corpus in ``folder``.

    Raises:
        DataError: no such folder, or its extraction is not finished.
    """
    value = described(folder)
    if value is None:
        raise DataError(f"{folder}: no {MANIFEST}; expected a folder that 'lmam data extract' made")
    try:
        splits = {
            split: tuple(_conversation(folder, split, c) for c in conversations)
            for split, conversations in value["splits"].items()
        }
        return Corpus(
            value["name"],
            tuple(value["labels"]),
            splits,
            licence=value["licence"],
            commercial_use=value["commercial_use"],
            measures={n: tuple(map(str, m)) for n, m in value["measures"].items()},
            disjoint_by=tuple(map(str, value["disjoint_by"])),
        )
    except (KeyError, TypeError) as error:
        raise DataError(f"{folder / MANIFEST}: lacks {error}; extract into a new folder") from error


def _conversation(folder: Path, split: str, c: Mapping[str, Any]) -> Conversation:
    return Conversation(
        c["id"],
        tuple(map(str, c["utterances"])),
        tuple(map(str, c["speakers"])),
        np.array(c["labels"], dtype=np.int64),
        tuple(map(str, c["texts"])),
        load(shard(folder, split, c["id"]), len(c["utterances"])),
        c["group"],
    )
