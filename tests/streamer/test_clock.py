"""Time can be made to stand still."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from streamer.clock import ManualClock, StreamClock, settle


async def test_sleepers_wake_in_order_and_not_before_their_moment() -> None:
    clock, woken = ManualClock(), []

    async def sleeper(moment: float) -> None:
        await clock.sleep_until(moment)
        woken.append((moment, clock.now()))

    tasks = [asyncio.create_task(sleeper(m)) for m in (3.0, 1.0, 2.0)]
    await settle()
    await clock.advance(2.5)
    assert woken == [(1.0, 1.0), (2.0, 2.0)]
    await clock.advance(1.0)
    await asyncio.gather(*tasks)
    assert woken[-1] == (3.0, 3.0)


async def test_the_past_does_not_wait() -> None:
    clock = ManualClock()
    await clock.advance(5)
    await asyncio.wait_for(clock.sleep_until(1.0), 1)


def test_wall_time_never_lies_in_the_future() -> None:
    clock = StreamClock()
    assert clock.wall(1e6) <= clock.wall() + timedelta(seconds=1)
    assert ManualClock().wall(3.0) == ManualClock().wall()


def test_a_fast_clock_runs_ahead() -> None:
    slow, fast = StreamClock(), StreamClock(speed=1000)
    for _ in range(10_000):
        pass
    assert fast.now() > slow.now()
