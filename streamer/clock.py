"""Stream time in seconds.  The only file that reads a clock or sleeps."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """0.0 is the start of the stream."""

    def now(self) -> float: ...
    async def sleep_until(self, moment: float) -> None: ...
    def wall(self, moment: float | None = None) -> datetime:
        """The wall-clock time (UTC) of stream time ``moment``, never later than the present; None: now."""
        ...


class StreamClock:
    """Runs ``speed`` times as fast as the world, from 0.0 at construction."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed, self._origin = speed, time.monotonic()
        self._began = datetime.now(UTC)

    def now(self) -> float:
        return (time.monotonic() - self._origin) * self._speed

    async def sleep_until(self, moment: float) -> None:
        await asyncio.sleep(max(0.0, (moment - self.now()) / self._speed))

    def wall(self, moment: float | None = None) -> datetime:
        now = self.now()
        return self._began + timedelta(seconds=min(now if moment is None else moment, now) / self._speed)


class ManualClock:
    """Stands still until a test advances it."""

    def __init__(self) -> None:
        self._now = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    def wall(self, moment: float | None = None) -> datetime:
        began = datetime(2026, 1, 1, tzinfo=UTC)
        return began + timedelta(seconds=self._now if moment is None else min(moment, self._now))

    async def sleep_until(self, moment: float) -> None:
        if moment > self._now:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._sleepers, (moment, next(self._order), waiter))
            await waiter
        else:
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Move on, waking sleepers in order and letting each run before the next."""
        target = self._now + seconds
        while self._sleepers and self._sleepers[0][0] <= target:
            self._now, _, waiter = heapq.heappop(self._sleepers)
            if not waiter.done():
                waiter.set_result(None)
            await settle()
        self._now = target
        await settle()


async def settle(turns: int = 20) -> None:
    """Let every ready task run until it waits again."""
    for _ in range(turns):
        await asyncio.sleep(0)
