"""One connection to a broker: aiomqtt, with what a service needs besides."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import aiomqtt
from aiomqtt import MqttError, ProtocolVersion
from paho.mqtt.client import WebsocketConnectionError

from ..errors import PublishError
from .options import Options
from .profile import Rule, properties

CONNECT_TIMEOUT = 2.0  # seconds, for the network
ANSWER_TIMEOUT = 5.0  # seconds, for the broker's CONNACK and every PUBACK
IN_FLIGHT = 8  # messages that wait for their PUBACK at once
_quiet = logging.getLogger("streamer.mqtt.wire")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False  # paho's own words; every failure it logs comes to us as an error, too


class Connection(aiomqtt.Client):
    """An `aiomqtt.Client` that says why it failed, and can be dropped without saying goodbye."""

    def __init__(self, options: Options, version: ProtocolVersion, **rest: Any) -> None:
        at = options.address
        user, password = options.login()
        super().__init__(
            at.host,
            at.port,
            username=user,
            password=password,
            protocol=version,
            transport="websockets" if at.websockets else "tcp",
            websocket_path=(at.path or "/mqtt") if at.websockets else None,
            tls_context=options.tls(),
            keepalive=options.keepalive,
            timeout=ANSWER_TIMEOUT,
            logger=_quiet,
            **rest,
        )
        self.v5 = version is ProtocolVersion.V5
        self.opened = False  # whether the network was there
        self._mids: dict[asyncio.Task[Any] | None, int] = {}  # the last message of each task
        self._refusals: dict[int, str] = {}
        self._abandoned = self._reached = False
        wire: Any = self._client
        wire.connect_timeout = CONNECT_TIMEOUT
        wire._create_socket_connection, wire._ssl_wrap_socket = self._tcp, self._tls
        self._wire_publish, wire.publish = wire.publish, self._noted
        self._halfway: list[socket.socket] = []
        self._flight = asyncio.Semaphore(IN_FLIGHT)
        self.pending_calls_threshold = 10 * IN_FLIGHT  # the semaphore keeps it far below

    async def say(
        self,
        topic: str,
        payload: str | bytes,
        rule: Rule,
        *,
        expiry: int | None = None,
        correlation: bytes | None = None,
    ) -> None:
        """Publish as ``rule`` says; with QoS 1, return once the broker has it.

        Calls that start in order arrive in order, never more at once than the broker's Receive Maximum.

        Raises:
            MqttError: the connection is gone, or nothing was acknowledged in time.
            RefusedError: the broker refuses the message (MQTT 5; with 3.1.1 a broker refuses in silence).
        """
        made = properties(rule, expiry=expiry, correlation=correlation) if self.v5 else None
        if rule.qos == 0:
            await self.publish(topic, payload, 0, rule.retain, made)
            return
        async with self._flight:
            await self.publish(topic, payload, rule.qos, rule.retain, made)
        refused = self._refusals.pop(self._mids.pop(asyncio.current_task(), 0), None)
        if refused is not None:
            raise RefusedError(f"refuses {topic}: {refused}")

    def abandon(self) -> None:
        """Let go of the network as a crash would: the broker publishes the last will."""
        self._abandoned = True
        self._client._sock_close()
        for outcome in (self._connected, self._disconnected):
            if outcome.done() and not outcome.cancelled():
                outcome.exception()  # seen: asyncio must not log it as forgotten
        if self._misc_task is not None:
            self._misc_task.cancel()

    async def reach(self) -> None:
        """Find the broker and shake hands; what follows is `__aenter__`.

        In a thread that nobody waits for: a name server that does not answer must not hold up the end.
        """
        done: asyncio.Future[None] = self._loop.create_future()

        def settle(error: BaseException | None) -> None:
            if not done.done():
                done.set_result(None) if error is None else done.set_exception(error)

        def work() -> None:
            error: BaseException | None = None
            try:
                super(Connection, self)._client_connect()
            except (OSError, WebsocketConnectionError) as caught:
                error = MqttError(str(caught))
            except Exception as caught:
                error = caught
            if error is not None or self._abandoned:
                for half in self._halfway:  # paho forgets to close what a failed handshake leaves
                    half.close()
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(settle, error)

        threading.Thread(target=work, name="mqtt-connect", daemon=True).start()
        await done
        self._reached = True

    def _client_connect(self) -> None:
        assert self._reached  # nothing left to do for aiomqtt's own thread

    def _noted(self, *values: Any, **more: Any) -> Any:
        sent = self._wire_publish(*values, **more)
        self._mids[asyncio.current_task()] = sent.mid
        return sent

    def _tcp(self) -> socket.socket:
        self._halfway.append(socket.create_connection((self._hostname, self._port), CONNECT_TIMEOUT))
        return self._halfway[-1]

    def _tls(self, tcp: socket.socket) -> ssl.SSLSocket:
        context = self._client._ssl_context
        assert context is not None
        wrapped = context.wrap_socket(tcp, server_hostname=self._hostname, do_handshake_on_connect=False)
        self._halfway.append(wrapped)
        wrapped.settimeout(CONNECT_TIMEOUT)
        wrapped.do_handshake()
        return wrapped

    def _on_connect(
        self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None
    ) -> None:
        self._flight = asyncio.Semaphore(min(IN_FLIGHT, getattr(properties, "ReceiveMaximum", IN_FLIGHT)))
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason_code: Any, properties: Any) -> None:
        if reason_code.is_failure:
            self._refusals[mid] = str(reason_code)
        super()._on_publish(client, userdata, mid, reason_code, properties)

    def _on_disconnect(
        self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None
    ) -> None:
        # aiomqtt waits for an answer that can no longer come, until its timeout
        if not self._connected.done():
            self._loop.call_soon_threadsafe(self._closed_early)
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _closed_early(self) -> None:
        if not self._connected.done():
            self._connected.set_exception(MqttError("the broker closed the connection without an answer"))

    def _on_socket_open(self, client: Any, userdata: Any, sock: Any) -> None:
        if self._abandoned:
            return
        self.opened = True
        raw = getattr(sock, "_socket", sock)  # paho wraps a websocket's
        with contextlib.suppress(OSError):  # not there any more
            # without this some brokers take 40 ms a message
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super()._on_socket_open(client, userdata, sock)


class RefusedError(PublishError):
    """The broker took the connection but not the message."""


@contextlib.contextmanager
def unwrapped(*kinds: type[Exception]) -> Iterator[None]:
    """A task group's errors as the first one, where all are of ``kinds``."""
    try:
        yield
    except BaseExceptionGroup as group:
        _, others = group.split(kinds)
        if others is not None:
            raise
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None
