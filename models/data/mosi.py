"""CMU-MOSI: monologues about films, negative or positive, with features of text, voice and face.

Read from ``mosi/mosi_utterance_features.npz`` (Zadeh et al. 2016; the features of Poria et al. 2017, text
by a network trained on the train split). 62 videos train and 31 test as published, one speaker a video; 12 of
the 62, drawn by a fixed seed, are dev.

Shape suffixes: N utterances.
"""

from __future__ import annotations

import random
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data import table
from models.data.corpus import Conversation, Corpus, DataError

FILE = "mosi/mosi_utterance_features.npz"
LABELS = ("negative", "positive")
ARRAYS = {"text": "text", "audio": "audio", "visual": "video"}
OTHERS = ("label", "video_id", "utterance", "split", "transcript")
DEV_VIDEOS, DEV_SEED = 12, 0


def load(folder: Path) -> Corpus:
    """MOSI below ``folder``; ``features`` text ``[N, 100]``, audio ``[N, 73]`` and visual ``[N, 100]``.

    Raises:
        DataError: the file is absent, damaged or lacks an array.
    """
    arrays = _read(folder / FILE)
    videos: dict[str, list[int]] = {}
    for i, video in enumerate(arrays["video_id"].tolist()):
        videos.setdefault(video, []).append(i)
    published = {v: str(arrays["split"][rows[0]]) for v, rows in videos.items()}
    train = sorted(v for v, split in published.items() if split == "train")
    dev = set(random.Random(DEV_SEED).sample(train, min(DEV_VIDEOS, len(train) - 1)))
    splits: dict[str, list[Conversation]] = {"train": [], "dev": [], "test": []}
    for video, rows in videos.items():
        split = "dev" if video in dev else published[video]
        splits[split].append(_conversation(video, arrays, np.array(rows)))
    return Corpus(
        "mosi",
        LABELS,
        {s: tuple(c) for s, c in splits.items()},
        licence="MIT (repository); CMU-MOSI is for research",
        disjoint_by=("dialogue", "speaker", "group"),
    )


def _read(path: Path) -> Mapping[str, NDArray[Any]]:
    table.existing(path, "MOSI's utterance features")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read ({error}); expected a NumPy archive") from error
    missing = [n for n in (*ARRAYS.values(), *OTHERS) if n not in arrays]
    if missing:
        raise DataError(f"{path}: no array {', '.join(missing)}; found {', '.join(arrays) or 'none'}")
    lengths = {n: len(a) if a.ndim else 0 for n, a in arrays.items()}
    if len(set(lengths.values())) != 1 or not len(arrays["label"]):
        raise DataError(f"{path}: arrays of unequal length {lengths}; expected one row an utterance in each")
    if text := [n for n in (*ARRAYS.values(), "label") if arrays[n].dtype.kind not in "fiu"]:
        raise DataError(f"{path}: {text[0]} holds {arrays[text[0]].dtype}; expected numbers")
    if others := sorted(set(arrays["label"].tolist()) - {0, 1}):
        raise DataError(f"{path}: label {others[0]}; expected 0 (negative) or 1 (positive)")
    if wrong := set(arrays["split"].tolist()) - {"train", "test"}:
        raise DataError(f"{path}: split {sorted(wrong)[0]!r}; expected train or test")
    return arrays


def _conversation(video: str, arrays: Mapping[str, NDArray[Any]], rows_N: NDArray[np.int64]) -> Conversation:
    return Conversation(
        video,
        tuple(f"{video}_{arrays['utterance'][i]}" for i in rows_N),
        (video,) * len(rows_N),
        arrays["label"][rows_N].astype(np.int64),
        tuple(table.tidy(str(arrays["transcript"][i])) for i in rows_N),
        {ours: arrays[theirs][rows_N].astype(np.float32) for ours, theirs in ARRAYS.items()},
        group=video,
    )
