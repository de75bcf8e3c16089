"""What the section "Perception" of docs/results.md says of the stored rows of the encoders.

A figure of the voice is over the clips of all folds together, each read by the network that did not train on
its speaker; mean and deviation are over the seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.perception import affect_report, ravdess_report
from models.perception.pooled import pooled
from models.perception.voice import NOISE, TELEPHONE, TESTED, WAYS, accuracy, macro_f1
from models.spread import figures, spread
from models.training.rows import Row

Summary = dict[str, Any]

VOICES = "perception-voice"  # the table of its rows
TARGETS = {
    ("ravdess", "live"): 55.0,
    ("ravdess", "offline"): 65.0,
    ("emodb", "offline"): 80.0,
}
NAMES = {"ravdess": "RAVDESS, 8 classes", "emodb": "EmoDB, 7 classes"}
MODELS = {"mfcc-svm": "MFCC statistics + SVM", "voice": "voice network"}

VOICE = """### Voice

Speakers of test are in no other part: RAVDESS in five folds of two men and two women, EmoDB with one speaker
left out at a time. *live*: nothing is known of the test speaker but the clip. *running*: what they said
before is known, too (in an order that the seed draws). *offline*: all their clips are known. One network
reads all three ways. "At 10 dB": with recorded noise, not that of the training, 10 dB below the speech.
"By telephone": 300 to 3,400 Hz, in the steps of G.711.
Accuracy in percent, over all folds together, mean ± standard deviation over the seeds.
"""


def section(found: Sequence[Row]) -> tuple[str, list[Summary]]:
    """The text, empty without rows, and entries of docs/results.json."""
    parts = [
        affect_report.part(found),
        voice([r for r in found if r["table"] == VOICES]),
        ravdess_report.table([r for r in found if r["table"] == ravdess_report.TABLE]),
    ]
    there = [p for p in parts if p[0]]
    if not there:
        return "", []
    return "\n".join(text for text, _ in there), [s for _, each in there for s in each]


def voice(found: Sequence[Row]) -> tuple[str, list[Summary]]:
    """The part of the voice, as `section`."""
    if not found:
        return "", []
    head = [
        "data",
        "model",
        "way",
        "accuracy",
        "target",
        "macro F1",
        "at 10 dB",
        "by telephone",
        "seeds",
        "parameters",
    ]
    out = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    summaries = []
    for dataset in NAMES:
        for model, name in MODELS.items():
            rows = [r for r in found if (r["dataset"], r["model"]) == (dataset, model)]
            for way in WAYS if rows else ():
                line = _line(rows, way)
                if line is None:
                    continue
                target = TARGETS.get((dataset, way))
                cells = [NAMES[dataset], name, way, spread(line["accuracy"])]
                cells += [f"{target:.0f}" if target and model == "voice" else "-"]
                cells += [spread(line["macro_f1"]), spread(line["noisy"]), spread(line["telephone"])]
                cells += [
                    str(len(line["seeds"])),
                    f"{rows[0]['parameters']:,}" if rows[0]["parameters"] else "-",
                ]
                out.append("| " + " | ".join(cells) + " |")
                summaries += _summaries(rows[-1], way, line, target if model == "voice" else None)
    return VOICE + "\n" + "\n".join(out) + "\n", summaries


def _line(rows: Sequence[Row], way: str) -> dict[str, Any] | None:
    counts, noisy, narrow = (pooled(rows, way + condition) for condition in TESTED)
    if not counts:
        return None
    return {
        "seeds": list(counts),
        "accuracy": [accuracy(c) for c in counts.values()],
        "macro_f1": [macro_f1(c) for c in counts.values()],
        "noisy": [accuracy(c) for c in noisy.values()],
        "telephone": [accuracy(c) for c in narrow.values()],
    }


def _summaries(row: Row, way: str, line: dict[str, Any], target: float | None) -> list[Summary]:
    facts = {
        "table": row["table"],
        "dataset": row["dataset"],
        "model": row["model"],
        "fusion": None,
        "context": way,
        "seeds": line["seeds"],
        "parameters": row["parameters"],
        "commit": row["commit"],
        "command": row["command"],
    }
    measures = (
        ("accuracy", "", target),
        ("macro_f1", "", None),
        ("noisy", NOISE, None),
        ("telephone", TELEPHONE, None),
    )
    return [
        {
            **facts,
            "protocol": row["protocol"] + condition,
            "metric": "accuracy" if condition else measure,
            **figures(line[measure]),
            "target": goal,
        }
        for measure, condition, goal in measures
        if line[measure]
    ]
