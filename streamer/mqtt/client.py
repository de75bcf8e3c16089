"""One connection to a broker, and the loop that keeps it: aiomqtt, with what a service needs besides."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import aiomqtt
from aiomqtt import MqttError, ProtocolVersion
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.packettypes import PacketTypes

from ..clock import Clock
from ..errors import PublishError
from .options import Options
from .profile import OFFLINE, RULES, SESSION_EXPIRY, WILL_DELAY, Rule, blank, properties

CONNECT_TIMEOUT = 2.0  # seconds, for the network; a thread waits for it, so leaving waits as long
ANSWER_TIMEOUT = 5.0  # seconds, for the broker's CONNACK and every PUBACK
TRIAL_TIMEOUT = 2.0  # seconds, where silence may mean that the broker does not understand MQTT 5
FIRST, LAST = 0.5, 30.0  # seconds between two attempts to connect
IN_FLIGHT = 8  # messages that wait for their PUBACK at once
LASTED = 5.0  # seconds after which a connection counts as good, and the waiting starts short again
REFUSED_LOGIN = {134, 135, 138, 140}  # bad user or password, not authorized, banned, bad method
logger = logging.getLogger(__name__)
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
        self._refused: str | None = None
        self._abandoned = False
        wire: Any = self._client
        wire.connect_timeout = CONNECT_TIMEOUT
        wire._create_socket_connection, wire._ssl_wrap_socket = self._tcp, self._tls
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
        refused, self._refused = self._refused, None
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

    def _client_connect(self) -> None:
        try:
            super()._client_connect()
        except BaseException:
            for half in self._halfway:  # paho forgets to close what a failed handshake leaves
                half.close()
            raise
        finally:
            self._halfway.clear()

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
            self._refused = str(reason_code)
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
            raw.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
            )  # else 40 ms a message with some brokers
        super()._on_socket_open(client, userdata, sock)


class RefusedError(PublishError):
    """The broker took the connection but not the message."""


@dataclass(frozen=True, slots=True)
class Identity:
    """``identifier`` must be one of a kind at the broker. ``availability``: where the last will goes."""

    identifier: str | None = None
    availability: str | None = None


class Link:
    """Connects, lets ``talk`` use the connection, and connects again when it breaks.

    Args:
        tell: Called with what is wrong, in words, and with None once connected.
    """

    def __init__(
        self,
        options: Options,
        identity: Identity,
        clock: Clock,
        tell: Callable[[str | None], None],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._options, self._identity, self._clock, self._tell = options, identity, clock, tell
        self._jitter = jitter
        self._version = ProtocolVersion.V311 if options.protocol == "3.1.1" else ProtocolVersion.V5
        self._fresh = True  # the first connection of a process must not inherit stale commands
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """No more attempts after the one under way (or one that starts at once)."""
        self._leaving.set()

    async def keep(self, talk: Callable[[Connection], Awaitable[None]]) -> None:
        """Until ``talk`` returns, or a connection fails after `leave`.

        Raises:
            ConfigError: the options name files that cannot be used.
        """
        wait = FIRST
        while True:
            leaving, began = self._leaving.is_set(), self._clock.now()
            try:
                await self._once(talk)
                return
            except (MqttError, RefusedError) as error:
                self._tell(why(error))
                refused = isinstance(error, RefusedError) or _is_login(error)
            if leaving:
                return
            if self._clock.now() - began > LASTED + CONNECT_TIMEOUT:
                wait = FIRST
            wait = LAST if refused else wait
            await self._pause(wait * (0.5 + 0.5 * self._jitter()))
            wait = min(LAST, 2 * wait)

    async def _once(self, talk: Callable[[Connection], Awaitable[None]]) -> None:
        connection = await self._open()
        try:
            self._tell(None)
            await talk(connection)
        except BaseException:
            connection.abandon()
            raise
        with contextlib.suppress(MqttError):  # all was said
            await connection.__aexit__(None, None, None)

    async def _open(self) -> Connection:
        connection = self._connection(self._version)
        trial = connection.v5 and self._options.protocol == "auto" and self._fresh
        connection.timeout = TRIAL_TIMEOUT if trial else ANSWER_TIMEOUT
        try:
            return await self._enter(connection)
        except MqttError as error:
            if not (trial and connection.opened) or _is_login(error):
                raise
        older = self._connection(ProtocolVersion.V311)
        try:
            await self._enter(older)
        except MqttConnectError:
            self._version = ProtocolVersion.V311  # a refusal, but an answer
            raise
        logger.info("mqtt: %s speaks 3.1.1, not 5", self._options.address)
        self._version = ProtocolVersion.V311
        return older

    async def _enter(self, connection: Connection) -> Connection:
        try:
            await connection.__aenter__()
        except BaseException:
            connection.abandon()
            raise
        self._fresh, connection.timeout = False, ANSWER_TIMEOUT
        return connection

    def _connection(self, version: ProtocolVersion) -> Connection:
        v5 = version is ProtocolVersion.V5
        more: dict[str, Any] = {"clean_session": None if v5 else True}
        if v5:
            more["clean_start"] = self._fresh
        if v5 and self._identity.availability:
            more["properties"] = blank(PacketTypes.CONNECT)
            more["properties"].SessionExpiryInterval = SESSION_EXPIRY
        if self._identity.availability:
            more["will"] = _will(self._identity.availability, v5)
        return Connection(self._options, version, identifier=self._identity.identifier, **more)

    async def _pause(self, seconds: float) -> None:
        sleep = asyncio.ensure_future(self._clock.sleep_until(self._clock.now() + seconds))
        leave = asyncio.ensure_future(self._leaving.wait())
        try:
            await asyncio.wait([sleep, leave], return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            leave.cancel()


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


def why(error: Exception) -> str:
    """An error of the connection as the operator should read it."""
    if _is_login(error):
        return "refuses this user name or password (or allows it nothing); check user, password and its rules"
    if isinstance(error, aiomqtt.MqttCodeError):
        code = error.rc
        return str(code if not isinstance(code, int) else error).lower()
    return str(error) or type(error).__name__


def _is_login(error: Exception) -> bool:
    return isinstance(error, MqttConnectError) and getattr(error.rc, "value", error.rc) in REFUSED_LOGIN


def _will(topic: str, v5: bool) -> aiomqtt.Will:
    rule = RULES["availability"]
    made = None
    if v5:
        made = blank(PacketTypes.WILLMESSAGE)
        made.WillDelayInterval = WILL_DELAY
        made.ContentType = rule.content_type
        made.PayloadFormatIndicator = 1
    return aiomqtt.Will(topic, OFFLINE, rule.qos, rule.retain, made)
