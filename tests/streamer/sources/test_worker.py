from __future__ import annotations

import asyncio
import threading

import pytest

from streamer.sources.worker import Worker, tell


def alive(name: str) -> bool:
    return any(t.name == name for t in threading.enumerate())


async def test_calls_run_in_one_thread_in_turn_and_give_back_results_and_errors() -> None:
    worker = Worker("turns")
    names = [await worker.call(lambda: threading.current_thread().name) for _ in range(2)]
    assert names == ["turns", "turns"]
    with pytest.raises(ZeroDivisionError):
        await worker.call(lambda: 1 // 0)
    assert await worker.call(divmod, 7, 2) == (3, 1)
    assert await worker.close()


async def test_closing_waits_for_what_was_asked_before() -> None:
    worker, done = Worker("patient"), []
    worker.call(done.append, 1)
    assert await worker.close()
    assert done == [1]


async def test_a_call_that_hangs_is_left_behind_by_a_thread_that_does_not_keep_the_process() -> None:
    worker, release = Worker("stuck"), threading.Event()
    worker.call(release.wait).cancel()
    assert not await worker.close(patience=0.01)
    assert [t.daemon for t in threading.enumerate() if t.name == "stuck"] == [True]
    release.set()
    for thread in threading.enumerate():
        if thread.name == "stuck":
            thread.join()
    assert not alive("stuck")


def test_telling_a_loop_that_is_closed_is_no_error() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    tell(loop, print)
