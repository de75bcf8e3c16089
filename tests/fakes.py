"""Stand-ins for what tests do not want to run for real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from streamer.channel import Channel
from streamer.clock import Clock
from streamer.payloads import EstimateV1, Event, SessionV1
from streamer.seams import Out
from streamer.types import (
    RATE,
    Alone,
    AudioChunk,
    Cut,
    Estimate,
    FaceSample,
    Features,
    Progress,
    Reading,
    Segment,
    Speaker,
    Transcript,
    Utterance,
    VideoFrame,
)

BLOCK = 512


def speech_script(script: str, seconds_per_char: float = 0.256) -> Iterator[AudioChunk]:
    """'#' is speech, '.' silence: ``'..####...##..'``."""
    per = round(seconds_per_char * RATE / BLOCK)
    for i, char in enumerate(c for c in script for _ in range(per)):
        pcm = np.full(BLOCK, 0.5 if char == "#" else 0.0, np.float32)
        yield AudioChunk(pcm, i * BLOCK / RATE)


def loudness(pcm: np.ndarray) -> float:
    """A voice activity detector that hears the speech of `speech_script`."""
    return float(np.abs(pcm).mean() > 0.1)


def frames(seconds: float, fps: float = 5.0) -> Iterator[VideoFrame]:
    for i in range(int(seconds * fps)):
        yield VideoFrame(np.full((2, 2, 3), i % 255, np.uint8), i / fps)


class Caught:
    """An `streamer.seams.Out` that keeps what a source sends."""

    def __init__(self) -> None:
        self.items: list[AudioChunk | Cut | VideoFrame] = []

    async def send(self, item: AudioChunk | VideoFrame) -> None:
        self.items.append(item)

    def offer(self, item: AudioChunk | Cut | VideoFrame) -> bool:
        self.items.append(item)
        return True

    @property
    def audio(self) -> list[AudioChunk]:
        return [i for i in self.items if isinstance(i, AudioChunk)]

    @property
    def video(self) -> list[VideoFrame]:
        return [i for i in self.items if isinstance(i, VideoFrame)]


class Inbox:
    """Feeds a sink a fixed list."""

    def __init__(self, items: Iterable[object]) -> None:
        self._items = list(items)

    async def __aiter__(self) -> AsyncIterator[object]:
        for item in self._items:
            yield item


class FakeSource:
    """Sends a fixed list; may pause between items, and fail at the end."""

    def __init__(
        self,
        items: Iterable[AudioChunk | VideoFrame],
        *,
        tracks: Iterable[str] = ("audio", "video"),
        pause: Callable[[], float] | None = None,
        fail: Exception | None = None,
        paced: bool = False,
    ) -> None:
        self.items, self.tracks = items, frozenset(tracks)
        self._pause, self._fail, self._paced = pause, fail, paced

    async def run(self, out: Out, clock: Clock) -> None:
        for item in self.items:
            if self._paced:
                await clock.sleep_until(item.span.end if isinstance(item, AudioChunk) else item.time)
            await out.send(item)
            await asyncio.sleep(self._pause() if self._pause else 0)
        if self._fail:
            raise self._fail


class FakeFaces:
    """Every picture shows one face."""

    def push(self, frame: VideoFrame) -> Iterator[FaceSample | Progress]:
        yield FaceSample(frame.time, 0, (0, 0, 2, 2), 1.0, np.full(4, frame.bgr.mean(), np.float32))
        yield Progress("video", frame.time)

    def flush(self) -> Iterator[FaceSample | Progress]:
        yield Progress("video")


class FakeSpeakers:
    """Hears a new voice in every utterance."""

    def __init__(self) -> None:
        self.heard = self.forgotten = 0
        self.asked: list[dict[str, object]] = []

    def push(self, item: Segment | Progress) -> Iterator[Segment | Progress]:
        if isinstance(item, Segment):
            item = replace(item, speaker=Speaker(f"s{self.heard}", confidence=0.9))
            self.heard += item.final
        yield item

    def flush(self) -> Iterator[Segment | Progress]:
        return iter(())

    def forget(self) -> None:
        self.forgotten += 1

    def merge(self, body: Mapping[str, object]) -> str:
        self.asked.append(dict(body))
        return "merged"


class FakeTranscriber:
    """Hears when it was said."""

    name, min_confidence = "fake", 0.5

    def __init__(self) -> None:
        self.cancelled = False

    def push(self, u: Utterance) -> Iterator[Utterance]:
        if self.cancelled and not u.final:
            return
        words = f"{u.span.start:.3f}-{u.span.end:.3f}"
        if u.segment:
            speaker = u.segment.speaker or Speaker("s0", "Ann")
            u = replace(u, transcript=Transcript(words, "en", 1.0, "fake"), speaker=speaker)
        yield u

    def flush(self) -> Iterator[Utterance]:
        return iter(())

    def cancel(self) -> None:
        self.cancelled = True


class FakeEncoder:
    def __init__(self) -> None:
        self.forgotten = 0

    def push(self, u: Utterance) -> Iterator[Features]:
        visual = u.faces[0].embedding if u.faces else None
        yield Features(u, 0, "words" if u.transcript else None, None, visual, (1.0, 0.0, 1.0))

    def flush(self) -> Iterator[Features]:
        return iter(())

    def forget(self, before: float) -> None:
        self.forgotten += 1


class FakeFusion:
    """The probability says how many faces were seen."""

    def __init__(self, first_sequence: int = 1) -> None:
        self.sequence, self.forgotten = first_sequence, 0

    def push(self, f: Features) -> Iterator[Estimate]:
        u, p = f.utterance, len(f.utterance.faces) / 1000
        sequence = None
        if u.final:
            sequence, self.sequence = self.sequence, self.sequence + 1
        here = Reading(True, 1.0, 0.5)
        words = u.transcript.text if u.transcript else None
        revision = u.segment.revision if u.segment else 0
        readings = (here if words else Reading(False, 0, 0), Reading(False, 0, 0), here)
        name = f"c-{round(u.span.start * 1000)}"
        yield Estimate(u, name, sequence, revision, ("joy", "anger"), (p, 1 - p), readings, 0, words, "en")

    def flush(self) -> Iterator[Estimate]:
        return iter(())

    def alone(self, f: Features) -> Alone:
        return (0.1, 0.9) if f.text is not None else None, None, (1.0, 0.0)

    def forget(self, before: float) -> None:
        self.forgotten += 1


class Collect:
    """A sink that keeps what it is told; ``on`` is called with each event."""

    def __init__(self, on: Callable[[Event], Awaitable[None]] | None = None) -> None:
        self.got: list[Event] = []
        self._on = on

    async def run(self, inbox: Channel[Event], clock: Clock) -> None:
        async for event in inbox:
            self.got.append(event)
            if self._on:
                await self._on(event)

    @property
    def finals(self) -> list[EstimateV1]:
        return [e for e in self.got if isinstance(e, EstimateV1) and e.final]

    @property
    def sessions(self) -> list[str]:
        return [e.event for e in self.got if isinstance(e, SessionV1)]
