"""What waits to be sent, and in which order: finals from the outbox, the newest state, the fleeting."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import TypeVar

from ..clock import Clock
from ..outbox import NOT_RETAINED, RETAINED, Outbox, Waiting
from .connection import IN_FLIGHT, Connection
from .profile import Rule, Topics

logger = logging.getLogger(__name__)
R = TypeVar("R")
SYNC_AFTER = 0.1  # seconds by which a power cut may put the outbox back
FLEETING = 16  # partials and health that may wait behind one another while connected


class Sender:
    """Keeps, drops or replaces what it is given; `send` works it off over one connection after the other.

    ``waiting`` counts what only the disk holds so far; ``dropped`` what was given up.
    """

    def __init__(self, outbox: Outbox, topics: Topics, rules: Mapping[str, Rule], clock: Clock) -> None:
        self._outbox, self._topics, self._rules, self._clock = outbox, topics, rules, clock
        self._disk = ThreadPoolExecutor(1, "outbox")  # one thread: calls never overlap
        self._fleeting: deque[tuple[str, str, str]] = deque()
        self._state: tuple[str, str, float] | None = None  # conversation, payload, when it was made
        self._state_due = self._marked = self._connected = self._finished = False
        self._news = asyncio.Event()
        self._sync: asyncio.TimerHandle | None = None
        self._striking: asyncio.Task[None] | None = None
        self.waiting = len(outbox)
        self.dropped = 0

    async def begin(self, conversation: str, started_at: datetime, purpose: str) -> None:
        await self._on_disk(lambda: self._outbox.begin(conversation, started_at, purpose))

    async def keep(
        self, conversation: str, kind: str, payload: str, sequence: int | None = None, end: float = 0.0
    ) -> None:
        """For what must arrive: from here on it outlives this process, and soon a power cut."""
        data = payload.encode()
        await self._on_disk(lambda: self._outbox.append(conversation, kind, data, sequence=sequence, end=end))
        self.waiting += 1
        self._news.set()
        if self._sync is None:
            self._sync = asyncio.get_running_loop().call_later(SYNC_AFTER, self._start_sync)

    def offer(self, conversation: str, kind: str, payload: str) -> None:
        """For what is worthless later: dropped while nobody listens, the oldest first."""
        if not self._connected:
            self.dropped += 1
            return
        if len(self._fleeting) >= FLEETING:
            self._fleeting.popleft()
            self.dropped += 1
        self._fleeting.append((conversation, kind, payload))
        self._news.set()

    def show(self, conversation: str, payload: str) -> None:
        """The state to be retained: only the newest is ever sent."""
        self._state, self._state_due = (conversation, payload, self._clock.now()), True
        self._news.set()

    async def forget(self, conversation: str) -> None:
        """Take back all of a conversation that has not left, and what the broker retains of it."""
        gone = await self._on_disk(lambda: self._outbox.forget(conversation))
        self.waiting -= gone
        self._fleeting = deque(f for f in self._fleeting if f[0] != conversation)
        self._state, self._state_due, self._marked = None, False, False
        self._news.set()

    def finish(self) -> None:
        """Nothing more will come: `send` returns once all is sent."""
        self._finished = True
        self._news.set()

    async def close(self) -> None:
        if self._sync is not None:
            self._sync.cancel()
            await self._on_disk(self._outbox.sync)
        if self._striking is not None:
            await asyncio.wait([self._striking])
        await self._on_disk(self._outbox.close)
        self._disk.shutdown(wait=False)

    async def send(self, connection: Connection) -> None:
        """Send until `finish` and nothing is left.

        Raises:
            MqttError, RefusedError: see `Connection.say`; what was not acknowledged stays.
        """
        self._connected, self._state_due = True, self._state is not None
        try:
            while True:
                self._news.clear()
                await self._clear(connection)
                await self._send_fleeting(connection)
                more = await self._send_waiting(connection)
                await self._send_state(connection)
                if more or self._fleeting:
                    continue
                if self._finished and not self._news.is_set():
                    return
                await self._news.wait()
        finally:
            self._connected = False
            self.dropped += len(self._fleeting)
            self._fleeting.clear()

    async def _send_waiting(self, connection: Connection) -> bool:
        batch: list[Waiting] = await self._on_disk(lambda: self._outbox.peek(IN_FLIGHT))
        if not batch:
            return False
        async with asyncio.TaskGroup() as group:  # tasks start, and so publish, in order
            for message in batch:
                topic = self._topics.of(message.conversation, message.kind)
                group.create_task(connection.say(topic, message.payload, self._rules[message.kind]))
        # Whole or not at all: a connection that is lost meanwhile must not leave the count behind the disk.
        self._striking = asyncio.create_task(self._strike([m.number for m in batch]))
        await asyncio.shield(self._striking)
        return True

    async def _strike(self, numbers: list[int]) -> None:
        await self._on_disk(lambda: self._outbox.acknowledge(numbers))
        self.waiting -= len(numbers)

    async def _send_fleeting(self, connection: Connection) -> None:
        while self._fleeting:
            conversation, kind, payload = self._fleeting.popleft()
            topic = self._topics.health if kind == "health" else self._topics.of(conversation, kind)
            await connection.say(topic, payload, self._rules[kind])

    async def _send_state(self, connection: Connection) -> None:
        if not self._state_due or self._state is None:
            return
        conversation, payload, made = self._state
        self._state_due = False
        left = (self._rules["state"].expiry or 0) - int(self._clock.now() - made)
        if left <= 0:
            return
        if not self._marked:  # first on disk: after a crash, a purge must know of it
            await self._on_disk(lambda: self._outbox.retain(conversation, RETAINED))
            self._marked = True
        await connection.say(
            self._topics.of(conversation, "state"), payload, self._rules["state"], expiry=left
        )

    async def _clear(self, connection: Connection) -> None:
        """Remove retained state of purged conversations: an empty retained message does it."""
        for conversation in await self._on_disk(self._outbox.to_clear):
            await connection.say(self._topics.of(conversation, "state"), b"", self._rules["state"])
            await self._on_disk(partial(self._outbox.retain, conversation, NOT_RETAINED))

    def _start_sync(self) -> None:
        self._sync = None
        syncing = asyncio.get_running_loop().run_in_executor(None, self._outbox.sync)
        syncing.add_done_callback(_report)

    async def _on_disk(self, action: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._disk, action)


def _report(syncing: asyncio.Future[None]) -> None:
    if not syncing.cancelled() and (error := syncing.exception()) is not None:
        logger.warning("mqtt: %s", error)
