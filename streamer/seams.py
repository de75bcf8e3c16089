"""The two seams beside `streamer.stage.Stage`: where things come in and where they go out."""

from __future__ import annotations

from typing import Protocol

from .channel import Channel
from .clock import Clock
from .payloads import Event
from .types import AudioChunk, Cut, VideoFrame


class Out(Protocol):
    """Where a source sends what it captured."""

    async def send(self, item: AudioChunk | VideoFrame) -> None:
        """Hand over ``item``; waits where nothing may be lost (files)."""

    def offer(self, item: AudioChunk | Cut | VideoFrame) -> bool:
        """The same from a device callback on the event loop: never waits, may drop the oldest item.

        A `Cut` says that no sound will come up to its time, so that nobody waits for it.
        """
        ...


class Source(Protocol):
    """Owns a device or file and stamps time. ``tracks`` holds "audio", "video" or both."""

    @property
    def tracks(self) -> frozenset[str]: ...
    async def run(self, out: Out, clock: Clock) -> None:
        """Capture until the input ends or the task is cancelled; clean up in ``finally``."""


class Sink(Protocol):
    """Owns a connection or file; ends when ``inbox`` ends."""

    async def run(self, inbox: Channel[Event], clock: Clock) -> None: ...
