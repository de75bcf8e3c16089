"""Topics and what goes with each message: retained, quality of service, expiry, content type."""

from __future__ import annotations

import hashlib
import socket
from dataclasses import dataclass
from typing import Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

WILL_DELAY = 5  # seconds (MQTT 5): a node that is back by then was never offline
SESSION_EXPIRY = 60  # seconds (MQTT 5): a will waits only while the session lives
ONLINE, STOPPED, OFFLINE = "online", "stopped", "offline"


@dataclass(frozen=True, slots=True)
class Rule:
    """``expiry`` in seconds, None: never."""

    retain: bool
    qos: int
    expiry: int | None = None
    content_type: str = "application/json"


RULES = {
    "availability": Rule(True, 1, content_type="text/plain"),
    "info": Rule(True, 1),
    "health": Rule(False, 0, 30),
    "utterance": Rule(False, 1, 86_400),
    "partial": Rule(False, 0, 2),
    "state": Rule(True, 1, 600),
    "session": Rule(False, 1),
    "reply": Rule(False, 1, 60),
}


@dataclass(frozen=True, slots=True)
class Topics:
    """``base`` is ``affect/v1/<site>/<node>``; either may be ``+`` for a subscriber."""

    base: str

    @property
    def availability(self) -> str:
        return f"{self.base}/availability"

    @property
    def info(self) -> str:
        return f"{self.base}/info"

    @property
    def health(self) -> str:
        return f"{self.base}/health"

    @property
    def commands(self) -> str:
        return f"{self.base}/cmd/+"

    def of(self, conversation: str, kind: str) -> str:
        return f"{self.base}/conv/{conversation}/{kind}"


def properties(rule: Rule, *, expiry: int | None = None, correlation: bytes | None = None) -> Properties:
    """What MQTT 5 sends along; ``expiry`` shortens the rule's."""
    made = blank(PacketTypes.PUBLISH)
    made.ContentType = rule.content_type
    made.PayloadFormatIndicator = 1
    seconds = rule.expiry if expiry is None else expiry
    if seconds is not None:
        made.MessageExpiryInterval = seconds
    if correlation is not None:
        made.CorrelationData = correlation
    return made


def blank(packet: int) -> Properties:
    make: Any = Properties  # paho has no types here
    made: Properties = make(packet)
    return made


def default_node() -> str:
    """Names this machine without saying its name: hosts are often called after people."""
    return "n" + hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
