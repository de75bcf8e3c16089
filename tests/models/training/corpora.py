"""A small corpus that can be learnt: the label is written into every modality, with noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from models.data.check import script
from models.data.corpus import Conversation, Corpus
from models.training.config import RunConfig, parse

LABELS = ("calm", "glad", "sad")
SIZES = {"text": 6, "audio": 4, "visual": 5}
WORDS = ("fine", "how are you", "what doing joey")


def conversation(random: np.random.Generator, name: str, n: int) -> Conversation:
    """Two speakers in turn; the modalities show the label, some rows are absent, some values missing."""
    labels_N = random.integers(0, len(LABELS), n)
    features = {}
    for modality, width in SIZES.items():
        rows_ND = random.normal(0, 1, (n, width)) + 2 * np.eye(width)[labels_N]
        rows_ND[random.random(n) < 0.1] = np.nan
        rows_ND[random.random(rows_ND.shape) < 0.05] = np.nan
        features[modality] = rows_ND.astype(np.float32)
    return Conversation(
        name,
        tuple(f"{name}-{i}" for i in range(n)),
        tuple("ab"[i % 2] for i in range(n)),
        labels_N,
        tuple(WORDS[label] for label in labels_N),
        features,
    )


def corpus(seed: int = 0, train: int = 12) -> Corpus:
    """``train`` conversations to learn from, six for dev, eight for test, of three to nine utterances."""
    random = np.random.default_rng(seed)
    sizes = {"train": train, "dev": 6, "test": 8}
    splits = {
        split: tuple(conversation(random, f"{split}{i}", int(random.integers(3, 10))) for i in range(count))
        for split, count in sizes.items()
    }
    return Corpus("toy", LABELS, splits, licence="ours", commercial_use="yes")


def leaky() -> Corpus:
    """`corpus` with one of its train conversations, of words enough to tell, also in test."""
    made = corpus()
    twice = next(c for c in made.splits["train"] if len(script(c).split()) > 9)
    return replace(made, splits={**made.splits, "test": (*made.splits["test"], replace(twice, id="again"))})


def config(**changes: object) -> RunConfig:
    """A run of a second: width 8, five epochs; ``changes`` by dotted key."""
    small = {
        "data": {"corpus": "toy"},
        "model": {"fusion": "concat", "dim": 8, "window": 4},
        "train": {"epochs": 5, "lr": 1e-2, "batch": 4, "patience": 5},
    }
    return parse(small, "small").replace(**changes)


def write_toml(path: Path, text: str) -> Path:
    """``path`` with ``text`` in it."""
    path.write_text(text, encoding="utf-8")
    return path
