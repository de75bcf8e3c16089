"""A thread for calls that block, which never keeps the process alive."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Worker:
    """Runs calls one after the other in a thread of its own.

    A device driver may hang: then ``close`` gives up waiting and leaves the (daemon) thread behind.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._ended = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, function: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """``function(*args)`` in the thread; when the future is cancelled, it still runs to its end there."""
        answer: asyncio.Future[T] = self._loop.create_future()

        def work() -> None:
            try:
                result = function(*args)
            except BaseException as error:
                self._tell(answer, error, None)
            else:
                self._tell(answer, None, result)

        self._calls.put(work)
        return answer

    async def close(self, patience: float = 1.0) -> bool:
        """End after the calls made so far; False if that takes more than ``patience`` seconds."""
        self._calls.put(None)
        done, _ = await asyncio.wait([self._ended], timeout=patience)
        if done:
            self._thread.join()  # it has nothing left to do
        return bool(done)

    def _run(self) -> None:
        while (work := self._calls.get()) is not None:
            work()
        self._tell(self._ended, None, None)

    def _tell(self, answer: asyncio.Future[Any], error: BaseException | None, result: Any) -> None:
        def settle() -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)

        tell(self._loop, settle)


def tell(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *args: object) -> None:
    """``loop.call_soon_threadsafe`` from a thread that may outlive the loop."""
    try:
        loop.call_soon_threadsafe(call, *args)
    except RuntimeError:
        if not loop.is_closed():
            raise
