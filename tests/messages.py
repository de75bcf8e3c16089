"""Complete messages for tests of what leaves, and a subscriber that keeps all it hears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiomqtt

from streamer.context import Context, Notices, Session
from streamer.payloads import (
    ChannelV1,
    ContextV1,
    EmotionV1,
    EstimateV1,
    HealthV1,
    InfoV1,
    LatencyV1,
    ModalitiesV1,
    ModalityV1,
    ModelV1,
    SessionEvent,
    SessionV1,
    SpeakerV1,
)

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
MODEL = ModelV1(name="lmam", version="1", transcriber="sidecar", labels=["joy", "neutral"])
INFO = InfoV1(
    software={"lmam-streamer": "0.1.0"},
    model=MODEL,
    modalities=["text", "audio"],
    purpose="demo",
    publish_text=True,
    commercial_use="no",
)


def estimate(
    number: int = 1,
    *,
    final: bool = True,
    text: str | None = "Hello there.",
    speaker: str = "s0",
    conversation: str = "c1",
    revision: int = 0,
) -> EstimateV1:
    present, absent = (
        ModalityV1(present=True, quality=1, weight=0.5),
        ModalityV1(present=False, quality=0, weight=0),
    )
    return EstimateV1(
        id=f"{conversation}-{number}",
        conversation=conversation,
        sequence=number if final else None,
        revision=revision,
        final=final,
        speaker=SpeakerV1(id=speaker),
        start=2.0 * number,
        end=2.0 * number + 1,
        captured_at=BEGAN + timedelta(seconds=2 * number + 1),
        published_at=BEGAN + timedelta(seconds=2 * number + 1.2),
        emotion=EmotionV1(label="joy", confidence=0.75, probabilities={"joy": 0.75, "neutral": 0.25}),
        modalities=ModalitiesV1(text=present if text else absent, audio=present, visual=absent),
        text=text,
        language="en" if text else None,
        context=ContextV1(turns=number - 1),
        latency=LatencyV1(endpoint=0.3, transcribe=0.1, encode=0.01, fuse=0.01, total=0.42),
        model=MODEL,
    )


def session(event: SessionEvent = "started", conversation: str = "c1") -> SessionV1:
    return SessionV1(conversation=conversation, event=event, at=BEGAN, purpose="demo")


def health(conversation: str = "c1") -> HealthV1:
    return HealthV1(
        conversation=conversation,
        at=BEGAN,
        uptime=5,
        fps=10,
        lag=0.1,
        skew=None,
        behind=False,
        paused=False,
        memory_mb=100,
        channels={"audio": ChannelV1(depth=0, capacity=64, sent=10, dropped=1)},
        problems={},
    )


class LoudNotices(Notices):
    """Notices that a test can wait for."""

    def __init__(self) -> None:
        super().__init__()
        self._news = asyncio.Event()

    def set(self, origin: str, message: str | None) -> None:
        super().set(origin, message)
        self._news.set()

    async def until(self, words: str, origin: str = "mqtt") -> None:
        """Until ``origin`` says ``words``; the empty string: until it is well."""
        while words not in (now := self.all().get(origin, "")) or (not words and now):
            self._news.clear()
            await self._news.wait()


def context(folder: Path, conversation: str = "c1", **options: Any) -> Context:
    options = {"purpose": "demo", "publish_text": True, **options}
    return Context(
        session=Session(conversation=conversation, **options),
        state_dir=folder / "state",
        notices=LoudNotices(),
        info=INFO,
    )


class Ear:
    """What a subscriber has heard so far; `until` waits for more."""

    def __init__(self) -> None:
        self.heard: list[aiomqtt.Message] = []
        self._news = asyncio.Event()

    def hear(self, message: aiomqtt.Message) -> None:
        self.heard.append(message)
        self._news.set()

    def on(self, end: str) -> list[aiomqtt.Message]:
        return [m for m in self.heard if str(m.topic).endswith(end)]

    def bodies(self, end: str) -> list[bytes]:
        return [bytes(m.payload) for m in self.on(end)]

    async def until(self, enough: Callable[[Ear], object]) -> None:
        while not enough(self):
            self._news.clear()
            await self._news.wait()


@asynccontextmanager
async def listening(
    url: str, *, topic: str = "affect/#", v5: bool = True, **options: Any
) -> AsyncIterator[Ear]:
    """Subscribe (QoS 1) and keep what comes; aiomqtt options pass through."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    ear = Ear()
    version = aiomqtt.ProtocolVersion.V5 if v5 else aiomqtt.ProtocolVersion.V311
    client = aiomqtt.Client(parts.hostname or "", parts.port or 0, protocol=version, **options)

    async def keep() -> None:
        async for message in client.messages:
            ear.hear(message)

    async with client:
        await client.subscribe(topic, qos=1)
        task = asyncio.create_task(keep())
        try:
            yield ear
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # the broker went first
