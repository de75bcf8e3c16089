"""What ``benchmarks.speakers`` and ``benchmarks.prosody`` found, as entries of docs/results.json.

The tables of both stand in docs/speakers.md and docs/prosody.md; here their figures get their targets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Summary = dict[str, Any]
Report = Mapping[str, Any]

SPEAKERS, PROSODY = "perception-speakers", "perception-prosody"
CONVERSATIONS = {
    "both": "2 actors and 2 readers, 2 x 10 min",
    "readers": "4 readers, 2 x 10 min",
    "actors": "4 actors in all emotions, 2 x 10 min",
    "a reader alone": "one reader, 2 x 5 min",
    "an actor alone": "one actor in all emotions, 2 x 5 min",
    "telephone call": "a telephone call of two, 30 s",
}
OF_FOUR = ("both", "readers", "actors")  # what the targets are about
CONFUSED, SWAPS, COST = 10.0, 0.0, 5.0  # at most; the last in percent of real time
CASES = {
    "whole": "whole clips",
    "cut": "clips cut to their speech, as live",
    "cut + noise": "the same with noise 25 dB below the speech",
}
AS_PRAAT = ("intensity_variation", "avg_pitch", "pitch_std", "pitch_range")
CORRELATED = 0.95  # at least


def read(folder: Path) -> dict[str, Report]:
    """The reports in ``folder``: ``speakers.json`` and ``prosody.json``, as far as they are there.

    Raises:
        ValueError: one is not what its benchmark writes.
    """
    found = {}
    for name, field in (("speakers", "rows"), ("prosody", "measures")):
        path = folder / f"{name}.json"
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
            if not {field, "commit", "command"} <= report.keys():
                raise ValueError(f"expected {field}, commit and command")
        except FileNotFoundError:
            continue
        except (OSError, ValueError, AttributeError) as error:
            raise ValueError(f"{path}: not what benchmarks.{name} --json writes ({error})") from error
        found[name] = report
    return found


def summaries(reports: Mapping[str, Report]) -> Iterator[Summary]:
    """Entries of both, those with a target among them."""
    if report := reports.get("speakers"):
        yield from speakers(report)
    if report := reports.get("prosody"):
        yield from prosody(report)


def speakers(report: Report) -> Iterator[Summary]:
    """Confusion beside that of one speaker, swaps and cost of each kind of conversation."""
    facts = _facts(report, SPEAKERS, "ravdess, asr", "past")
    for row in report["rows"]:
        kind, _, who = row["name"].partition(": ")
        if kind not in CONVERSATIONS:
            continue  # the meetings are a part of `lmam bench perception`
        ours, four = who == "ours", kind in OF_FOUR and who == "ours"
        facts |= {"model": "shipped" if ours else who, "protocol": CONVERSATIONS[kind]}
        facts["dataset"] = "diarization" if kind == "telephone call" else "ravdess, asr"
        yield _entry(facts, "confusion, %", row["confusion"], CONFUSED if four else None, "at most")
        if ours:
            swaps = SWAPS if four else None
            yield _entry(facts, "ids that changed hands", row["swaps"], swaps, "at most")
            yield _entry(facts, "MiB grown after the first minute", row["grown"])
            yield _entry(facts, "% of real time", row["cost"], COST if four else None, "at most")


def prosody(report: Report) -> Iterator[Summary]:
    """The correlation of each measure with Praat's."""
    facts = _facts(report, PROSODY, "ravdess", "") | {"model": "voice measures"}
    for found in report["measures"]:
        for case, words in CASES.items():
            target = CORRELATED if found["measure"] in AS_PRAAT else None
            metric = f"{found['measure']}, r with Praat"
            yield _entry(facts | {"protocol": words}, metric, found["correlation"][case], target, "at least")


def _facts(report: Report, table: str, dataset: str, context: str) -> Summary:
    told = {"command": report["command"], "commit": report["commit"]}
    return {"table": table, "dataset": dataset, "fusion": None, "context": context, **told}


def _entry(
    facts: Summary, metric: str, value: float, target: float | None = None, kind: str | None = None
) -> Summary:
    goal = {"target": target, "target_is": None if target is None else kind}
    return {
        **facts,
        "metric": metric,
        "mean": round(value, 4),
        "std": None,
        "seeds": [],
        "parameters": 0,
        **goal,
    }
