"""Topics, and what goes with a message."""

from __future__ import annotations

import re
import socket

import pytest

from streamer.mqtt.profile import RULES, Topics, default_node, properties


def test_topics_hang_below_site_and_node() -> None:
    topics = Topics("affect/v1/lab/n1")
    assert [topics.availability, topics.info, topics.health, topics.commands, topics.of("c1", "state")] == [
        "affect/v1/lab/n1/availability",
        "affect/v1/lab/n1/info",
        "affect/v1/lab/n1/health",
        "affect/v1/lab/n1/cmd/+",
        "affect/v1/lab/n1/conv/c1/state",
    ]


def test_the_default_node_does_not_give_the_host_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "annas-laptop")
    assert re.fullmatch(r"n[0-9a-f]{8}", default_node())
    first = default_node()
    assert default_node() == first
    monkeypatch.setattr(socket, "gethostname", lambda: "bens-laptop")
    assert default_node() != first


def test_an_expiry_can_be_shortened() -> None:
    sent, late = properties(RULES["state"]), properties(RULES["state"], expiry=7)
    assert (sent.json()["MessageExpiryInterval"], late.json()["MessageExpiryInterval"]) == (600, 7)
    assert "MessageExpiryInterval" not in properties(RULES["session"]).json()


def test_what_must_arrive_is_acknowledged_and_what_is_worthless_later_expires() -> None:
    assert {kind for kind, rule in RULES.items() if rule.qos == 0} == {"health", "partial"}
    assert all(rule.expiry is not None for rule in RULES.values() if rule.qos == 0)
    assert {kind for kind, rule in RULES.items() if rule.retain} == {"availability", "info", "state"}
