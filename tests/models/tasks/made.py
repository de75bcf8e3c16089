"""Small files of the other tasks that tests make."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np

Events = list[tuple[list[int], int]]


def clicks(path: Path, train: Events, test: Events, category: list[int], **change: Any) -> Path:
    """A file of click sequences: ``(items, target)`` each; item v has ``category[v - 1]``."""
    arrays: dict[str, Any] = {"item_to_category": np.array(category, dtype=np.int16)}
    for part, sequences in (("train", train), ("test", test)):
        items = np.array([i for events, _ in sequences for i in events], dtype=np.int32)
        targets = np.array([t for _, t in sequences], dtype=np.int32)
        offsets = np.cumsum([0, *(len(events) for events, _ in sequences)]).astype(np.int32)
        arrays |= {f"{part}_offsets": offsets, f"{part}_items": items, f"{part}_target_item": targets}
        kind = np.array([0, *category], dtype=np.int16)
        arrays[f"{part}_categories"] = kind[items]
        arrays[f"{part}_target_category"] = kind[targets]
    arrays = {k: v for k, v in (arrays | change).items() if v is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def rounds(items: int, count: int, seed: int = 0) -> Events:
    """Sequences that count upwards, from the last item to the first: the next item is certain."""
    random = np.random.default_rng(seed)
    out: Events = []
    for _ in range(count):
        start, length = int(random.integers(items)), int(random.integers(2, 7))
        events = [(start + i) % items + 1 for i in range(length + 1)]
        out.append((events[:-1], events[-1]))
    return out


def scenes(folder: Path, count: int = 40) -> Path:
    """A MUStARD folder: two shows, the speaker of a show decides the label, and so does the word "fine".

    No scene has the words of another.
    """
    made = {}
    for i in range(count):
        sarcastic, show = i % 2 == 0, ("ONE", "TWO")[i % 4 // 2]
        made[f"{i}_s"] = {
            "utterance": f"{'fine thanks' if sarcastic else 'how are'} you joey",
            "speaker": f"{show}{int(sarcastic)}",
            "context": [f"what are you doing {i}", "fine"][: 1 + i % 2],
            "context_speakers": ["A", "B"][: 1 + i % 2],
            "show": show,
            "sarcasm": sarcastic,
        }
    (folder / "mustard").mkdir(parents=True)
    (folder / "lexicons").mkdir()
    content = json.dumps(made).encode()
    (folder / "mustard" / "sarcasm_data.json.gz").write_bytes(gzip.compress(content))
    tests = [[i for i in range(count) if i // 4 % 5 == fold] for fold in range(5)]
    folds = [{"test": rows, "train": sorted(set(range(count)) - set(rows))} for rows in tests]
    (folder / "mustard" / "split_indices.json").write_text(json.dumps(folds))
    words = "fine\t0.8\t0.6\t[1, 0]\njoey\t-0.2\t0.9\t[0, 0]\n"
    (folder / "lexicons" / "vader_lexicon.txt.gz").write_bytes(gzip.compress(words.encode()))
    return folder
