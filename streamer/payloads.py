"""What leaves the process: every message as a frozen model, and the JSON Schemas made from them.

Everything here is an observer's reading of expression, never a person's inner state; each message says so.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

NOTE: Literal["observed expression"] = "observed expression"
Unit = Annotated[float, Field(ge=0, le=1)]
Signed = Annotated[float, Field(ge=-1, le=1)]
Seconds = Annotated[float, Field(ge=0)]


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> str:
        """One line of JSON, keys in the order of the schema."""
        return self.model_dump_json()


class SpeakerV1(Message):
    """``merged``: ids of earlier estimates that turned out to be this speaker's; told once, in a final.

    ``face``: the face that is this speaker's, where that is clear; null otherwise.
    """

    id: str
    label: str | None = None
    confidence: Unit | None = None
    merged: list[str] = []
    face: str | None = None


class EmotionV1(Message):
    """``label`` is always the largest of ``probabilities``, which sum to 1.

    ``abstained``: too unsure to be taken for a reading (``estimate.abstain_below``), or nothing was there.
    """

    label: str
    confidence: Unit
    abstained: bool = False
    probabilities: dict[str, Unit]

    @model_validator(mode="after")
    def _consistent(self) -> EmotionV1:
        total = sum(self.probabilities.values())
        if abs(total - 1) > 1e-3:
            raise ValueError(f"probabilities sum to {total:.4f}, expected 1")
        if self.probabilities.get(self.label) != max(self.probabilities.values()):
            raise ValueError(f"label {self.label!r} is not the largest probability")
        return self


class ModalityV1(Message):
    present: bool
    quality: Unit
    weight: Unit


class ModalitiesV1(Message):
    text: ModalityV1
    audio: ModalityV1
    visual: ModalityV1


class ContextV1(Message):
    """``turns``: utterances of context behind the estimate; ``degraded``: what was wrong, in words."""

    turns: Annotated[int, Field(ge=0)]
    degraded: list[str] = []


class LatencyV1(Message):
    """Seconds. ``endpoint`` waited by design, the others computed; ``total``: end of speech to publishing.

    ``total`` is null where the input was not paced by a clock.
    """

    endpoint: Seconds | None
    transcribe: Seconds
    encode: Seconds
    fuse: Seconds
    total: Seconds | None


class ModelV1(Message):
    """``transcriber`` names what the words came from ("none" in the text-free mode)."""

    name: str
    version: str
    transcriber: str
    labels: list[str]


class EstimateV1(Message):
    """One estimate of one utterance; partials share the final's ``id`` with a growing ``revision``.

    ``valence`` (unpleasant -1, pleasant 1) and ``arousal`` (calm -1, excited 1) are how an observer would
    place the utterance, 0 being the middle of the annotators' scale: EmoBank's 1..5 is (x - 3) / 2. They are
    read from the words; where there are none, from ``emotion.probabilities``. Null where nothing tells.
    """

    schema_: Literal["estimate.v1"] = Field("estimate.v1", alias="schema")
    note: Literal["observed expression"] = NOTE
    id: str
    conversation: str
    sequence: Annotated[int, Field(ge=1)] | None = None
    revision: Annotated[int, Field(ge=0)]
    final: bool
    speaker: SpeakerV1
    start: Seconds
    end: Seconds
    captured_at: AwareDatetime
    published_at: AwareDatetime
    emotion: EmotionV1
    valence: Signed | None = None
    arousal: Signed | None = None
    modalities: ModalitiesV1
    text: str | None = None
    language: str | None = None
    context: ContextV1
    latency: LatencyV1
    model: ModelV1

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


class ChannelV1(Message):
    depth: int
    capacity: int
    sent: int
    dropped: int


class HealthV1(Message):
    """How the node keeps up; every 5 s.

    Of time, in seconds: ``skew`` by which sound arrives later than pictures of the same moment; ``drift`` by
    which the clock has run ahead of a microphone's count of samples, lost sound included (of several the
    largest); ``file_skew`` by which a file's sound begins later than its pictures. Null where nothing tells.
    """

    schema_: Literal["health.v1"] = Field("health.v1", alias="schema")
    conversation: str
    at: AwareDatetime
    uptime: Seconds
    fps: float
    lag: float
    skew: float | None
    drift: float | None = None
    file_skew: float | None = None
    behind: bool
    paused: bool
    memory_mb: float
    channels: dict[str, ChannelV1]
    problems: dict[str, str]

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    @property
    def dropped(self) -> int:
        return sum(c.dropped for c in self.channels.values())


SessionEvent = Literal["started", "consent", "paused", "resumed", "stopped", "purged"]


class SessionV1(Message):
    schema_: Literal["session.v1"] = Field("session.v1", alias="schema")
    conversation: str
    event: SessionEvent
    at: AwareDatetime
    purpose: str
    consent: str | None = None
    exemption: str | None = None

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


class StateV1(Message):
    """The latest final estimate of the conversation and of each speaker; retained."""

    schema_: Literal["state.v1"] = Field("state.v1", alias="schema")
    conversation: str
    latest: EstimateV1
    speakers: dict[str, EstimateV1]

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


class InfoV1(Message):
    """What runs here and what for; retained."""

    schema_: Literal["info.v1"] = Field("info.v1", alias="schema")
    observer_estimate: Literal[True] = True
    note: Literal["observed expression"] = NOTE
    notice: str = (
        "People present must be told that this system reads their expression (EU AI Act Art. 50(3))."
        " Estimates are an observer's reading of expression, not what anyone feels."
    )
    software: dict[str, str]
    model: ModelV1
    modalities: list[str]
    purpose: str
    consent: str | None = None
    exemption: str | None = None
    publish_text: bool
    commercial_use: str
    data_licences: dict[str, str] = Field(
        default={}, description="what the weights in use were trained on, and its licence"
    )

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


class ReplyV1(Message):
    """The answer to a command: what was done, or why nothing was.

    ``correlation`` is set where the protocol has no place for it (MQTT 3.1.1).
    """

    schema_: Literal["reply.v1"] = Field("reply.v1", alias="schema")
    verb: str
    ok: bool
    message: str
    correlation: str | None = None

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


Event = EstimateV1 | HealthV1 | SessionV1  # what a sink receives, in order

SCHEMAS: dict[str, type[Message]] = {
    "estimate.v1": EstimateV1,
    "health.v1": HealthV1,
    "session.v1": SessionV1,
    "state.v1": StateV1,
    "info.v1": InfoV1,
    "reply.v1": ReplyV1,
}


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one of `SCHEMAS`, as published messages are serialised."""
    schema = SCHEMAS[name].model_json_schema(mode="serialization", by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": name, **schema}


def kept(event: Event) -> bool:
    """True for what no queue may drop: finals and session events."""
    return isinstance(event, SessionV1) or (isinstance(event, EstimateV1) and event.final)


def rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
