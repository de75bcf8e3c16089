"""MUStARD: is the last utterance of a scene sarcastic? Text only here (Castro et al. 2019).

Read from ``mustard/sarcasm_data.json.gz`` and ``mustard/split_indices.json``. A conversation is the context
turns, without labels, and the utterance that is judged. A speaker tells much of the label, so that besides
the five published folds there is one for each show, whose speakers nobody has heard in training.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.data import table
from models.data.corpus import UNLABELLED, Conversation, Corpus, DataError

FILE = "mustard/sarcasm_data.json.gz"
LABELS = ("sincere", "sarcastic")
FOLDS = 5
DEV_SHARE, DEV_SEED = 8, 0  # one in eight of the train scenes, of each label, is dev
Scenes = Mapping[str, Mapping[str, Any]]


def load(folder: Path, fold: int | str = 0) -> Corpus:
    """MUStARD below ``folder`` with ``fold`` as test: a published one (0 to 4) or a show (`shows`).

    Dev is drawn from train by a fixed seed, an equal share of both labels.

    Raises:
        DataError: a file is absent or damaged, or there is no such fold.
    """
    scenes = _scenes(folder)
    names = list(scenes)
    if isinstance(fold, str) and not fold.isdigit():
        test = {n for n in names if scenes[n]["show"] == fold}
        if not test:
            raise DataError(f"no show {fold!r} in MUStARD; there are {', '.join(shows(folder))}")
    else:
        test = {names[i] for i in _published(folder, int(fold), len(names))}
    train = [n for n in names if n not in test]
    dev = _drawn(train, scenes)
    parts = {"train": [n for n in train if n not in dev], "dev": sorted(dev), "test": sorted(test)}
    by_show = isinstance(fold, str) and not fold.isdigit()
    return Corpus(
        "mustard",
        LABELS,
        {s: tuple(_conversation(n, scenes[n]) for n in part) for s, part in parts.items()},
        licence="MIT (annotations); TV-show content, research",
        disjoint_by=("dialogue", "test group") if by_show else ("dialogue",),
    )


def shows(folder: Path) -> tuple[str, ...]:
    """The shows, each of which can be a fold, those with most scenes first.

    Raises:
        DataError: the file is absent or damaged.
    """
    counts: dict[str, int] = {}
    for scene in _scenes(folder).values():
        counts[scene["show"]] = counts.get(scene["show"], 0) + 1
    return tuple(sorted(counts, key=lambda s: -counts[s]))


def _drawn(train: Sequence[str], scenes: Scenes) -> set[str]:
    random_ = random.Random(DEV_SEED)
    out: set[str] = set()
    for sarcastic in (False, True):
        of = [n for n in train if bool(scenes[n]["sarcasm"]) == sarcastic]
        out.update(random_.sample(of, len(of) // DEV_SHARE))
    return out


def _scenes(folder: Path) -> Scenes:
    path = folder / FILE
    table.existing(path, "MUStARD's scenes")
    wanted = ("utterance", "speaker", "context", "context_speakers", "show", "sarcasm")
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            scenes: Scenes = json.load(file)
        for name, scene in scenes.items():
            if missing := [k for k in wanted if k not in scene]:
                raise DataError(f"{path}: scene {name} has no {missing[0]}; expected {', '.join(wanted)}")
            if wrong := [k for k in wanted[2:4] if not isinstance(scene[k], list)]:
                raise DataError(f"{path}: scene {name} has {wrong[0]} {scene[wrong[0]]!r}; expected a list")
    except (OSError, EOFError, json.JSONDecodeError, AttributeError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); expected a JSON object of scenes") from error
    return scenes


def _published(folder: Path, fold: int, count: int) -> list[int]:
    path = folder / "mustard" / "split_indices.json"
    table.existing(path, "MUStARD's five folds")
    try:
        folds = [list(map(int, f["test"])) for f in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); expected a list of folds with test rows"
        ) from error
    if not 0 <= fold < len(folds):
        raise DataError(f"no fold {fold} in {path}; there are 0 to {len(folds) - 1}")
    if any(not 0 <= i < count for i in folds[fold]):
        raise DataError(f"{path}: fold {fold} names rows beyond the {count} scenes; the files do not match")
    return folds[fold]


def _conversation(name: str, scene: Mapping[str, Any]) -> Conversation:
    texts = [*scene["context"], scene["utterance"]]
    speakers = [*scene["context_speakers"], scene["speaker"]]
    if len(texts) != len(speakers):
        raise DataError(f"MUStARD's scene {name}: {len(texts)} turns by {len(speakers)} speakers")
    labels = [UNLABELLED] * len(scene["context"]) + [int(bool(scene["sarcasm"]))]
    return Conversation(
        name,
        tuple(f"{name}_{i}" for i in range(len(texts))),
        tuple(speakers),
        np.array(labels, dtype=np.int64),
        tuple(map(table.tidy, texts)),
        group=scene["show"],
    )
