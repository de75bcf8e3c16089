"""UR-FUNNY: is the last sentence of a stretch of a talk a punchline? (Hasan et al. 2019)

Reads the folder of extracted features that its authors publish, version 1 or 2: ``data_folds.pkl``,
``humor_label_sdk.pkl``, ``covarep_features_sdk.pkl``, ``openface_features_sdk.pkl`` (a row a word), and
``language_sdk.pkl`` (2) or ``word_embedding_indexes_sdk.pkl`` (1) with ``word_embedding_list.pkl``. A
conversation is the context sentences, without labels, and the sentence that is judged; the features of a
sentence are the means over its words.

Shape suffixes: N sentences, W words, D features of a modality.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data import pickles, table
from models.data.corpus import UNLABELLED, Conversation, Corpus, DataError

Floats = NDArray[np.float32]

LABELS = ("serious", "humorous")
FOLDS = "data_folds.pkl"
FEATURES = {"audio": "covarep_features_sdk.pkl", "visual": "openface_features_sdk.pkl"}
LANGUAGE = ("language_sdk.pkl", "word_embedding_indexes_sdk.pkl")
EMBEDDINGS = "word_embedding_list.pkl"


def read(folder: Path) -> Corpus:
    """UR-FUNNY in ``folder``; features text (300, where the embeddings are there), audio (81), visual (371).

    Raises:
        DataError: a file is missing, damaged or of another form.
    """
    folds = _dictionary(folder / FOLDS, "the ids of train, dev and test")
    labels = _dictionary(folder / "humor_label_sdk.pkl", "0 or 1 by id")
    language = next((folder / n for n in LANGUAGE if (folder / n).is_file()), folder / LANGUAGE[0])
    said = _dictionary(language, "sentences by id")
    words = {m: _dictionary(folder / n, "word features by id") for m, n in FEATURES.items()}
    path = folder / EMBEDDINGS
    vectors = np.asarray(pickles.load(path, "word vectors"), dtype=np.float32) if path.is_file() else None
    widths = {m: _width(folder / FEATURES[m], of) for m, of in words.items()}
    splits = {}
    for split in ("train", "dev", "test"):
        if split not in folds:
            raise DataError(
                f"{folder / FOLDS}: no {split}; expected train, dev and test, found {sorted(folds)}"
            )
        splits[split] = tuple(
            _conversation(id_, _entry(labels, id_, folder), said, words, widths, vectors)
            for id_ in folds[split]
        )
    return Corpus(
        "ur_funny",
        LABELS,
        splits,
        licence="that of the file's publisher; talks of TED",
        commercial_use="unclear",
        disjoint_by=("dialogue",),
    )


def _dictionary(path: Path, what: str) -> Mapping[Any, Any]:
    value = pickles.load(path, f"UR-FUNNY's {what}")
    if not isinstance(value, Mapping):
        raise DataError(f"{path}: a {type(value).__name__}; expected a dictionary, {what}")
    return value


def _entry(of: Mapping[Any, Any], id_: Any, where: object) -> Any:
    try:
        return of[id_]
    except KeyError:
        raise DataError(f"{where}: clip {id_!r} of the folds is not in every file") from None


def _width(path: Path, of: Mapping[Any, Any]) -> int:
    for entry in of.values():
        rows = np.asarray(entry.get("punchline_features", ()), dtype=np.float32)
        if rows.ndim == 2 and rows.size:
            return int(rows.shape[1])
    raise DataError(f"{path}: no clip has punchline_features [words, features]")


def _conversation(
    id_: Any,
    label: Any,
    said: Mapping[Any, Any],
    words: Mapping[str, Mapping[Any, Any]],
    widths: Mapping[str, int],
    vectors: Floats | None,
) -> Conversation:
    entry = _entry(said, id_, "UR-FUNNY's sentences")
    numbers = _sentences(entry, "embedding_indexes")
    texts = tuple(map(_text, _sentences(entry, "sentence", "sentences")))
    n = max(len(numbers), len(texts))
    features = {
        m: np.stack([_mean(rows, widths[m]) for rows in _sentences(_entry(of, id_, m), "features")])
        for m, of in words.items()
    }
    if vectors is not None and numbers:
        features["text"] = np.stack(
            [_mean(vectors[np.asarray(w, dtype=int)], vectors.shape[1]) for w in numbers]
        )
    for m, rows in features.items():
        if len(rows) != n:
            raise DataError(f"UR-FUNNY's clip {id_!r}: {len(rows)} sentences of {m}, {n} of language")
    return Conversation(
        str(id_),
        tuple(f"{id_}_{i}" for i in range(n)),
        (f"clip {id_}",) * n,  # who speaks is not told
        np.array([UNLABELLED] * (n - 1) + [int(label)], dtype=np.int64),
        texts if len(texts) == n else (),
        features,
    )


def _sentences(entry: Mapping[str, Any], one: str, many: str = "") -> list[Any]:
    """What an entry has of its context sentences, then of the one that is judged; [] where it has nothing."""
    if f"punchline_{one}" not in entry:
        return []
    return [*entry.get(f"context_{many or one}", ()), entry[f"punchline_{one}"]]


def _text(sentence: str | Sequence[str]) -> str:
    return table.tidy(sentence if isinstance(sentence, str) else " ".join(map(str, sentence)))


def _mean(rows: Any, width: int) -> Floats:
    """Mean over the words ``[D]`` of what is a number; NaN where a sentence has no words."""
    rows_WD = np.asarray(rows, dtype=np.float64)
    if rows_WD.size == 0:
        return np.full(width, np.nan, dtype=np.float32)
    if rows_WD.ndim != 2 or rows_WD.shape[1] != width:
        raise DataError(f"UR-FUNNY's word features of shape {list(rows_WD.shape)}; expected [words, {width}]")
    here_WD = np.isfinite(rows_WD)
    count_D = here_WD.sum(axis=0)
    total_D = np.where(here_WD, rows_WD, 0.0).sum(axis=0)
    return np.where(count_D > 0, total_D / np.maximum(count_D, 1), np.nan).astype(np.float32)
