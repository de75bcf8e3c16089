"""Runs a graph as a process: signals, threads, and what is said when it ends."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from .channel import Channel
from .clock import Clock, StreamClock
from .context import Context
from .payloads import EstimateV1, Event, HealthV1
from .pipeline import Outcome, Pipeline, run

THREADS = 5  # as many stages hop to a thread; torch and ONNX use one each
ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # SIGHUP: the terminal was closed
log = logging.getLogger(__name__)


@dataclass
class Tally:
    """A sink that counts what passed, for the summary at the end."""

    finals: int = 0
    partials: int = 0
    labels: dict[str, Counter[str]] = field(default_factory=dict)
    totals: list[float] = field(default_factory=list)
    heard: float = 0.0
    health: HealthV1 | None = None

    async def run(self, inbox: Channel[Event], clock: Clock) -> None:
        async for event in inbox:
            if isinstance(event, HealthV1):
                self.health = event
            elif isinstance(event, EstimateV1):
                self._count(event)

    def _count(self, e: EstimateV1) -> None:
        if not e.final:
            self.partials += 1
            return
        self.finals += 1
        self.heard += e.end - e.start
        self.labels.setdefault(e.speaker.label or e.speaker.id, Counter())[e.emotion.label] += 1
        if e.latency.total is not None and e.latency.endpoint is not None:
            self.totals.append(e.latency.total)


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did. ``seconds`` of wall time; ``interrupted`` by Ctrl-C or SIGTERM."""

    outcome: Outcome
    tally: Tally
    seconds: float
    interrupted: bool


async def launch(
    pipeline: Pipeline, context: Context, tally: Tally, *, lossless: bool, speed: float
) -> Report:
    """Run ``pipeline`` to its end, or until SIGINT or SIGTERM asks it to drain.

    A second signal stops at once.
    """
    clock, stop = StreamClock(speed), asyncio.Event()
    world = StreamClock()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="stage") as executor, _signals(stop):
        outcome = await run(pipeline, context, lossless=lossless, clock=clock, executor=executor, stop=stop)
    return Report(outcome, tally, world.now(), stop.is_set())


@contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    loop, main = asyncio.get_running_loop(), asyncio.current_task()

    def asked() -> None:
        if stop.is_set() and main is not None:
            log.warning("stopping at once; undelivered finals stay in the outbox")
            main.cancel()
        stop.set()

    for sign in ASKING:
        loop.add_signal_handler(sign, asked)
    try:
        yield
    finally:
        for sign in ASKING:
            loop.remove_signal_handler(sign)


def summary(report: Report) -> list[str]:
    """The run in a few lines of words."""
    t = report.tally
    counted = f"{t.finals} utterances ({t.heard:.1f} s) and {t.partials} provisional estimates"
    lines = [f"{counted} in {report.seconds:.1f} s"]
    for speaker, counts in sorted(t.labels.items()):
        seen = ", ".join(f"{label} {n}" for label, n in counts.most_common())
        lines.append(f"  {speaker}: {seen}")
    if t.totals:
        ranked = sorted(t.totals)
        p50, p95 = (ranked[min(len(ranked) - 1, round(q * (len(ranked) - 1)))] for q in (0.5, 0.95))
        lines.append(f"  end of speech to published final: p50 {p50:.2f} s, p95 {p95:.2f} s")
    dropped = {c.name: c.dropped for c in report.outcome.channels if c.dropped}
    lines.append("  dropped: " + (", ".join(f"{k} {v}" for k, v in dropped.items()) or "nothing"))
    if report.interrupted:
        lines.append("  interrupted: what was being heard was finished")
    return lines
