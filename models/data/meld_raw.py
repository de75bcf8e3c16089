"""The folder of MELD's original clips: ``train_sent_emo.csv`` and its like, ``train_splits/dia0_utt0.mp4``.

Lists what is to be extracted; `lmam data extract` makes features of it, `models.data.extracted` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.data import table
from models.data.corpus import Conversation, Corpus, DataError
from models.data.meld import LABELS, episode

# Split: the label file and the folders that the archives of MELD unpack to.
SPLITS = {
    "train": ("train_sent_emo.csv", ("train_splits",)),
    "dev": ("dev_sent_emo.csv", ("dev_splits_complete", "dev_splits")),
    "test": ("test_sent_emo.csv", ("output_repeated_splits_test", "test_splits", "test_splits_complete")),
}
COLUMNS = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID", "Season", "Episode")
NUMBERS = ("Utterance_ID", "Season", "Episode")
LAYOUT = (
    "expected MELD.Raw: train_sent_emo.csv, dev_sent_emo.csv, test_sent_emo.csv (one is enough) and beside"
    " them the unpacked train_splits/, dev_splits_complete/, output_repeated_splits_test/ (dia0_utt0.mp4 ...)"
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A conversation and the clip of each of its utterances, None where it is not there."""

    conversation: Conversation
    clips: tuple[Path | None, ...]


def read(folder: Path) -> Corpus:
    """Words and labels of MELD.Raw below ``folder``, without features.

    Raises:
        DataError: no label file, or one is damaged or lacks a column.
    """
    return bare({s: tuple(r.conversation for r in found) for s, found in recorded(folder).items()})


def bare(splits: dict[str, tuple[Conversation, ...]]) -> Corpus:
    """MELD with these conversations."""
    return Corpus("meld_raw", LABELS, splits, licence="GPL-3.0 (labels); TV-show content, research")


def recorded(folder: Path) -> dict[str, list[Recorded]]:
    """Conversations by split with the paths of their clips, whether or not a clip can be decoded.

    Raises:
        DataError: no label file, or one is damaged or lacks a column.
    """
    out: dict[str, list[Recorded]] = {}
    for split, (name, folders) in SPLITS.items():
        path = label_file(folder, name)
        if path is None:
            continue
        rows = table.rows(path, COLUMNS, "MELD's labels", NUMBERS)
        clips = _clips(folder, folders)
        found = table.by(rows, "Dialogue_ID").values()
        out[split] = [_recorded(split, sorted(d, key=lambda r: int(r["Utterance_ID"])), clips) for d in found]
    if not out:
        raise DataError(f"{folder}: no label file; {LAYOUT}")
    return out


def label_file(folder: Path, name: str) -> Path | None:
    """``name``, plain or gzipped, in ``folder`` or one of its folders."""
    for pattern in (name, f"{name}.gz", f"*/{name}", f"*/{name}.gz"):
        if found := sorted(folder.glob(pattern)):
            return found[0]
    return None


def _clips(folder: Path, names: tuple[str, ...]) -> dict[str, Path]:
    """Every clip of a split by its name without ending."""
    for name in names:
        for pattern in (name, f"*/{name}"):
            for found in sorted(folder.glob(pattern)):
                if found.is_dir():
                    return {p.stem: p for p in sorted(found.iterdir()) if p.stem.startswith("dia")}
    return {}


def _recorded(split: str, rows: list[table.Row], clips: dict[str, Path]) -> Recorded:
    id_ = f"{split}_dia{rows[0]['Dialogue_ID']}"
    names = [f"dia{r['Dialogue_ID']}_utt{r['Utterance_ID']}" for r in rows]
    conversation = Conversation(
        id_,
        tuple(f"{split}_{n}" for n in names),
        tuple(r["Speaker"] for r in rows),
        np.array([table.index(LABELS, r["Emotion"].lower(), id_) for r in rows], dtype=np.int64),
        tuple(table.tidy(r["Utterance"]) for r in rows),
        group=episode(int(rows[0]["Season"]), int(rows[0]["Episode"])),
    )
    return Recorded(conversation, tuple(clips.get(n) for n in names))
