"""A checkout with a data folder beside it, as the pages assume, small enough to be read in a moment."""

from __future__ import annotations

import csv
import gzip
import re
from pathlib import Path

import numpy as np

from models.data.meld import COLUMNS, LABELS, MEASURES
from tests.docs.pages import ROOT
from tests.models.data.test_tuples import IEMOCAP, write


def checkout(folder: Path) -> Path:
    """``folder/checkout``, whose configurations train for one epoch, beside ``folder/shared/data``."""
    data, here = folder / "shared" / "data", folder / "checkout"
    configs = here / "configs" / "models"
    configs.mkdir(parents=True)
    for path in (ROOT / "configs" / "models").glob("*.toml"):
        text = path.read_text(encoding="utf-8")
        (configs / path.name).write_text(re.sub(r"^epochs = \d+", "epochs = 1", text, flags=re.MULTILINE))
    mosi(data / "mosi")
    meld(data / "meld")
    write(here / "iemocap_features_roberta.pkl", "COSMIC", IEMOCAP)
    return here


def mosi(folder: Path) -> None:
    """Twenty videos to train with (twelve of them become dev) and four for test, of four utterances."""
    random, videos, each = np.random.default_rng(0), 24, 4
    n = videos * each
    folder.mkdir(parents=True)
    np.savez(
        folder / "mosi_utterance_features.npz",
        text=random.normal(size=(n, 100)),
        audio=random.normal(size=(n, 73)),
        video=random.normal(size=(n, 100)),
        label=np.arange(n) % 2,
        video_id=np.repeat([f"v{i}" for i in range(videos)], each),
        utterance=np.tile(np.arange(each), videos),
        split=np.repeat(["train"] * 20 + ["test"] * 4, each),
        transcript=np.array([f"what was said at {i}" for i in range(n)]),
    )


def meld(folder: Path) -> None:
    """Two dialogues of three utterances in each split."""
    folder.mkdir(parents=True)
    with gzip.open(folder / "meld_text_prosody.csv.gz", "wt", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, [*COLUMNS, *MEASURES])
        out.writeheader()
        for split in ("train", "valid", "test"):
            for dialogue in range(2):
                for number in range(3):
                    said = {
                        "split": split,
                        "text": f"{split} {dialogue} {number}",
                        "speaker": "AB"[number % 2],
                    }
                    said |= {"emotion": LABELS[number], "dialogue_id": dialogue, "utterance_id": number}
                    out.writerow({**said, "season": 1, "episode": 1, **dict.fromkeys(MEASURES, "1.5")})
