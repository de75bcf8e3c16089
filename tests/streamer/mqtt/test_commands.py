"""What a command asks for, and where its answer goes."""

from __future__ import annotations

from typing import Any

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from streamer.mqtt.commands import Request, request


def message(payload: bytes = b"", verb: str = "pause", **properties: Any) -> aiomqtt.Message:
    make: Any = Properties
    made = make(PacketTypes.PUBLISH) if properties else None
    for name, value in properties.items():
        setattr(made, name, value)
    return aiomqtt.Message(f"affect/v1/lab/n1/cmd/{verb}", payload, 1, False, 1, made)


def test_mqtt_5_says_it_in_the_properties() -> None:
    asked = request(message(ResponseTopic="answers/me", CorrelationData=b"\x01"))
    assert asked == Request("pause", "answers/me", b"\x01")


@pytest.mark.parametrize(
    ("payload", "correlation"),
    [
        (b'{"response_topic": "answers/me", "correlation": "7"}', "7"),
        (b'{"response_topic": "answers/me", "correlation": 7}', "7"),
        (b'{"response_topic": "answers/me"}', None),
    ],
)
def test_mqtt_3_says_it_in_the_payload(payload: bytes, correlation: str | None) -> None:
    assert request(message(payload)) == Request("pause", "answers/me", correlation)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"ON",
        b"[1]",
        b"\xff",
        b'{"response_topic": 7}',
        b'{"response_topic": ""}',
        b'{"response_topic": "a/#"}',
    ],
)
def test_without_a_topic_to_answer_on_there_is_no_answer(payload: bytes) -> None:
    assert request(message(payload)) == Request("pause")


def test_a_topic_with_wildcards_is_none() -> None:
    assert request(message(ResponseTopic="answers/+")) == Request("pause")


def test_the_verb_is_the_end_of_the_topic() -> None:
    assert request(message(verb="name-speaker")).verb == "name-speaker"
