"""Stages are synchronous and do no I/O; ``pump`` is the one place that runs them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import Any, Protocol, TypeVar

from .channel import Channel
from .clock import Clock

In = TypeVar("In", contravariant=True)
Out = TypeVar("Out", covariant=True)
A = TypeVar("A")
B = TypeVar("B")


class Stage(Protocol[In, Out]):
    def push(self, item: In) -> Iterable[Out]: ...
    def flush(self) -> Iterable[Out]: ...


async def pump(
    stage: Stage[A, B],
    inbox: Channel[A],
    outbox: Channel[B],
    executor: Executor | None = None,
    *,
    clock: Clock | None = None,
    timed: str | None = None,
) -> None:
    """Run ``stage`` until ``inbox`` ends, then flush it and close ``outbox``.

    A stage is never entered twice at once, whichever executor it runs on. With ``timed``, what comes out
    is told (through its ``timed`` method) how many seconds the call that made it took on ``clock``.
    """

    async def call(fn: Callable[..., Iterable[B]], *args: Any) -> list[B]:
        began = clock.now() if clock else 0.0
        if executor is None:
            made = list(fn(*args))
        else:
            loop = asyncio.get_running_loop()
            made = await loop.run_in_executor(executor, lambda: list(fn(*args)))
        if clock is None or timed is None:
            return made
        seconds = clock.now() - began
        return [item.timed(timed, seconds) for item in made]  # type: ignore[attr-defined]

    try:
        async for item in inbox:
            for out in await call(stage.push, item):
                await outbox.send(out)
        for out in await call(stage.flush):
            await outbox.send(out)
    finally:
        outbox.close()


def run_inline(stage: Stage[A, B], items: Iterable[A]) -> list[B]:
    """The same stage without asyncio: for tests, notebooks and batch jobs."""
    return [out for item in items for out in stage.push(item)] + list(stage.flush())
