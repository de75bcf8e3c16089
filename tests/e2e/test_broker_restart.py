"""A broker that restarts, a node that is killed: every final arrives, in order, with its number and bytes.

The subscriber has a persistent session and was there before; what it hears twice it knows by ``id``.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiomqtt import MqttError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from streamer.outbox import Outbox
from streamer.sinks.mqtt import Config
from tests import mosquitto
from tests.messages import Ear, context, estimate, listening, session
from tests.streamer.sinks.test_mqtt import publish, running

pytestmark = pytest.mark.timeout(120)
ROOT = Path(__file__).parents[2]
OUTAGE = 3.0  # seconds


def config(url: str) -> Config:
    return Config(url=url, site="lab", node="n1")


@asynccontextmanager
async def persistent(url: str) -> AsyncIterator[Ear]:
    """The subscriber: its session outlives its connection."""
    make: Any = Properties
    lasting = make(PacketTypes.CONNECT)
    lasting.SessionExpiryInterval = 3600
    async with listening(url, identifier="subscriber", clean_start=False, properties=lasting) as ear:
        yield ear


def numbers(*ears: Ear) -> list[int]:
    """Of the finals, repeats dropped by their ``id``."""
    first: dict[str, int] = {}
    for body in (json.loads(body) for ear in ears for body in ear.bodies("/utterance")):
        first.setdefault(body["id"], body["sequence"])
    return list(first.values())


async def test_a_broker_that_restarts_in_mid_run_costs_nothing(tmp_path: Path) -> None:
    broker, total = mosquitto.mosquitto(tmp_path, persistent=True), 80
    async with asyncio.TaskGroup() as group:
        await broker.start()
        async with persistent(broker.url):  # subscribed beforehand
            pass
        async with running(config(broker.url), context(tmp_path)) as run:

            async def converse() -> None:
                for number in range(1, total + 1):
                    await run.send(estimate(number, final=False), estimate(number))
                    await asyncio.sleep(OUTAGE / 30)  # the outage falls into the middle

            speaking = group.create_task(converse())
            try:
                async with persistent(broker.url) as before:
                    await before.until(lambda e: len(e.on("/utterance")) >= 20)
                    broker.stop()
            except MqttError:
                pass  # the subscriber lost its broker, too
            await run.until_problem("away since")
            await asyncio.sleep(OUTAGE)
            await broker.start()
            async with persistent(broker.url) as after:
                await after.until(lambda e: total in numbers(before, e))
            await speaking
    broker.stop()
    assert numbers(before, after) == list(range(1, total + 1))
    assert run.sink.undelivered == 0


NODE = """
import asyncio, sys
from pathlib import Path
from streamer.channel import Channel
from streamer.clock import StreamClock
from streamer.sinks.mqtt import Config
from tests.messages import context, estimate, session

async def main():
    inbox = Channel("sink", 1)
    sink = Config(url=sys.argv[1], site="lab", node="n1").build(context(Path(sys.argv[2])))
    task = asyncio.create_task(sink.run(inbox, StreamClock()))
    await inbox.send(session())
    for i in range(1, 100_000):
        await inbox.send(estimate(i, text=f"Sentence {i}."))
        print(i, flush=True)
        await asyncio.sleep(0.01)

asyncio.run(main())
"""


@asynccontextmanager
async def node(url: str, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process that publishes until it is killed, which it is at the latest at the end."""
    command = [sys.executable, "-c", NODE, url, str(folder)]
    child = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        yield child
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGKILL)
        await child.communicate()


async def taken(child: asyncio.subprocess.Process, count: int) -> None:
    """Until the node has taken ``count`` finals."""
    assert child.stdout is not None
    for _ in range(count):
        assert await child.stdout.readline()


async def test_a_killed_node_is_called_offline_and_loses_nothing(tmp_path: Path) -> None:
    async with mosquitto.mosquitto(tmp_path) as broker, persistent(broker.url) as ear:
        async with node(broker.url, tmp_path) as child:
            await taken(child, 30)
        await ear.until(lambda e: b"offline" in e.bodies("/availability"))
        options, where = config(broker.url), context(tmp_path)
        with Outbox(options.outbox(where.state_dir)) as outbox:
            last = outbox.last_sequence("c1")
        await publish(options, where, [])
        await ear.until(lambda e: b"stopped" in e.bodies("/availability"))
    assert last >= 30 - 2  # one may wait for the sink, one for the disk
    assert numbers(ear) == list(range(1, last + 1))
    assert ear.bodies("/availability") == [b"online", b"offline", b"online", b"stopped"]


async def test_a_node_killed_while_the_broker_is_away_sends_the_same_bytes_later(tmp_path: Path) -> None:
    broker = mosquitto.mosquitto(tmp_path)
    options, where = config(broker.url), context(tmp_path)
    async with node(broker.url, tmp_path) as child:
        await taken(child, 30)
    with Outbox(options.outbox(where.state_dir)) as outbox:
        kept = outbox.peek(100_000)
        last = outbox.last_sequence("c1")
    expected = [estimate(i, text=f"Sentence {i}.").to_json().encode() for i in range(1, last + 1)]
    assert [k.payload for k in kept] == [session().to_json().encode(), *expected]
    async with broker, persistent(broker.url) as ear:
        await publish(options, where, [estimate(last + 1)])
        await ear.until(lambda e: b"stopped" in e.bodies("/availability"))
    assert ear.bodies("/utterance") == [*expected, estimate(last + 1).to_json().encode()]
