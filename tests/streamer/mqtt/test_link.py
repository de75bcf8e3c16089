"""Keeping a connection: waits that grow, refusals that are named, last wills that come true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import aiomqtt
import pytest

from streamer.clock import StreamClock
from streamer.errors import ConfigError
from streamer.mqtt.broker import embedded_broker
from streamer.mqtt.connection import Connection
from streamer.mqtt.link import FIRST, LAST, Identity, Link
from streamer.mqtt.options import Options
from streamer.mqtt.profile import ONLINE, RULES
from tests import mosquitto
from tests.messages import Ear, listening

AVAILABILITY = "affect/v1/lab/n1/availability"
NODE = Identity("lmam-test", AVAILABILITY)


class HastyClock:
    """Does not wait, and notes how long it should have; ends the test's run after ``limit`` waits."""

    def __init__(self, limit: int, end: Callable[[], None]) -> None:
        self.waits: list[float] = []
        self._now, self._limit, self._end = 0.0, limit, end

    def now(self) -> float:
        return self._now

    def wall(self, moment: float | None = None) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    async def sleep_until(self, moment: float) -> None:
        self.waits.append(moment - self._now)
        self._now = moment
        if len(self.waits) >= self._limit:
            self._end()


async def waits(options: Options, limit: int, jitter: float) -> tuple[list[float], list[str | None]]:
    told: list[str | None] = []
    clock = HastyClock(limit, lambda: link.leave())
    link = Link(options, Identity(), clock, told.append, jitter=lambda: jitter)

    async def talk(connection: Connection) -> None:
        raise aiomqtt.MqttError("gone")

    await link.keep(talk)
    return clock.waits, told


def nobody() -> Options:
    return Options(url=f"mqtt://127.0.0.1:{mosquitto.free_port()}")


async def test_waits_double_from_half_a_second_to_half_a_minute() -> None:
    seconds, told = await waits(nobody(), 9, jitter=1.0)
    assert seconds == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert len(told) == 10  # one more attempt after leaving
    assert {str(t) for t in told} == {"[Errno 111] Connection refused"}


async def test_waits_are_shortened_by_chance_to_half_at_most() -> None:
    seconds, _ = await waits(nobody(), 2, jitter=0.0)
    assert seconds == [FIRST / 2, FIRST]


async def test_a_connection_that_breaks_at_once_does_not_reset_the_waiting(tmp_path: Path) -> None:
    """Two nodes with one name would otherwise throw each other out in a busy loop."""
    async with mosquitto.mosquitto(tmp_path) as broker:
        seconds, told = await waits(Options(url=broker.url), 3, jitter=1.0)
    assert seconds == [0.5, 1, 2]
    assert told == [None, "gone"] * 4


async def test_a_refused_login_is_tried_again_slowly(tmp_path: Path) -> None:
    async with mosquitto.with_password(tmp_path) as broker:
        for protocol in ("auto", "5", "3.1.1"):
            options = Options(url=broker.url, user="me", password="wrong", protocol=protocol)
            seconds, told = await waits(options, 1, jitter=1.0)
            assert seconds == [LAST]
            assert "refuses this user name or password" in (told[0] or "")


async def test_leaving_ends_a_wait_with_one_last_attempt() -> None:
    told = asyncio.Event()
    link = Link(nobody(), Identity(), StreamClock(), lambda wrong: told.set(), jitter=lambda: 1.0)

    async def talk(connection: Connection) -> None: ...

    task = asyncio.create_task(link.keep(talk))
    await told.wait()
    link.leave()
    await task


async def test_a_server_that_speaks_something_else_is_named() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        url = f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        _, told = await waits(Options(url=url), 1, jitter=1.0)
    assert told == ["the broker closed the connection without an answer"] * 2


async def test_a_certificate_that_vanished_ends_the_attempts() -> None:
    with pytest.raises(ConfigError, match=r"gone\.pem"):
        await waits(Options(url="mqtts://127.0.0.1:1", ca="gone.pem"), 1, jitter=1.0)


async def talk_once(
    options: Options, talk: Callable[[Connection], object], identity: Identity = NODE
) -> None:
    told: list[str | None] = []
    link = Link(options, identity, StreamClock(), told.append)
    link.leave()

    async def speak(connection: Connection) -> None:
        await connection.say(AVAILABILITY, ONLINE, RULES["availability"])
        talk(connection)

    await link.keep(speak)
    assert told[0] is None


def crash(_: Connection) -> None:
    raise aiomqtt.MqttError("crash")


def availability(ear: Ear) -> list[bytes]:
    return ear.bodies("/availability")


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_the_broker_says_offline_for_who_left_without_a_word(tmp_path: Path, protocol: str) -> None:
    async with mosquitto.mosquitto(tmp_path) as broker, listening(broker.url) as ear:
        await talk_once(Options(url=broker.url, protocol=protocol), crash)
        await ear.until(lambda e: b"offline" in availability(e))
    assert availability(ear) == [b"online", b"offline"]
    assert ear.heard[-1].qos == 1


async def test_the_embedded_broker_says_offline_too() -> None:
    async with embedded_broker(0) as url, listening(url, v5=False) as ear:
        await talk_once(Options(url=url, protocol="3.1.1"), crash)
        await ear.until(lambda e: b"offline" in availability(e))


async def test_who_leaves_with_a_word_is_not_called_offline(tmp_path: Path) -> None:
    async with mosquitto.mosquitto(tmp_path) as broker, listening(broker.url) as ear:
        options = Options(url=broker.url, protocol="3.1.1")
        await talk_once(options, lambda connection: None)
        await talk_once(options, lambda connection: None)
        await ear.until(lambda e: len(availability(e)) == 2)
    assert availability(ear) == [b"online", b"online"]


async def test_who_is_back_within_the_will_delay_was_never_offline(tmp_path: Path) -> None:
    """MQTT 5 holds the will back; 3.1.1 has no such thing."""
    said = 0

    async def speak(connection: Connection) -> None:
        nonlocal said
        await connection.say(AVAILABILITY, ONLINE, RULES["availability"])
        said += 1
        if said < 3:
            raise aiomqtt.MqttError("the network broke")

    async with mosquitto.mosquitto(tmp_path) as broker, listening(broker.url) as ear:
        link = Link(Options(url=broker.url, protocol="5"), NODE, StreamClock(), lambda wrong: None)
        await link.keep(speak)
        async with asyncio.timeout(15), listening(broker.url, topic="marker") as marker:
            other = Identity("other", "marker")  # its will comes true after ours would have
            await talk_once(Options(url=broker.url, protocol="5"), crash, other)
            await marker.until(lambda e: e.heard)
    assert availability(ear) == [b"online"] * 4
