"""The broker inside our process: there when asked for, on loopback, and gone without a trace."""

from __future__ import annotations

import asyncio
import logging
import socket
from urllib.parse import urlsplit

import aiomqtt
import pytest

from streamer.errors import PublishError
from streamer.mqtt.broker import embedded_broker
from tests.messages import listening


async def test_it_delivers_and_keeps_what_is_retained() -> None:
    async with embedded_broker(0) as url:
        port = urlsplit(url).port or 0
        async with aiomqtt.Client("127.0.0.1", port) as client:
            await client.publish("affect/a", b"kept", 1, retain=True)
        async with listening(url, v5=False) as ear, aiomqtt.Client("127.0.0.1", port) as client:
            await ear.until(lambda e: e.heard)
            await client.publish("affect/b", b"new", 1)
            await ear.until(lambda e: len(e.heard) == 2)
    assert [(bytes(m.payload), m.retain) for m in ear.heard] == [(b"kept", True), (b"new", False)]


async def test_what_was_published_before_the_end_still_arrives() -> None:
    async with embedded_broker(0) as url:
        port = urlsplit(url).port or 0
        async with listening(url, v5=False) as ear:
            async with aiomqtt.Client("127.0.0.1", port) as client:
                await asyncio.gather(*(client.publish("affect/a", b"%d" % i, 1) for i in range(5)))
            await ear.until(lambda e: len(e.heard) == 5)
    assert sorted(bytes(m.payload) for m in ear.heard) == [b"%d" % i for i in range(5)]


async def test_it_listens_on_loopback_only() -> None:
    async with embedded_broker(0) as url:
        assert urlsplit(url).hostname == "127.0.0.1"


async def test_its_port_is_free_again_afterwards() -> None:
    async with embedded_broker(0) as url:
        port = urlsplit(url).port or 0
    async with embedded_broker(port) as again:
        assert again == url


async def test_a_port_that_is_taken_is_named_with_a_way_out() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PublishError, match=rf'127\.0\.0\.1:{port} cannot be used.*url = "mqtt://'):
            async with embedded_broker(port):
                pass


async def test_it_ends_quietly_whatever_its_clients_do(caplog: pytest.LogCaptureFixture) -> None:
    """One client is connected, one left without a word, one never said anything, one spoke nonsense."""
    async with embedded_broker(0) as url:
        port = urlsplit(url).port or 0
        async with aiomqtt.Client("127.0.0.1", port) as connected:
            await connected.subscribe("affect/#")
            for words in (b"", b"GET / HTTP/1.1\r\n\r\n"):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(words)
                writer.close()
                await writer.wait_closed()
            silent = socket.create_connection(("127.0.0.1", port))
            gone = aiomqtt.Client("127.0.0.1", port)
            await gone.__aenter__()
            gone._client._sock_close()
            await connected.publish("affect/a", b"x", 1)
    silent.close()
    assert [r.message for r in caplog.records if r.levelno >= logging.WARNING] == []
