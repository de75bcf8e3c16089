"""What every source, stage and sink of one run is built with: a value, never global."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ConfigError
from .payloads import InfoV1

if TYPE_CHECKING:
    from .segmenter import VoiceMeter

AT_END = "end of file"  # origin of notices about a file as a whole, which are told when it has been read


@dataclass(frozen=True, kw_only=True)
class Session:
    """The facts of one run. ``offset`` (seconds) carries a resumed conversation's clock on."""

    conversation: str
    purpose: str
    consent: str | None = None
    exemption: str | None = None
    live: bool = False
    publish_text: bool = False
    first_sequence: int = 1
    offset: float = 0.0


class Notices:
    """What is wrong right now, by origin ("microphone", "mqtt"); shown in health, estimates and console."""

    def __init__(self) -> None:
        self._now: dict[str, str] = {}

    def set(self, origin: str, message: str | None) -> None:
        """Say what is wrong with ``origin``; None when it is well again."""
        if message is None:
            self._now.pop(origin, None)
        else:
            self._now[origin] = message

    def all(self) -> dict[str, str]:
        return dict(self._now)


class Control:
    """Lets sinks ask the running graph to ``pause``, ``resume``, ``purge``, ``name-speaker`` or
    ``merge-speakers``."""

    def __init__(self) -> None:
        self._actions: dict[str, Callable[[Mapping[str, object]], Awaitable[str]]] = {}

    def on(self, verb: str, action: Callable[[], Awaitable[str]]) -> None:
        self._actions[verb] = lambda body: action()

    def on_body(self, verb: str, action: Callable[[Mapping[str, object]], Awaitable[str]]) -> None:
        """As `on`, for an action that needs to be told more."""
        self._actions[verb] = action

    async def ask(self, verb: str, body: Mapping[str, object] | None = None) -> str:
        """Do ``verb`` (``body``: what else was asked) and say in words what was done.

        Raises:
            ConfigError: nothing here knows the verb, or what is asked makes no sense.
        """
        if verb not in self._actions:
            raise ConfigError(f"unknown command {verb!r}; known: {', '.join(sorted(self._actions))}")
        return await self._actions[verb](body or {})


@dataclass(frozen=True, kw_only=True)
class Context:
    """``device`` is ``cpu`` or ``cuda`` (already decided); ``state_dir`` holds outboxes and conversations.

    ``channels``: how many sound channels come, each a speaker of its own where there are several.
    ``tagged``: a transcript names who speaks. ``meter`` measures a voice (None: its prosody).
    ``info`` is what a sink may tell the world about this node.
    """

    session: Session
    state_dir: Path
    device: str = "cpu"
    channels: int = 1
    tagged: bool = False
    notices: Notices = field(default_factory=Notices)
    control: Control = field(default_factory=Control)
    meter: Callable[[], VoiceMeter] | None = None
    info: InfoV1 | None = None
