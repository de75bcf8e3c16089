"""What was asked of perception and what is reached: every stored figure that has a target, in one table.

Most of them stand in other tables, too. Here are made the figures that follow from several rows: MELD over
five seeds (`results/meld.jsonl`), and what noise costs the voice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from models.perception.benched import PROSODY, SPEAKERS
from models.perception.report import VOICES
from models.perception.voice import NOISE
from models.spread import figures

Summary = dict[str, Any]

FIVE = "perception-text"  # the table of MELD over five seeds
PARTS = {
    FIVE: "words, fusion",
    "shipped-text": "words",
    "perception-affect": "valence, arousal",
    "shipped-affect": "valence, arousal",
    VOICES: "voice",
    "shipped-voice": "voice",
    PROSODY: "voice measures",
    "shipped-face": "face",
    "shipped-speakers": "speakers",
    SPEAKERS: "speakers",
    "shipped-fusion": "fusion",
    "perception-ravdess": "voice and action units",
    "shipped-size": "size",
    "shipped-bench": "bench",
}
HEAD = """### What was asked and what is reached

What is asked of these encoders as a number, with what was measured; tables below say more. Rows of several
seeds are mean ± standard deviation; the others are of the files that ship, one training each. What was tried
where a target is missed: [words](model-results.md#tried-and-not-shipped), [voice](voice.md),
[speakers](speakers.md) and the model cards. More of the agreement with Praat: [prosody](prosody.md).
**The confusion of the meetings** is reached by a tracker whose constants were partly chosen with these
meetings in view; chosen without them, it is missed ([speakers](speakers.md)).
"""
CALIBRATED, LOST = 0.05, 5.0


def judged(summaries: Iterable[Summary]) -> list[Summary]:
    """Each with ``target_is`` and ``reached``, None without a target; at least, where nothing is said."""
    out = []
    for s in summaries:
        kind = s.get("target_is") or (None if s["target"] is None else "at least")
        below = kind == "at most"
        met = None if kind is None else (s["mean"] <= s["target"] if below else s["mean"] >= s["target"])
        out.append({**s, "target_is": kind, "reached": met})
    return out


def five_seeds(found: Sequence[dict[str, Any]]) -> Iterator[Summary]:
    """MELD test over the seeds of the fusion, from results/meld.jsonl: of the recipe that ships, so of
    fusions that were trained on from one before, where there are such."""
    fusions = [r for r in found if r["experiment"] == "fusion"]
    refit = [r for r in fusions if r["variant"] == "refit"]
    rows = refit or [r for r in fusions if r["variant"] == "shipped"]
    if not rows:
        return
    more = " --refit FOLDER" if refit else ""
    facts = {
        "table": FIVE,
        "dataset": "meld",
        "model": "text encoder and fusion",
        "fusion": "lmam",
        "context": "past",
        "seeds": sorted(r["seed"] for r in rows),
        "parameters": 0,
        "commit": "",
        "command": f"python -m models.train fusion --data ../shared/data{more} --seeds 0 1 2 3 4",
    }

    def made(protocol: str, metric: str, values: list[float], target: float, kind: str) -> Summary:
        goal = {"target": target, "target_is": kind}
        return {**facts, "protocol": protocol, "metric": metric, **figures(values), **goal}

    both, words = ([r["test"][s]["weighted_f1"] for r in rows] for s in ("text+voice", "text"))
    yield made("gold words, words and voice", "weighted_f1", both, 62.5, "at least")
    yield made("gold words, words alone", "weighted_f1", words, 62.5, "at least")
    added = [a - b for a, b in zip(both, words, strict=True)]
    yield made("gold words, words and voice", "weighted_f1 above words alone", added, 0.0, "at least")
    for subset in ("text+voice", "text", "voice"):
        yield made(subset, "ece", [r["test"][subset]["ece"] for r in rows], CALIBRATED, "at most")


def lost_to_noise(summaries: Sequence[Summary]) -> Iterator[Summary]:
    """What of the voice's accuracy is lost at 10 dB, live and offline; the deviation is not known."""
    ours = {
        (s["dataset"], s["context"], s["protocol"]): s
        for s in summaries
        if (s["table"], s["model"], s["metric"]) == (VOICES, "voice", "accuracy")
    }
    for (dataset, way, protocol), noisy in ours.items():
        clean = ours.get((dataset, way, protocol.removesuffix(NOISE)))
        if clean is None or clean is noisy:
            continue
        lost = round(clean["mean"] - noisy["mean"], 3)
        goal = {"target": LOST, "target_is": "at most"}
        yield {**noisy, "metric": "accuracy lost against clean", "mean": lost, "std": None, **goal}


def overview(summaries: Sequence[Summary]) -> str:
    """The table of all that has a target, empty where nothing has."""
    head = ["part", "data", "condition", "measure", "value", "target", "reached", "seeds"]
    out = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for table, part in PARTS.items():
        for s in (s for s in summaries if s["table"] == table and s["target"] is not None):
            condition = ", ".join(p for p in (s["protocol"], s["context"]) if p)
            cells = [part, s["dataset"], condition, s["metric"], _value(s)]
            cells += [f"{'<=' if s['target_is'] == 'at most' else '>='} {s['target']:g}"]
            cells += ["yes" if s["reached"] else "**no**", str(len(s["seeds"])) if s["seeds"] else "-"]
            out.append("| " + " | ".join(cells) + " |")
    return HEAD + "\n" + "\n".join(out) + "\n" if len(out) > 2 else ""


def _value(s: Summary) -> str:
    digits = 3 if abs(s["target"]) <= 1 and s["target"] != 0 else 1
    mean = f"{s['mean']:.{digits}f}"
    return mean if s["std"] is None else f"{mean} ± {s['std']:.{digits}f}"
