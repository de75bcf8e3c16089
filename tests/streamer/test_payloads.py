"""Messages are complete, consistent, and what their schemas say."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from streamer.payloads import (
    SCHEMAS,
    EmotionV1,
    EstimateV1,
    Message,
    ReplyV1,
    StateV1,
    json_schema,
    kept,
    rfc3339,
)
from tests.messages import INFO, estimate, health, session

EXAMPLES: list[Message] = [
    estimate(1),
    estimate(1, final=False, text=None),
    health(),
    session(),
    StateV1(conversation="c1", latest=estimate(2), speakers={"s0": estimate(2), "s1": estimate(1)}),
    INFO,
    ReplyV1(verb="pause", ok=True, message="paused"),
]


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
def test_a_message_obeys_its_schema_and_reads_back(message: Message) -> None:
    text = message.to_json()
    assert "\n" not in text
    body = json.loads(text)
    jsonschema.validate(body, json_schema(body["schema"]))
    assert type(message).model_validate_json(text) == message


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one(name: str) -> None:
    schema = json_schema(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert (schema["$id"], schema["$schema"]) == (name, "https://json-schema.org/draft/2020-12/schema")


def test_there_is_an_example_of_every_schema() -> None:
    assert {json.loads(m.to_json())["schema"] for m in EXAMPLES} == set(SCHEMAS)


def altered(**changes: Any) -> dict[str, Any]:
    return {**json.loads(estimate(1).to_json()), **changes}


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"sequence": 0}, "sequence"),
        ({"start": -1}, "start"),
        ({"valence": 1.5}, "valence"),
        ({"captured_at": "2026-01-01T00:00:00"}, "captured_at"),  # without a time zone
        ({"note": "how they feel"}, "note"),
        ({"raw_audio": [0.1]}, "raw_audio"),
        ({"speaker": {"id": "s0", "confidence": 2}}, "speaker"),
        ({"emotion": {"label": "joy", "confidence": 1, "probabilities": {"joy": 0.5}}}, "sum to 0.5"),
    ],
)
def test_what_is_out_of_range_or_unknown_is_refused(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError, match=where):
        EstimateV1.model_validate(altered(**changes))


@pytest.mark.parametrize("changes", [{"note": "how they feel"}, {"raw_audio": [0.1]}, {"valence": 2}])
def test_the_schema_refuses_them_too(changes: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(altered(**changes), json_schema("estimate.v1"))


def test_the_label_is_the_largest_probability() -> None:
    with pytest.raises(ValidationError, match="'neutral' is not the largest"):
        EmotionV1(label="neutral", confidence=0.25, probabilities={"joy": 0.75, "neutral": 0.25})
    with pytest.raises(ValidationError, match="'anger' is not the largest"):
        EmotionV1(label="anger", confidence=0.25, probabilities={"joy": 0.75, "neutral": 0.25})


@pytest.mark.parametrize("message", EXAMPLES[:2] + EXAMPLES[5:6], ids=lambda m: type(m).__name__)
def test_what_is_estimated_is_called_observed_expression(message: Message) -> None:
    assert json.loads(message.to_json())["note"] == "observed expression"


def test_finals_and_session_events_are_kept_and_nothing_else() -> None:
    assert [kept(e) for e in (estimate(1), session(), estimate(1, final=False), health())] == [
        True,
        True,
        False,
        False,
    ]


def test_times_are_written_as_rfc_3339_in_utc() -> None:
    assert rfc3339(datetime(2026, 1, 1, 12, 0, 0, 5_000, tzinfo=UTC)) == "2026-01-01T12:00:00.005Z"
    assert json.loads(estimate(1).to_json())["captured_at"] == "2026-01-01T00:00:03Z"
