"""What is sent first, what is dropped, what is replaced: against a connection that only listens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from aiomqtt import MqttError

from streamer.clock import ManualClock
from streamer.mqtt.connection import Connection
from streamer.mqtt.profile import RULES, Rule, Topics
from streamer.mqtt.sending import FLEETING, Sender
from streamer.outbox import Outbox


class Listener:
    """Takes what is said; breaks after ``limit`` messages."""

    def __init__(self, limit: int = 1000) -> None:
        self.heard: list[tuple[str, bytes, int | None]] = []
        self._limit = limit

    async def say(
        self, topic: str, payload: str | bytes, rule: Rule, *, expiry: int | None = None, **_: Any
    ) -> None:
        await asyncio.sleep(0)
        if len(self.heard) >= self._limit:
            raise MqttError("the connection broke")
        data = payload.encode() if isinstance(payload, str) else payload
        self.heard.append((topic.removeprefix("b/conv/"), data, expiry))

    def on(self, kind: str) -> list[bytes]:
        return [payload for topic, payload, _ in self.heard if topic.endswith(kind)]


@asynccontextmanager
async def sender(folder: Path, clock: ManualClock | None = None) -> AsyncIterator[Sender]:
    made = Sender(Outbox(folder / "a.sqlite"), Topics("b"), RULES, clock or ManualClock())
    await made.begin("c1", datetime(2026, 1, 1, tzinfo=UTC), "demo")
    try:
        yield made
    finally:
        await made.close()


async def send(what: Sender, listener: Listener) -> Listener:
    await what.send(cast(Connection, listener))
    return listener


async def test_what_must_arrive_is_sent_in_order_until_it_is_done(tmp_path: Path) -> None:
    async with sender(tmp_path) as s:
        for i in range(20):
            await s.keep("c1", "utterance", f"{i}", sequence=i + 1)
        assert s.waiting == 20
        s.finish()
        heard = await send(s, Listener())
    assert heard.on("utterance") == [b"%d" % i for i in range(20)]
    assert s.waiting == 0


async def test_what_was_not_acknowledged_is_sent_again_over_the_next_connection(tmp_path: Path) -> None:
    async with sender(tmp_path) as s:
        for i in range(20):
            await s.keep("c1", "utterance", f"{i}")
        s.finish()
        first, second = Listener(limit=11), Listener()
        with pytest.raises(ExceptionGroup, match="unhandled errors"):
            await send(s, first)
        assert s.waiting == 12  # the second batch of eight is in doubt
        await send(s, second)
    assert first.on("utterance")[:8] + second.on("utterance") == [b"%d" % i for i in range(20)]


async def test_only_the_newest_state_is_sent_and_its_age_shortens_its_life(tmp_path: Path) -> None:
    clock = ManualClock()
    async with sender(tmp_path, clock) as s:
        s.show("c1", "old")
        s.show("c1", "new")
        await clock.advance(100)
        s.finish()
        heard = await send(s, Listener())
    assert heard.heard == [("c1/state", b"new", 500)]


async def test_state_that_has_expired_is_not_sent_again(tmp_path: Path) -> None:
    clock = ManualClock()
    async with sender(tmp_path, clock) as s:
        s.show("c1", "old")
        await clock.advance(600)
        s.finish()
        heard = await send(s, Listener())
    assert heard.heard == []


async def test_the_fleeting_is_dropped_while_nobody_listens_and_counted(tmp_path: Path) -> None:
    async with sender(tmp_path) as s:
        s.offer("c1", "partial", "p")
        s.offer("c1", "health", "h")
        s.finish()
        heard = await send(s, Listener())
    assert heard.heard == []
    assert s.dropped == 2


async def test_of_the_fleeting_the_oldest_goes_first(tmp_path: Path) -> None:
    async with sender(tmp_path) as s, asyncio.TaskGroup() as group:
        listener = Listener()
        group.create_task(send(s, listener))
        await asyncio.sleep(0)  # now it is connected
        for i in range(FLEETING + 3):
            s.offer("c1", "partial", f"{i}")
        s.finish()
    assert listener.on("partial") == [b"%d" % i for i in range(3, FLEETING + 3)]
    assert s.dropped == 3


async def test_a_forgotten_conversation_is_not_sent_and_its_state_is_cleared(tmp_path: Path) -> None:
    async with sender(tmp_path) as s:
        s.show("c1", "state")
        s.finish()
        await send(s, Listener())
        await s.keep("c1", "utterance", "secret")
        await s.keep("c2", "utterance", "another")
        await s.forget("c1")
        assert s.waiting == 1
        heard = await send(s, Listener())
        again = await send(s, Listener())
    assert heard.heard == [("c1/state", b"", None), ("c2/utterance", b"another", None)]
    assert again.heard == []


class SlowOutbox(Outbox):
    """Strikes out what was acknowledged when it may; ``begun`` tells that it was asked to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.begun, self.may = threading.Event(), threading.Event()

    def acknowledge(self, numbers: Sequence[int]) -> None:
        self.begun.set()
        self.may.wait()
        super().acknowledge(numbers)


async def test_a_connection_lost_while_the_acknowledged_is_struck_out_leaves_the_count_right(
    tmp_path: Path,
) -> None:
    outbox = SlowOutbox(tmp_path / "a.sqlite")
    s = Sender(outbox, Topics("b"), RULES, ManualClock())
    await s.begin("c1", datetime(2026, 1, 1, tzinfo=UTC), "demo")
    await s.keep("c1", "utterance", "0", sequence=1)
    sending = asyncio.create_task(send(s, Listener()))
    await asyncio.to_thread(outbox.begun.wait)
    sending.cancel()
    await asyncio.wait([sending])
    outbox.may.set()
    await s.close()
    assert s.waiting == 0
    assert len(Outbox(tmp_path / "a.sqlite")) == 0
