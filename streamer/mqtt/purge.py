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
from .client import Connection, Identity, Link
from .profile import RULES


async def clear(outbox: Outbox, conversation: str, sinks: Sequence[BaseModel]) -> str:
    """Publish the empty retained state and the event `purged`; a sentence that says so.

    Raises:
        PublishError: says what is left to do.
    """
    config = _config(outbox, sinks)
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
    """How to reach the outbox's broker: the caller's way if it has one, else as it was last reached."""
    for sink in sinks:
        if isinstance(sink, Config) and sink.outbox(outbox.path.parents[1]) == outbox.path:
            return sink
    stored = outbox.recall("options")
    try:
        return Config.model_validate_json(stored or "")
    except ValidationError as error:
        raise PublishError(f"{outbox.path}: does not say which broker it is for") from error
