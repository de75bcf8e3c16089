"""Takes a purged conversation's retained state off a broker, without a running node."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, ValidationError

from ..clock import StreamClock
from ..errors import ConfigError, PublishError
from ..outbox import NOT_RETAINED, Outbox
from ..payloads import SessionV1
from ..sinks.mqtt import Config
from .connection import Connection
from .link import Identity, Link
from .profile import RULES


async def clear(outbox: Outbox, conversation: str, sinks: Sequence[BaseModel]) -> str | None:
    """Publish the empty retained state and the event `purged`; a sentence that says so.

    Returns None where an embedded broker took the state with it when its process ended.

    Raises:
        PublishError: says what is left to do.
    """
    config = _config(outbox, sinks)
    if config.url is None:
        outbox.retain(conversation, NOT_RETAINED)
        return None
    topic = config.topics.of(conversation, "state")
    known = outbox.known(conversation)
    event = SessionV1(
        conversation=conversation,
        event="purged",
        at=datetime.now(UTC),
        purpose=known.purpose if known else "other",
    )
    wrong: list[str] = []
    done = False

    async def talk(connection: Connection) -> None:
        nonlocal done
        await connection.say(topic, b"", RULES["state"])
        await connection.say(config.topics.of(conversation, "session"), event.to_json(), RULES["session"])
        done = True

    link = Link(config, Identity(), StreamClock(), lambda w: wrong.append(w) if w else None)
    link.leave()  # one attempt
    try:
        await link.keep(talk)
    except ConfigError as error:
        wrong.append(str(error))
    if not done:
        raise PublishError(
            f"{config.url}: the retained state {topic} is still there ({'; '.join(wrong)}); purge again when"
            " the broker can be reached, or publish an empty retained message on that topic"
        )
    outbox.retain(conversation, NOT_RETAINED)
    return f"{config.url}: retained state {topic}"


def _config(outbox: Outbox, sinks: Sequence[BaseModel]) -> Config:
    """How the outbox's broker was last reached, with what a config for the same broker proves itself by."""
    try:
        stored = Config.model_validate_json(outbox.recall("options") or "")
    except ValidationError as error:
        raise PublishError(f"{outbox.path}: does not say which broker it is for") from error
    for sink in sinks:
        if isinstance(sink, Config) and sink.url and stored.url and _same(sink, stored):
            return sink.model_copy(
                update={name: getattr(stored, name) for name in ("prefix", "site", "node")}
            )
    return stored


def _same(one: Config, other: Config) -> bool:
    return (one.address.host, one.address.port) == (other.address.host, other.address.port)
