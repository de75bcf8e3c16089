"""Who spoke when: the errors of telling voices apart, pooled over recordings, beside those of one speaker.

No collar, overlap scored, by pyannote.metrics (the extra ``bench``). On the meetings of ``diarization``, both
are given the segments of the program's own detector.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.encoders.speaker import SpeakerNet
from models.extras import install
from models.perception.shipped.figures import OURS, Figure, Say, Target

from ..speakers.changes import CHANGE
from ..speakers.clusters import Rules
from ..speakers.voice import Config, Tracker
from ..telemetry import memory_mb
from ..types import Floats, Segment
from .recordings import Recording, Turn, detector, meetings

Encode = Callable[[Sequence[Floats]], Floats]

PART = "speakers"
MINUTE = 60.0
BARELY = 5.0  # seconds of a minute; less does not tell whom an id stands for
COST = Target(5.0, at_most=True)  # % of real time
ALONE = "one speaker"


def figures(data: Path, weights: Path, say: Say) -> Iterator[Figure]:
    """Every figure of the part, about a minute; the speaker encoder is the package's, not of ``weights``.

    Raises:
        ValueError: the meetings or pyannote.metrics are missing. CheckpointError: the speaker encoder is.
    """
    net = SpeakerNet.load()
    say("meetings")
    held = [r for r in meetings(data, detector()) if r.name != "phone_call"]
    alone = measure(ALONE, held, [one_speaker(r) for r in held])
    say("telling voices apart")
    row = measure(OURS, held, [ours(r, net.embed) for r in held])
    half = Target(round(alone.confusion / 2, 4), at_most=True)
    size = sum(p.numel() for p in net.parameters())
    for found in (row, alone):
        mine = found is row
        facts: dict[str, Any] = {"part": PART, "dataset": "diarization", "model": found.name}
        facts |= {"n": len(held), "protocol": "12 meetings pooled" if len(held) == 12 else "meetings pooled"}
        facts |= {"context": "past only", "parameters": size if mine else 0}
        for metric, value in (("miss", found.miss), ("false alarm", found.false_alarm)):
            yield Figure(metric=f"{metric}, %", value=value, **facts)
        yield Figure(metric="confusion, %", value=found.confusion, target=half if mine else None, **facts)
        if mine:
            yield Figure(metric="% of real time", value=found.cost, target=COST, **facts)


@dataclass(frozen=True, slots=True)
class Row:
    """Errors in percent of the reference's speech, where two at once count twice.

    ``speakers`` is their mean number; ``cost`` in percent of real time; ``kept``: embeddings at most;
    ``grown``: MiB of memory from the end of the first minute to the end, at most.
    """

    name: str
    miss: float
    false_alarm: float
    confusion: float
    speakers: float
    swaps: int = 0
    cost: float = 0.0
    kept: int = 0
    grown: float = 0.0


@dataclass(frozen=True, slots=True)
class Run:
    """Who was heard when, and what it took: processor seconds, embeddings, MiB."""

    turns: list[Turn]
    spent: float = 0.0
    kept: int = 0
    grown: float = 0.0


def one_speaker(r: Recording) -> Run:
    return Run([(s.span.start, s.span.end, "s0") for s in r.segments if s.final])


def ours(r: Recording, encode: Encode, rules: Rules | None = None, change: float = CHANGE) -> Run:
    tracker = Tracker(Config(), encode, rules=rules, change=change)
    turns: list[Turn] = []
    kept, first, spent = 0, None, 0.0
    for segment in r.segments:
        began = time.process_time()
        made = [s for s in tracker.push(segment) if isinstance(s, Segment) and s.final]
        spent += time.process_time() - began
        turns += [(s.span.start, s.span.end, s.speaker.id) for s in made if s.speaker]
        kept = max(kept, tracker.bits)
        if first is None and segment.span.end > MINUTE:
            first = memory_mb()
    return Run(turns, spent, kept, memory_mb() - first if first is not None else 0.0)


def measure(name: str, recordings: Sequence[Recording], runs: Sequence[Run]) -> Row:
    """All of them pooled.

    Raises:
        ValueError: pyannote.metrics is not installed.
    """
    shares, length = errors(recordings, runs), sum(r.seconds for r in recordings)
    return Row(
        name,
        miss=shares["missed detection"],
        false_alarm=shares["false alarm"],
        confusion=shares["confusion"],
        speakers=float(np.mean([len({who for *_, who in run.turns}) for run in runs])),
        swaps=sum(swaps(r, run.turns) for r, run in zip(recordings, runs, strict=True)),
        cost=100 * sum(run.spent for run in runs) / length,
        kept=max(run.kept for run in runs),
        grown=max(run.grown for run in runs),
    )


def errors(recordings: Sequence[Recording], runs: Sequence[Run]) -> dict[str, float]:
    """Each kind of error in percent of the reference's speech, pooled.

    Raises:
        ValueError: pyannote.metrics is not installed.
    """
    try:
        from pyannote import core
        from pyannote.metrics.diarization import DiarizationErrorRate
    except ImportError:
        raise ValueError(
            f"the errors of the speakers need pyannote.metrics; run: {install('bench')}"
        ) from None

    def annotation(turns: Sequence[Turn]) -> Any:
        made = core.Annotation()
        for i, (begin, end, who) in enumerate(turns):
            made[core.Segment(begin, end), i] = who
        return made

    metric: Any = DiarizationErrorRate(collar=0.0, skip_overlap=False)
    for r, run in zip(recordings, runs, strict=True):
        everything = core.Timeline([core.Segment(0.0, r.seconds)])
        metric(annotation(r.turns), annotation(run.turns), uem=everything)
    total = float(metric["total"])
    return {
        part: 100 * float(metric[part]) / total for part in ("missed detection", "false alarm", "confusion")
    }


def swaps(r: Recording, turns: Sequence[Turn]) -> int:
    """How often an id came to stand for somebody else after the first minute."""
    stood: dict[str, str] = {}
    count = 0
    for minute in range(int(r.seconds // MINUTE)):
        shared: dict[str, dict[str, float]] = {}
        for (a, b, number), (c, d, person) in itertools.product(turns, r.turns):
            both = min(b, d, (minute + 1) * MINUTE) - max(a, c, minute * MINUTE)
            if both > 0:
                times = shared.setdefault(number, {})
                times[person] = times.get(person, 0.0) + both
        for number, times in shared.items():
            if sum(times.values()) >= BARELY:
                person = max(times, key=lambda p: times[p])
                count += minute > 1 and stood.get(number, person) != person
                if minute:
                    stood[number] = person
    return count
