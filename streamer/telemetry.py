"""Measures how the graph keeps up: lag, frame rate, drops, skew, memory."""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .channel import Channel
from .clock import Clock
from .context import Context
from .payloads import ChannelV1, HealthV1

BEHIND = 2.0  # seconds of lag from which a node calls itself behind


class Telemetry:
    """Makes a `HealthV1` whenever asked.

    Args:
        channels: Every edge of the graph.
        heard: Stream time up to which sound has been analysed; infinite without sound.
        skew: Seconds by which sound arrives later than pictures, None while one of them is missing.
        sources: Are asked for their ``drift`` (microphones) and ``skew`` (files), where they have one.
        paused: Whether capture is paused.
    """

    def __init__(
        self,
        context: Context,
        clock: Clock,
        channels: Sequence[Channel[Any]],
        *,
        heard: Callable[[], float],
        skew: Callable[[], float | None],
        sources: Sequence[object] = (),
        paused: Callable[[], bool],
    ) -> None:
        self._context, self._clock, self._channels = context, clock, channels
        self._heard, self._skew, self._paused, self._sources = heard, skew, paused, sources
        self._last_time, self._last_frames, self._last_dropped = clock.now(), 0, 0

    def health(self) -> HealthV1:
        now = self._clock.now()
        stats = {c.name: c.stats() for c in self._channels}
        frames = stats["video"].sent - stats["video"].dropped - stats["video"].depth
        dropped = sum(s.dropped for name, s in stats.items() if name != "video")  # stale frames go by design
        heard = self._heard()
        lag = max(0.0, now - heard) if self._context.session.live and math.isfinite(heard) else 0.0
        behind = lag > BEHIND or dropped > self._last_dropped
        fps = (frames - self._last_frames) / max(1e-6, now - self._last_time)
        self._last_time, self._last_frames, self._last_dropped = now, frames, dropped
        skew = self._skew()
        return HealthV1(
            conversation=self._context.session.conversation,
            at=self._clock.wall(),
            uptime=round(now, 3),
            fps=round(fps, 2),
            lag=round(lag, 3),
            skew=None if skew is None else round(skew, 3),
            drift=self._largest("drift"),
            file_skew=self._largest("skew"),
            behind=behind and not self._paused(),
            paused=self._paused(),
            memory_mb=round(memory_mb(), 1),
            channels={
                n: ChannelV1(depth=s.depth, capacity=s.capacity, sent=s.sent, dropped=s.dropped)
                for n, s in stats.items()
            },
            problems=self._context.notices.all(),
        )

    def _largest(self, name: str) -> float | None:
        """Of what the sources measure under ``name``, the one farthest from zero."""
        measured = (getattr(source, name, None) for source in self._sources)
        found: list[float] = [value for value in measured if value is not None]
        farthest = max(found, key=abs, default=None)
        return None if farthest is None else round(farthest, 3)


def memory_mb() -> float:
    """Resident memory of this process in MiB; its peak where the system tells only that."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20
    return peak_memory_mb()


def peak_memory_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
