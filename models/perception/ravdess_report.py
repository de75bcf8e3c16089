"""The table of `models.study_ravdess` in docs/results.md, from its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.perception.both import SUBSETS
from models.perception.pooled import pooled
from models.perception.voice import WAYS, accuracy, macro_f1
from models.spread import figures, spread
from models.training.rows import Row

Summary = dict[str, Any]

TABLE = "perception-ravdess"
TARGETS = {"live": 72.0, "offline": 84.0}  # of both modalities, by LMAM
OURS = "lmam-all-memories"
MODELS = {OURS: "LMAM, as in the model that ships", "concat": "concat", "svm": "SVM"}

WORDS = """### Voice and action units on RAVDESS

A row of the study, never shipped: the fusion of the live model with the action units of OpenFace (averaged
over a clip) in place of face embeddings. 8 classes, folds and ways as above; each clip is a conversation of
one utterance. One network of each seed reads every way and every subset. With one utterance there is nothing
for the matching to choose from: LMAM is then the sum of both rows and the GELU of what it reads. The machines
have MFCC statistics and the columns as they are. `python -m models.study_ravdess --data ../shared/data` runs
what is missing. Accuracy in percent over all folds together.
"""


def table(found: Sequence[Row]) -> tuple[str, list[Summary]]:
    """The text, empty without rows, and entries of docs/results.json."""
    if not found:
        return "", []
    head = ["model", "modalities", *WAYS, "macro F1, live", "seeds", "parameters"]
    out = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    summaries = []
    for model, name in MODELS.items():
        rows = [r for r in found if r["model"] == model]
        for subset in SUBSETS if rows else ():
            counts = {way: list(pooled(rows, way + subset).values()) for way in WAYS}
            modalities = subset.removeprefix(", ") or "both"
            cells = [name, modalities, *(spread([accuracy(c) for c in counts[way]]) for way in WAYS)]
            cells += [spread([macro_f1(c) for c in counts["live"]]), str(len(pooled(rows, f"live{subset}")))]
            cells.append(f"{rows[0]['parameters']:,}" if rows[0]["parameters"] else "-")
            out.append("| " + " | ".join(cells) + " |")
            summaries += _summaries(rows, subset)
    goals = (
        f"\nTo be reached by LMAM with both: {TARGETS['live']:.0f} live, {TARGETS['offline']:.0f} offline.\n"
    )
    return "\n" + WORDS + "\n" + "\n".join(out) + "\n" + goals, summaries


def _summaries(rows: Sequence[Row], subset: str) -> list[Summary]:
    first, out = rows[-1], []
    for way in WAYS:
        counts = pooled(rows, way + subset)
        for metric, measure in (("accuracy", accuracy), ("macro_f1", macro_f1)) if counts else ():
            wanted = TARGETS.get(way) if (first["model"], subset, metric) == (OURS, "", "accuracy") else None
            out.append(
                {
                    "table": TABLE,
                    "dataset": first["dataset"],
                    "model": first["model"],
                    "fusion": first["model"] if first["parameters"] else None,
                    "modalities": [m for m in subset.split(", ") if m] or ["voice", "action units"],
                    "context": way,
                    "seeds": list(counts),
                    "parameters": first["parameters"],
                    "commit": first["commit"],
                    "command": first["command"],
                    "protocol": first["protocol"],
                    "metric": metric,
                    **figures([measure(c) for c in counts.values()]),
                    "target": wanted,
                }
            )
    return out
