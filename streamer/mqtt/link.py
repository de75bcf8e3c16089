"""The loop that keeps a connection: waits that grow, refusals that are named, a last will."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiomqtt
from aiomqtt import MqttError, ProtocolVersion
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.packettypes import PacketTypes

from ..clock import Clock
from .connection import ANSWER_TIMEOUT, CONNECT_TIMEOUT, Connection, RefusedError
from .options import Options
from .profile import OFFLINE, RULES, SESSION_EXPIRY, WILL_DELAY, blank

TRIAL_TIMEOUT = 2.0  # seconds, where silence may mean that the broker does not understand MQTT 5
FIRST, LAST = 0.5, 30.0  # seconds between two attempts to connect
LASTED = 5.0  # seconds after which a connection counts as good, and the waiting starts short again
REFUSED_LOGIN = {134, 135, 138, 140}  # bad user or password, not authorized, banned, bad method
logger = logging.getLogger(__name__)


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
        self._up = False

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
            self._up = False
            try:
                await self._once(talk)
                return
            except (MqttError, RefusedError) as error:
                self._tell(why(error))
                refused = isinstance(error, RefusedError) or _is_login(error)
            if leaving or (self._leaving.is_set() and not self._up):
                return
            if self._clock.now() - began > LASTED + CONNECT_TIMEOUT:
                wait = FIRST
            wait = LAST if refused else wait
            await self._pause(wait * (0.5 + 0.5 * self._jitter()))
            wait = min(LAST, 2 * wait)

    async def _once(self, talk: Callable[[Connection], Awaitable[None]]) -> None:
        connection = await self._open()
        self._up = True
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
            await connection.reach()
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
