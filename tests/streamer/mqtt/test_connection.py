"""One connection: order and flow, refusals that reach whom they concern, nothing left open."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiomqtt
import pytest

from streamer.clock import StreamClock
from streamer.errors import PublishError
from streamer.mqtt.connection import Connection, RefusedError, unwrapped
from streamer.mqtt.link import Identity, Link
from streamer.mqtt.options import Options
from streamer.mqtt.profile import RULES
from tests import mosquitto
from tests.messages import listening


async def connected(options: Options, talk: Callable[[Connection], Awaitable[None]]) -> list[str | None]:
    """One connection for ``talk``; what was told of it."""
    told: list[str | None] = []
    link = Link(options, Identity(), StreamClock(), told.append)
    link.leave()
    await link.keep(talk)
    return told


async def test_a_refusal_concerns_only_the_message_that_was_refused(tmp_path: Path) -> None:
    refused: list[str] = []

    async def say(connection: Connection, topic: str) -> None:
        try:
            await connection.say(topic, b"x", RULES["utterance"])
        except RefusedError as error:
            refused.append(str(error))

    async def talk(connection: Connection) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(6):
                group.create_task(say(connection, f"{'allowed' if number % 2 else 'secret'}/{number}"))

    async with mosquitto.with_password(tmp_path, f"user {mosquitto.USER}\ntopic allowed/#\n") as broker:
        options = Options(url=broker.url, user=mosquitto.USER, password=mosquitto.PASSWORD)
        assert await connected(options, talk) == [None]
    assert sorted(refused) == [f"refuses secret/{n}: Not authorized" for n in (0, 2, 4)]


async def test_giving_up_an_attempt_does_not_wait_for_the_network() -> None:
    """A server that takes the connection and never shakes hands; what is left open would be a warning."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"mqtts://127.0.0.1:{silent.getsockname()[1]}"
        link = Link(Options(url=url), Identity(), StreamClock(), lambda wrong: None)

        async def talk(connection: Connection) -> None:
            raise AssertionError("there is nobody to talk to")

        task = asyncio.create_task(link.keep(talk))
        accepted, _ = await asyncio.to_thread(silent.accept)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with accepted:  # the thread that was left alone closes its end
            while await asyncio.to_thread(accepted.recv, 4096):
                pass


async def test_a_name_that_nobody_knows_is_told() -> None:
    async def talk(connection: Connection) -> None: ...

    told = await connected(Options(url="mqtt://no-such-host.invalid"), talk)
    assert len(told) == 1
    assert told[0]


async def test_never_more_in_flight_than_the_broker_wants(tmp_path: Path) -> None:
    broker = mosquitto.Mosquitto(tmp_path, ["allow_anonymous true", "max_inflight_messages 2"])
    mosquitto.mosquitto(tmp_path)  # skips where there is none
    seen: list[int] = []

    async def speak(connection: Connection) -> None:
        seen.append(connection._flight._value)
        async with asyncio.TaskGroup() as group:
            for i in range(50):
                group.create_task(connection.say("affect/a", b"%d" % i, RULES["utterance"]))

    async with broker, listening(broker.url) as ear:
        link = Link(Options(url=broker.url), Identity(), StreamClock(), lambda wrong: None)
        await link.keep(speak)
        await ear.until(lambda e: len(e.heard) == 50)
    assert seen == [2]
    assert ear.bodies("") == [b"%d" % i for i in range(50)]


def test_a_groups_errors_come_out_as_the_first_of_them() -> None:
    with pytest.raises(aiomqtt.MqttError, match="one"), unwrapped(aiomqtt.MqttError, PublishError):
        raise ExceptionGroup("", [ExceptionGroup("", [aiomqtt.MqttError("one")]), PublishError("two")])


def test_a_group_with_another_error_stays_a_group() -> None:
    with pytest.raises(ExceptionGroup) as caught, unwrapped(PublishError):
        raise ExceptionGroup("", [PublishError("one"), ValueError("a mistake of ours")])
    assert len(caught.value.exceptions) == 2
