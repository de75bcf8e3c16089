"""Hears what running nodes publish, for `lmam watch` and for anyone who wants the messages as objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiomqtt import Message as Packet
from pydantic import ValidationError

from ..clock import Clock
from ..payloads import EstimateV1, HealthV1, InfoV1, Message, SessionV1, StateV1
from .connection import Connection, RefusedError
from .link import Identity, Link
from .options import Options
from .profile import OFFLINE, ONLINE, STOPPED

KINDS: dict[str, type[Message]] = {
    "info": InfoV1,
    "health": HealthV1,
    "utterance": EstimateV1,
    "partial": EstimateV1,
    "state": StateV1,
    "session": SessionV1,
}
WATCHED = ("availability", "info", "health", "conv/+/+")


@dataclass(frozen=True, slots=True)
class Heard:
    """One message of a node.

    ``kind`` is the topic's last part. ``message`` is a payload of `streamer.payloads`; a word (online,
    stopped, offline) where ``kind`` is availability; None where a retained message was removed, or where
    ``problem`` says what is wrong with it.
    """

    site: str
    node: str
    kind: str
    conversation: str | None
    retained: bool
    message: Message | str | None
    problem: str | None = None


async def watch(
    options: Options,
    on: Callable[[Heard], None],
    clock: Clock,
    tell: Callable[[str | None], None],
    base: str = "affect/v1/+/+",
) -> None:
    """Call ``on`` with every message of the nodes under ``base``; connects again for ever, until cancelled.

    Args:
        tell: Called with what is wrong with the connection, in words, and with None once it is up.
        base: ``<prefix>/<site>/<node>``; site and node may be ``+``.

    Raises:
        ConfigError: a certificate or password file cannot be used.
    """

    async def talk(connection: Connection) -> None:
        codes = await connection.subscribe([(f"{base}/{topic}", 1) for topic in WATCHED])
        if all(getattr(code, "value", code) >= 128 for code in codes):
            raise RefusedError(f"does not let this user read {base}/#")
        async for packet in connection.messages:
            if (heard := parse(packet, base)) is not None:
                on(heard)

    await Link(options, Identity(), clock, tell).keep(talk)


def parse(packet: Packet, base: str) -> Heard | None:
    """A packet as what it says; None for a topic that this version does not know."""
    if not packet.topic.matches(f"{base}/#"):  # amqtt sends newcomers what others have subscribed to
        return None
    parts = str(packet.topic).split("/")
    start = base.count("/") - 1  # of site and node
    site, node, *rest = parts[start:]
    conversation = rest[1] if len(rest) == 3 and rest[0] == "conv" else None
    kind = rest[-1] if rest else ""
    if kind != "availability" and kind not in KINDS:
        return None

    def heard(message: Message | str | None, problem: str | None = None) -> Heard:
        return Heard(site, node, kind, conversation, packet.retain, message, problem)

    payload = bytes(packet.payload) if isinstance(packet.payload, bytes | bytearray) else b""
    if not payload:
        return heard(None)
    if kind == "availability":
        word = payload.decode(errors="replace")
        known = word in (ONLINE, STOPPED, OFFLINE)
        return heard(word) if known else heard(None, f"unknown availability {word[:40]!r}")
    try:
        return heard(KINDS[kind].model_validate_json(payload))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the message"
        return heard(None, f"not {KINDS[kind].__name__}: {where}: {first['msg']}")
