"""A broker inside our own process (amqtt, MQTT 3.1.1), for a machine that has none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ..errors import PublishError

_NOISY = ("amqtt", "transitions", "passlib")


@asynccontextmanager
async def embedded_broker(port: int = 1883, bind: str = "127.0.0.1") -> AsyncIterator[str]:
    """Serve MQTT 3.1.1 without passwords while the body runs; yields the URL.

    Args:
        port: 0 takes a free one.
        bind: The address to listen on; anything but loopback lets everybody on that network in.

    Raises:
        PublishError: the port is taken.
    """
    from amqtt.broker import Broker  # type: ignore[import-untyped]
    from amqtt.errors import BrokerError  # type: ignore[import-untyped]

    for name in _NOISY:  # it logs every ping; what matters shows at our end of the connection
        logging.getLogger(name).setLevel(logging.CRITICAL)
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{bind}:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    serve = broker.stream_connected

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, **rest: Any) -> None:
        try:
            await serve(reader, writer, **rest)
        finally:
            writer.close()  # it forgets those who leave before they have said anything

    broker.stream_connected = connected
    try:
        await broker.start()
    except BrokerError as error:
        raise PublishError(
            f"embedded broker: {bind}:{port} cannot be used ({error}); is a broker running already? Then give"
            f' url = "mqtt://{bind}:{port}" in place of broker = "embedded", or another port'
        ) from error
    try:
        yield f"mqtt://{bind}:{_port(broker)}"
    finally:
        await _settle(broker)
        await broker.shutdown()


def _port(broker: Any) -> int:
    return int(broker._servers["default"].instance.sockets[0].getsockname()[1])


async def _settle(broker: Any) -> None:
    """Let what was published reach the subscribers that are there, for a moment at most."""
    for _ in range(50):
        if broker._broadcast_queue.empty():
            return
        await asyncio.sleep(0)
