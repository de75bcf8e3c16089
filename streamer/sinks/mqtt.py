"""Publishes over MQTT as docs/mqtt.md says; while the broker is away, finals wait on disk."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

from aiomqtt import MqttError
from pydantic import Field, model_validator

from ..channel import Channel
from ..clock import Clock
from ..context import Context
from ..errors import PublishError, StreamerError
from ..mqtt.broker import embedded_broker
from ..mqtt.commands import answer
from ..mqtt.connection import Connection, unwrapped
from ..mqtt.link import Identity, Link
from ..mqtt.options import Options
from ..mqtt.profile import ONLINE, RULES, STOPPED, Rule, Topics, default_node
from ..mqtt.sending import Sender
from ..outbox import FOLDER, InUseError, Outbox
from ..payloads import EstimateV1, Event, HealthV1, SessionV1, StateV1
from ..redact import publishable

logger = logging.getLogger(__name__)
USUAL_PORT = 1883
GOODBYE = 0.25  # seconds for saying "stopped" after the drain


class Config(Options):
    """Where to publish, as whom, and how long to wait at the end."""

    broker: Literal["embedded"] | None = Field(None, description="embedded: run a broker inside this process")
    bind: str = Field("127.0.0.1", description="address the embedded broker listens on")
    port: int | None = Field(
        None, ge=0, le=65535, description="port of the embedded broker; default: 1883, or a free one (0)"
    )
    prefix: str = Field(
        "affect/v1", pattern=r"^[^+#/\s]+(/[^+#/\s]+)*$", description="first part of every topic"
    )
    site: str = Field("local", pattern=r"^[^+#/\s]+$", description="second part: where this node stands")
    node: str = Field(
        default_factory=default_node,
        pattern=r"^[^+#/\s]+$",
        description="third part: this node; default: made from a hash of the host name",
    )
    qos: dict[Literal["info", "health", "partial", "state"], Literal[0, 1]] = Field(
        default_factory=dict, description="other than the usual: finals and session events are always 1"
    )
    drain: float = Field(2.0, ge=0, le=60, description="seconds to wait at the end for the broker")

    @model_validator(mode="after")
    def _one_broker(self) -> Config:
        if (self.url is None) == (self.broker is None):
            raise ValueError('give either url = "mqtt://host" or broker = "embedded"')
        return self

    @property
    def rules(self) -> dict[str, Rule]:
        """What goes with each kind of message."""
        return RULES | {kind: replace(RULES[kind], qos=qos) for kind, qos in self.qos.items()}

    @property
    def topics(self) -> Topics:
        return Topics(f"{self.prefix}/{self.site}/{self.node}")

    def outbox(self, state_dir: Path) -> Path:
        """The file that keeps what this broker has not acknowledged of this node."""
        at = f"{self.address.host}:{self.address.port}" if self.url else f"embedded:{self.port or ''}"
        digest = hashlib.sha256(f"{at}/{self.topics.base}".encode()).hexdigest()[:8]
        return state_dir / FOLDER / f"{re.sub(r'[^A-Za-z0-9.]+', '-', at).strip('-')}-{digest}.sqlite"

    def stored(self) -> str:
        """These options as JSON, without any password, for a later purge."""
        plain = self.model_copy(update={"password": None, "url": str(self.address) if self.url else None})
        return plain.model_dump_json()

    def build(self, context: Context) -> MqttSink:
        """Check what can be checked without the broker, and open the outbox.

        Raises:
            ConfigError: a certificate or password file cannot be used.
            PublishError: another process publishes as this node, or the outbox cannot be used.
        """
        if self.url:
            self.login()
            self.tls()
        return MqttSink(self, context)


class MqttSink:
    """Ends with its inbox: sends what it can within ``drain``, says `stopped`, and keeps the rest on disk.

    ``undelivered`` and ``dropped`` count messages once `run` has ended; ``url`` is where the broker is.
    """

    def __init__(self, config: Config, context: Context) -> None:
        self._config, self._context = config, context
        self._outbox = _outbox(config, context.state_dir)
        self._outbox.remember("options", config.stored())
        self._state: StateV1 | None = None
        self._away: tuple[str, str] | None = None  # why, and since when
        self._limit: asyncio.Timeout | None = None
        self._deadline: float | None = None
        self.url: str | None = str(config.address) if config.url else None
        self.undelivered = len(self._outbox)
        self.dropped = 0

    def summary(self) -> str | None:
        """What the operator should know at the end; None when everything arrived."""
        if not self.undelivered:
            return None
        return (
            f"mqtt: {self.undelivered} messages for {self.url} are kept in {self._outbox.path};"
            " the next run as this node sends them first"
        )

    async def run(self, inbox: Channel[Event], clock: Clock) -> None:
        sender = Sender(self._outbox, self._config.topics, self._config.rules, clock)
        try:
            async with AsyncExitStack() as stack:
                options: Options = self._config
                if self._config.broker == "embedded":
                    self.url = await self._embed(stack)
                    options = Options(url=self.url, protocol="3.1.1", keepalive=self._config.keepalive)
                    logger.info("mqtt: the embedded broker listens on %s", self.url)
                await self._serve(inbox, clock, sender, options)
        finally:
            try:
                await sender.close()
            finally:
                self.undelivered, self.dropped = sender.waiting, sender.dropped
            self._context.notices.set("mqtt", None)
        if summary := self.summary():
            logger.warning(summary)

    async def _embed(self, stack: AsyncExitStack) -> str:
        """The embedded broker on its port; where none was asked for, on a free one if the usual is taken."""
        port, bind = self._config.port, self._config.bind
        if port is None:
            try:
                return await stack.enter_async_context(embedded_broker(USUAL_PORT, bind))
            except PublishError:
                logger.info("mqtt: port %d is taken, the embedded broker looks for another", USUAL_PORT)
        return await stack.enter_async_context(embedded_broker(port or 0, bind))

    async def _serve(self, inbox: Channel[Event], clock: Clock, sender: Sender, options: Options) -> None:
        identity = Identity(f"lmam-{self._outbox.identity()}", self._config.topics.availability)
        link = Link(options, identity, clock, lambda wrong: self._tell(wrong, sender, clock))
        with unwrapped(StreamerError):
            async with asyncio.TaskGroup() as group:
                kept = group.create_task(link.keep(lambda connection: self._talk(connection, sender)))
                await self._intake(inbox, clock, sender)
                sender.finish()
                link.leave()
                self._deadline = asyncio.get_running_loop().time() + self._config.drain
                if self._limit is not None:
                    self._limit.reschedule(self._deadline)
                await asyncio.wait([kept], timeout=self._config.drain + GOODBYE)
                kept.cancel()

    async def _intake(self, inbox: Channel[Event], clock: Clock, sender: Sender) -> None:
        """Sort what comes in by how much of it may be lost."""
        session = self._context.session
        zero = clock.wall(0.0) - timedelta(seconds=session.offset)
        await sender.begin(session.conversation, zero, session.purpose)
        async for event in inbox:
            match event:
                case EstimateV1(final=True):
                    final = publishable(event, session)
                    await sender.keep(
                        final.conversation, "utterance", final.to_json(), final.sequence, final.end
                    )
                    self._show(final, sender)
                case EstimateV1():
                    sender.offer(event.conversation, "partial", publishable(event, session).to_json())
                case SessionV1():
                    if event.event == "purged":
                        self._state = None
                        await sender.forget(event.conversation)
                    await sender.keep(event.conversation, "session", event.to_json())
                case HealthV1():
                    sender.offer(event.conversation, "health", event.to_json())
            self._note(sender)

    def _show(self, final: EstimateV1, sender: Sender) -> None:
        speakers = dict(self._state.speakers) if self._state else {}
        for merged in final.speaker.merged:
            speakers.pop(merged, None)
        speakers[final.speaker.id] = final
        self._state = StateV1(conversation=final.conversation, latest=final, speakers=speakers)
        sender.show(final.conversation, self._state.to_json())

    async def _talk(self, connection: Connection, sender: Sender) -> None:
        """Everything over one connection: birth, what waits, commands, and at the end `stopped`."""
        availability = self._config.topics.availability
        try:
            async with asyncio.timeout_at(self._deadline) as self._limit:
                with unwrapped(MqttError, StreamerError):
                    await self._exchange(connection, sender)
        except TimeoutError:
            logger.info("mqtt: no more time to send; the rest stays on disk")
        finally:
            self._limit = None
        await connection.say(availability, STOPPED, RULES["availability"])

    async def _exchange(self, connection: Connection, sender: Sender) -> None:
        topics = self._config.topics
        codes = await connection.subscribe(topics.commands, qos=1)
        if any(getattr(code, "value", code) >= 128 for code in codes):
            logger.warning("mqtt: %s does not let this user read %s: no commands", self.url, topics.commands)
        await connection.say(topics.availability, ONLINE, RULES["availability"])
        if self._context.info is not None:
            await connection.say(topics.info, self._context.info.to_json(), self._config.rules["info"])
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self._listen(connection))
            await sender.send(connection)
            listening.cancel()

    async def _listen(self, connection: Connection) -> None:
        async for message in connection.messages:
            if message.topic.matches(self._config.topics.commands):  # amqtt sends what others asked for, too
                await answer(connection, message, self._context.control)

    def _tell(self, wrong: str | None, sender: Sender, clock: Clock) -> None:
        if wrong is None and self._away is not None:
            logger.info("mqtt: %s is back, %d messages to send", self.url, sender.waiting)
        if wrong is not None and (self._away is None or self._away[0] != wrong):
            since = self._away[1] if self._away else f"{clock.wall():%H:%M:%S} UTC"
            self._away = (wrong, since)
            logger.warning("mqtt: %s: %s; finals are kept on disk", self.url, wrong)
        if wrong is None:
            self._away = None
        self._note(sender)

    def _note(self, sender: Sender) -> None:
        if self._away is None:
            self._context.notices.set("mqtt", None)
            return
        wrong, since = self._away
        kept = f"{sender.waiting} messages kept on disk"
        self._context.notices.set("mqtt", f"broker {self.url} away since {since} ({wrong}), {kept}")


def _outbox(config: Config, state_dir: Path) -> Outbox:
    """The outbox of ``config``; beside an embedded broker, which nobody shares, the first that is free."""
    path = config.outbox(state_dir)
    if config.url is None:
        for number in range(2, 10):
            try:
                return Outbox(path)
            except InUseError:
                path = path.with_stem(f"{config.outbox(state_dir).stem}-{number}")
    return Outbox(path)
