"""Watching a node: messages as objects, whatever else is on the broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path

import aiomqtt
import pytest

from streamer.clock import StreamClock
from streamer.mqtt.broker import embedded_broker
from streamer.mqtt.options import Options
from streamer.mqtt.subscribe import Heard, watch
from streamer.payloads import EstimateV1, Event, HealthV1, InfoV1, SessionV1, StateV1
from streamer.sinks.mqtt import Config
from tests import mosquitto
from tests.messages import INFO, context, estimate, health, session
from tests.streamer.sinks.test_mqtt import running

BASE = "affect/v1/lab/n1"


class Notebook:
    """What was heard and told, and a way to wait for more."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.told: list[str | None] = []
        self._news = asyncio.Event()

    def on(self, heard: Heard) -> None:
        self.heard.append(heard)
        self._news.set()

    def tell(self, wrong: str | None) -> None:
        self.told.append(wrong)
        self._news.set()

    async def until(self, enough: Callable[[Notebook], object]) -> None:
        while not enough(self):
            self._news.clear()
            await self._news.wait()

    def kinds(self) -> set[str]:
        return {h.kind for h in self.heard}


@asynccontextmanager
async def watching(url: str, base: str = "affect/v1/+/+", **options: str) -> AsyncIterator[Notebook]:
    book = Notebook()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(watch(Options(url=url, **options), book.on, StreamClock(), book.tell, base))
        yield book
        task.cancel()


@pytest.mark.parametrize("embedded", [True, False], ids=["amqtt", "mosquitto"])
async def test_a_node_is_heard_as_it_spoke(tmp_path: Path, embedded: bool) -> None:
    said: list[Event] = [session(), estimate(1, final=False), estimate(1), health()]
    async with embedded_broker(0) if embedded else mosquitto.mosquitto(tmp_path) as broker:
        url = broker if isinstance(broker, str) else broker.url
        options = Config(url=url, site="lab", node="n1", protocol="3.1.1" if embedded else "auto")
        async with watching(url) as book:
            async with running(options, context(tmp_path)) as run:
                await book.until(lambda b: "availability" in b.kinds())  # both ends are there
                await run.send(said[0])
                await book.until(lambda b: "session" in b.kinds())
                await run.send(*said[1:])
                await book.until(lambda b: {"utterance", "health", "state"} <= b.kinds())
            await book.until(lambda b: b.heard[-1].message == "stopped")
    messages = {type(h.message): h for h in book.heard}
    assert set(messages) == {str, InfoV1, SessionV1, EstimateV1, StateV1, HealthV1}
    assert messages[InfoV1].message == INFO
    assert [h.message for h in book.heard if h.kind == "utterance"] == [said[2]]
    assert {(h.site, h.node) for h in book.heard} == {("lab", "n1")}
    assert {h.conversation for h in book.heard} == {None, "c1"}
    # who subscribes while a node comes online may hear that twice: as it happens, and as what is retained
    words = [word for word, _ in groupby(h.message for h in book.heard if h.kind == "availability")]
    assert words == ["online", "stopped"]
    assert {h.problem for h in book.heard} == {None}


@asynccontextmanager
async def publishing(url: str) -> AsyncIterator[aiomqtt.Client]:
    port = int(url.rpartition(":")[2])
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V311) as client:
        yield client


@asynccontextmanager
async def subscribed(url: str, client: aiomqtt.Client) -> AsyncIterator[Notebook]:
    """Watching, and sure to hear what comes from here on; one message was heard already."""
    await client.publish("affect/v1/lab/other/availability", b"online", 1, retain=True)
    async with watching(url) as book:
        await book.until(lambda b: b.heard)
        yield book


@pytest.mark.parametrize(
    ("topic", "payload", "problem"),
    [
        ("conv/c1/utterance", b"{", "not EstimateV1"),
        ("conv/c1/utterance", b"\xff\xfe", "not EstimateV1"),
        ("conv/c1/session", b'{"schema": "session.v1"}', "not SessionV1: conversation: Field required"),
        ("health", estimate(1).to_json().encode(), "not HealthV1"),
        ("availability", b"maybe", "unknown availability 'maybe'"),
    ],
)
async def test_a_message_that_is_not_one_is_reported_and_watching_goes_on(
    topic: str, payload: bytes, problem: str
) -> None:
    async with embedded_broker(0) as url, publishing(url) as client, subscribed(url, client) as book:
        await client.publish(f"{BASE}/{topic}", payload, 1)
        await client.publish(f"{BASE}/conv/c1/utterance", estimate(1).to_json(), 1)
        await book.until(lambda b: len(b.heard) == 3)
    _, wrong, right = book.heard
    assert wrong.message is None
    assert problem in (wrong.problem or "")
    assert (right.message, right.problem) == (estimate(1), None)


async def test_removed_state_and_unknown_topics() -> None:
    async with embedded_broker(0) as url, publishing(url) as client, subscribed(url, client) as book:
        await client.publish(f"{BASE}/conv/c1/from-the-future", b"?", 1)
        await client.publish(f"{BASE}/conv/c1/state", b"", 1)
        await client.publish(f"{BASE}/availability", b"online", 1)
        await book.until(lambda b: len(b.heard) == 3)
    assert [(h.kind, h.message, h.problem) for h in book.heard[1:]] == [
        ("state", None, None),
        ("availability", "online", None),
    ]


async def test_one_node_of_one_prefix_can_be_picked(tmp_path: Path) -> None:
    async with mosquitto.mosquitto(tmp_path) as broker, publishing(broker.url) as client:
        for base in ("x/lab/n1", "x/lab/n2", "affect/v1/lab/n1"):
            await client.publish(f"{base}/availability", b"online", 1, retain=True)
        async with watching(broker.url, "x/lab/n2") as book:
            await book.until(lambda b: b.heard)
            await client.publish("x/lab/n2/availability", b"stopped", 1, retain=True)
            await book.until(lambda b: len(b.heard) == 2)
    assert [(h.node, h.message, h.retained) for h in book.heard] == [
        ("n2", "online", True),
        ("n2", "stopped", False),
    ]


async def test_a_broker_that_comes_and_goes_is_followed(tmp_path: Path) -> None:
    broker = mosquitto.mosquitto(tmp_path)
    async with watching(broker.url) as book:
        await book.until(lambda b: b.told)
        async with broker, publishing(broker.url) as client:
            await client.publish(f"{BASE}/availability", b"online", 1, retain=True)
            await book.until(lambda b: b.heard)
        await book.until(lambda b: b.told[-1] is not None)
        async with broker, publishing(broker.url) as client:
            await client.publish(f"{BASE}/availability", b"stopped", 1, retain=True)
            await book.until(lambda b: len(b.heard) == 2)
    assert "Connection refused" in (book.told[0] or "")
    assert [h.message for h in book.heard] == ["online", "stopped"]


async def test_a_wrong_password_is_told(tmp_path: Path) -> None:
    broker = mosquitto.with_password(tmp_path)
    async with broker, watching(broker.url, user=mosquitto.USER, password="wrong") as book:
        await book.until(lambda b: b.told)
    assert "user name or password" in (book.told[0] or "")
