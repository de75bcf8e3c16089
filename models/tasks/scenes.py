"""The scenes of MUStARD and UR-FUNNY, fold by fold, as the streams that a conversation model reads.

MUStARD has text only here, so that the three streams are three readings of it, turn by turn: the words
(MiniLM, frozen), the context (the mean of the words of the turns before), and a lexicon with the punctuation
(`models.tasks.lexicon`). They take the places of text, audio and visual. UR-FUNNY (`models.data.ur_funny`)
brings three modalities of its own. Only the last turn has a label. Scenes whose words stand in dev or
test are no part of train (`models.data.check.drop_leaks`).

Shape suffixes: K labelled turns, C labels, N turns of a scene, D features.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.data import mustard, ur_funny
from models.data.check import drop_leaks
from models.data.corpus import Conversation, Corpus, DataError
from models.data.features import with_text
from models.encoders.text import TextEncoder, pretrained
from models.tasks.lexicon import Lexicon

PUBLISHED, SHOWS = "published folds", "one show left out"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Protocol:
    """One way to divide the scenes: fold by fold."""

    name: str
    folds: dict[str, Corpus]


def protocols(
    corpus: str,
    data: Path,
    path: Path | None,
    cache: Path | None,
    encoder: Callable[[], TextEncoder] = pretrained,
) -> list[Protocol]:
    """The folds of ``corpus`` ("mustard" or "ur_funny"), with features; ``encoder`` makes MUStARD's.

    Raises:
        DataError: files are missing or damaged, or there is no such corpus.
    """
    if corpus == "mustard":
        ways = {
            PUBLISHED: {f"fold {i}": mustard.load(data, i) for i in range(mustard.FOLDS)},
            SHOWS: {show: mustard.load(data, show) for show in mustard.shows(data)},
        }
        lexicon = Lexicon.read(data / "lexicons" / "vader_lexicon.txt.gz")
        read = streams(next(iter(ways[PUBLISHED].values())), encoder(), lexicon, cache)
        return [
            Protocol(name, {fold: _with(c, read) for fold, c in _without_leaks(name, folds).items()})
            for name, folds in ways.items()
        ]
    if corpus != "ur_funny":
        raise DataError(f"no corpus {corpus!r} for this task; there are mustard and ur_funny")
    if path is None:
        raise DataError("ur_funny is not part of the data folder: --path names where its files lie")
    name = "published split"
    folds = _without_leaks(name, {"test": ur_funny.read(path)})
    if "text" not in folds["test"].sizes():
        folds = {"test": with_text(folds["test"], encoder(), cache)}
    return [Protocol(name, folds)]


def _without_leaks(name: str, folds: Mapping[str, Corpus]) -> dict[str, Corpus]:
    """``folds`` without training labels whose words stand in dev or test of the same fold."""
    found = {fold: drop_leaks(c, c) for fold, c in folds.items()}
    dropped = sum(report.rows for _, report in found.values())
    corpus = next(iter(folds.values())).name
    log.info("%s, %s: %d labels of train dropped that stand in dev or test", corpus, name, dropped)
    return {fold: kept for fold, (kept, _) in found.items()}


def streams(
    corpus: Corpus, encoder: TextEncoder, lexicon: Lexicon, cache: Path | None
) -> dict[str, Conversation]:
    """Every scene of ``corpus`` by its id, with its words, context and lexicon as text, audio and visual."""
    whole = sorted((c for part in corpus.splits.values() for c in part), key=lambda c: c.id)
    encoded = with_text(replace(corpus, splits={"all": tuple(whole)}), encoder, cache)
    out = {}
    for scene in encoded.splits["all"]:
        words_ND = scene.features["text"]
        context_ND = np.full_like(words_ND, np.nan)
        spoken_N = np.isfinite(words_ND[:, 0])  # a turn without words is NaN throughout
        for n in range(1, len(scene)):
            if spoken_N[:n].any():
                context_ND[n] = words_ND[:n][spoken_N[:n]].mean(0)
        out[scene.id] = scene.with_features(audio=context_ND, visual=lexicon.rows(scene.texts))
    return out


def _with(corpus: Corpus, read: Mapping[str, Conversation]) -> Corpus:
    """``corpus`` with the features of ``read``."""
    parts = {
        s: tuple(c.with_features(**read[c.id].features) for c in part) for s, part in corpus.splits.items()
    }
    return replace(corpus, splits=parts)


def alone(corpus: Corpus) -> Corpus:
    """Each scene as its last turn."""

    def last(c: Conversation) -> Conversation:
        return replace(
            c,
            utterances=c.utterances[-1:],
            speakers=c.speakers[-1:],
            labels_N=c.labels_N[-1:],
            texts=c.texts[-1:],
            features={name: rows_ND[-1:] for name, rows_ND in c.features.items()},
        )

    return replace(corpus, splits={s: tuple(map(last, part)) for s, part in corpus.splits.items()})


def by_speaker(corpus: Corpus, split: str) -> tuple[Tensor, Tensor]:
    """Probabilities ``[K, 2]`` from the name of who speaks last, by counts of train, and the labels ``[K]``.

    One scene of the mean of all is added to each speaker's, so that an unknown one has the mean.
    """
    train, asked = corpus.splits["train"], corpus.splits[split]
    mean = sum(int(c.labels_N[-1]) for c in train) / len(train)
    said: dict[str, list[int]] = {}
    for c in train:
        said.setdefault(c.speakers[-1], []).append(int(c.labels_N[-1]))
    of = [said.get(c.speakers[-1], []) for c in asked]
    yes_K = torch.tensor([(sum(labels) + mean) / (len(labels) + 1) for labels in of])
    return torch.stack([1 - yes_K, yes_K], 1), torch.tensor(
        [int(c.labels_N[-1]) for c in corpus.splits[split]]
    )
