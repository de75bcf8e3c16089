"""The part "Valence and arousal" of docs/results.md, from the stored rows of `models.train_affect`.

Rows of former encoders stay in the file and out of the page, which tells of the last row's.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from models.encoders.affect import MEASURES
from models.perception.affect import ALONE, MISHEARD, mean
from models.spread import figures, spread
from models.training.rows import Row

Summary = dict[str, Any]

TABLE = "perception-affect"
TARGETS = {"valence": 0.70, "arousal": 0.45}
MODELS = {
    "minilm-ridge": "MiniLM as published + ridge regression",
    "ridge": "our text encoder + ridge regression",
    "label-map": "map of the seven labels (used where there are no words)",
    "head": "head on our text encoder (used where there are words)",
}
WORDS = """### Valence and arousal

EmoBank's own test split (1,000 sentences, each by itself): Pearson's r with the mean of the readers, mean ±
standard deviation over the seeds; epochs and regularisation are chosen on dev. "Misheard": lower case, no
punctuation, 30 % of the words wrong. The map reads what the fusion makes of the words alone. Text encoder
{text}, fusion {fusion} (digests of their tensors).
"""
MIXED = """
A mixture of head and map is no better on dev. r, mean of the two measures, by the share of the map: {tried}.
"""


def part(found: Sequence[Row]) -> tuple[str, list[Summary]]:
    """The text, empty without rows, and entries of docs/results.json."""
    found = [r for r in found if r["table"] == TABLE]
    found = [r for r in found if r["encoders"] == found[-1]["encoders"]]
    if not found:
        return "", []
    conditions = list(dict.fromkeys(c for r in found for c in r["test"]))
    head = ["model", *(f"{m}{_of(c)}" for c in conditions for m in MEASURES), "seeds", "parameters"]
    out = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    summaries: list[Summary] = []
    for model, name in MODELS.items():
        rows = [r for r in found if r["model"] == model]
        if not rows:
            continue
        cells = [
            spread([r["test"][c][m] for r in rows if c in r["test"]], 3) for c in conditions for m in MEASURES
        ]
        size = f"{rows[0]['parameters']:,}" if rows[0]["parameters"] else "-"
        out.append("| " + " | ".join([name, *cells, str(len(rows)), size]) + " |")
        summaries += [s for c in conditions if c in rows[0]["test"] for s in _summaries(rows, c)]
    aims = ["must reach", *(f"{TARGETS[m]:.2f}" if c == ALONE else "-" for c in conditions for m in MEASURES)]
    out.append("| " + " | ".join([*aims, "-", "-"]) + " |")
    text = WORDS.format(**found[-1]["encoders"]) + "\n" + "\n".join(out) + "\n"
    return text + _mixed([r for r in found if "mixed" in r]), summaries


def _of(condition: str) -> str:
    return "" if condition == ALONE else f", {condition}"


def _mixed(rows: Sequence[Row]) -> str:
    """What was tried on dev, where nothing beat the head by itself by half a hundredth."""
    if not rows:
        return ""
    by_share = {s: statistics.mean(mean(r["mixed"][s]) for r in rows) for s in rows[0]["mixed"]}
    if max(by_share.values()) >= by_share["0.0"] + 0.005:
        return ""
    tried = ", ".join(f"{float(s):.0%} {r:.3f}" for s, r in by_share.items())
    return MIXED.format(tried=tried)


def _summaries(rows: Sequence[Row], condition: str) -> list[Summary]:
    first = rows[0]
    return [
        {
            "table": TABLE,
            "dataset": first["dataset"],
            "model": first["model"],
            "fusion": None,
            "context": condition,
            "protocol": "EmoBank's test split" + (", 30 % word errors" if condition == MISHEARD else ""),
            "metric": f"{measure}_r",
            **figures([r["test"][condition][measure] for r in rows]),
            "target": TARGETS[measure] if (first["model"], condition) == ("head", ALONE) else None,
            "seeds": [r["seed"] for r in rows],
            "parameters": first["parameters"],
            "encoders": first["encoders"],
            "commit": first["commit"],
            "command": first["command"],
        }
        for measure in MEASURES
    ]
