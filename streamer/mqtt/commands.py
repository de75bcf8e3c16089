"""``cmd/<verb>``: others ask this node to pause, resume, purge, name or merge speakers, and get an
answer."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass

from aiomqtt import Message

from ..context import Control
from ..errors import StreamerError
from ..payloads import ReplyV1
from .connection import Connection, RefusedError
from .profile import RULES

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """``respond_to`` is None where nobody wants an answer."""

    verb: str
    respond_to: str | None = None
    correlation: str | bytes | None = None


async def answer(connection: Connection, message: Message, control: Control) -> None:
    """Do what ``message`` asks and say so on its Response Topic (3.1.1: the payload's ``response_topic``)."""
    asked = request(message)
    if message.retain:
        logger.warning(
            "mqtt: the retained command %r is old, and ignored; publish commands unretained", asked.verb
        )
        return
    ok, words = True, ""
    try:
        words = await control.ask(asked.verb, _body(message.payload))
    except StreamerError as error:
        ok, words = False, str(error)
    if asked.respond_to is None:
        return
    inside = None if connection.v5 else _text(asked.correlation)
    reply = ReplyV1(verb=asked.verb, ok=ok, message=words, correlation=inside)
    beside = asked.correlation if isinstance(asked.correlation, bytes) else None
    try:
        await connection.say(asked.respond_to, reply.to_json(), RULES["reply"], correlation=beside)
    except RefusedError as error:
        logger.warning("mqtt: the answer to %r was not taken: the broker %s", asked.verb, error)


def request(message: Message) -> Request:
    """What a message on ``cmd/<verb>`` asks, from its properties (MQTT 5) or its JSON payload (3.1.1)."""
    verb = str(message.topic).rpartition("/")[2]
    respond_to = getattr(message.properties, "ResponseTopic", None)
    correlation = getattr(message.properties, "CorrelationData", None)
    if respond_to is None:
        body = _body(message.payload)
        respond_to, correlation = body.get("response_topic"), body.get("correlation")
        correlation = str(correlation) if correlation is not None else None
    if not isinstance(respond_to, str) or not respond_to or set("+#") & set(respond_to):
        return Request(verb)
    return Request(verb, respond_to, correlation)


def _body(payload: object) -> dict[str, object]:
    try:
        body = json.loads(payload) if isinstance(payload, str | bytes | bytearray) else None
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _text(correlation: str | bytes | None) -> str | None:
    return correlation.decode(errors="replace") if isinstance(correlation, bytes) else correlation
