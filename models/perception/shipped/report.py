"""The tables of docs/results.md about what ships, from the rows of ``lmam bench perception --json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.perception.shipped.figures import written
from models.training.rows import Row

PREFIX = "shipped-"
HEAD = """### What ships

`{command} --json results/perception.json`, then `python -m models.study.report`. The files in
`models/weights`, read once on test: one training each, so there is no deviation; its seed is in the table,
"-" where a model has none. Costs are processor time of one core of the machine that ran it, the least of
three times for words, voice, a face and a step; machines differ by a factor of three. "Shipped" is ours;
everything else is a baseline on the same utterances, clips or pictures. Targets are those of the issue that
asked for these encoders, and stand beside what they are about, whether reached or not.
"""
PARTS = {
    "text": (
        "Words",
        "MELD test, past context only, anonymous speakers. tf-idf and logistic regression know no context."
        " Polarity is MELD's sentiment in three classes: ours follows from the seven labels, by how often"
        " each goes with which sentiment on train; VADER's lexicon is read with its rules for negations and"
        " boosters alone (`models/tasks/lexicon.py`).",
    ),
    "affect": (
        "Valence and arousal of the shipped file",
        "EmoBank test: Pearson's r with the mean of the readers, every sentence by itself. The map stands in"
        " where there are no words. The protocol over five seeds is the part *Valence and arousal*.",
    ),
    "voice": (
        "Voice of the shipped file",
        "The test split (two actors, one German speaker), of which few figures can be sure by less than ten"
        " points; the protocol over all speakers, which the targets are about, is the part *Voice*.",
    ),
    "face": (
        "Faces",
        "FER+ test: faces whose majority is one of the eight emotions; where two tie, either is right."
        " mini-XCEPTION was made for FER2013's labels and knows no contempt. The shipped network has been"
        " trained with one seed.",
    ),
    "speakers": (
        "Speakers",
        "No collar, overlap scored, on the segments of the program's own detector, pooled; percent of the"
        " reference's speech. The target of confusion is half of one speaker's. The tracker's constants were"
        " partly chosen with these meetings in view: chosen without them it misses the target"
        " (docs/speakers.md).",
    ),
    "fusion": (
        "Fusion",
        "Rows with a face or a synthetic voice are pairs that never happened (FER+ test faces; clips of test"
        " actors of RAVDESS and EmoDB), **not a result on MELD**. RAVDESS: two test actors through "
        "the live graph,"
        " whose sentences say nothing; the fusion was not calibrated there. So few clips have an ECE even"
        " where every confidence is right: it stands below it.",
    ),
    "bench": ("The whole of it", "On the machine that ran it, with what else it did then."),
    "size": ("Size", "Files in `models/weights`, 1 MB = 1e6 bytes."),
}


def read(path: Path) -> list[Row]:
    """The rows of ``path``; none where it is not there.

    Raises:
        ValueError: it is damaged.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if any(not str(row["table"]).startswith(PREFIX) for row in found):
            raise ValueError(f"a table that does not begin with {PREFIX}")
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not what 'lmam bench perception --json' writes ({error})") from error
    return list(found)


def section(found: Sequence[Row]) -> str:
    """All tables, empty without rows."""
    if not found:
        return ""
    out = [HEAD.format(command=found[0]["command"])]
    for part, (title, words) in PARTS.items():
        rows = [row for row in found if row["table"] == PREFIX + part]
        if rows:
            out += [f"#### {title}\n", f"{words}\n", _table(rows), ""]
    return "\n".join(out)


def _table(rows: Sequence[Row]) -> str:
    head = ["data", "condition", "model", "measure", "value", "target", "reached", "n", "seed"]
    out = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows:
        context = row["context"] if row["table"] == f"{PREFIX}voice" else ""
        cells = [
            row["dataset"],
            ", ".join(part for part in (row["protocol"], context) if part),
            row["model"],
            row["metric"],
            written(row["metric"], row["mean"]),
            target(row),
            {None: "-", True: "yes", False: "**no**"}[row["reached"]],
            f"{row['n']:,}",
            ", ".join(map(str, row["seeds"])) or "-",
        ]
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out)


def target(row: dict[str, Any]) -> str:
    """``>= 62.5``, or a dash."""
    if row["target"] is None:
        return "-"
    return f"{'<=' if row['target_is'] == 'at most' else '>='} {row['target']:g}"
