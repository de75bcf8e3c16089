"""The whole graph, as one function that reads from top to bottom."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol

from .channel import Channel, ChannelStats, Overflow
from .clock import Clock, StreamClock
from .context import Context, Session
from .errors import ConfigError, StreamerError
from .join import Join
from .payloads import Event, ModelV1, SessionEvent, SessionV1, kept
from .publish import Publisher
from .seams import Sink, Source
from .stage import Stage, pump
from .telemetry import Telemetry
from .types import (
    Alone,
    AudioChunk,
    Cut,
    Estimate,
    FaceSample,
    Features,
    Progress,
    Segment,
    Utterance,
    VideoFrame,
)

HEALTH_EVERY = 5.0  # seconds


class Transcriber(Stage[Utterance, Utterance], Protocol):
    """A stage that also says what it is and how sure (0..1) it must be for its words to count."""

    @property
    def name(self) -> str: ...
    @property
    def min_confidence(self) -> float: ...
    def cancel(self) -> None:
        """Begin no more partials (callable from any thread); finals are still transcribed."""


class Speakers(Stage[Segment | Progress, Segment | Progress], Protocol):
    def forget(self) -> None:
        """Know no voice any more (purge); callable from any thread."""

    def merge(self, body: Mapping[str, object]) -> str:
        """The voice ``body["speaker"]`` is ``body["into"]`` from now on; callable from any thread."""


class Encoder(Stage[Utterance, Features], Protocol):
    def forget(self, before: float) -> None:
        """Remember nothing of what was said by ``before`` (purge); callable from any thread."""


class Fusion(Stage[Features, Estimate], Protocol):
    def alone(self, features: Features) -> Alone:
        """What each modality says by itself in the same context (before ``push``); changes nothing."""
        ...

    def forget(self, before: float) -> None:
        """Drop the context of the conversation, and unseen any utterance that ends by ``before`` (purge)."""


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """What runs.  Any field may be a fake; ``speakers`` is None where nothing tells voices apart."""

    sources: Sequence[Source]
    segmenter: Stage[AudioChunk | Cut, Segment | Progress]
    face_encoder: Stage[VideoFrame, FaceSample | Progress]
    join: Join
    transcriber: Transcriber
    encoder: Encoder
    fusion: Fusion
    sinks: Sequence[Sink]
    model: ModelV1
    speakers: Speakers | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: every edge's counts, and the errors of sources and sinks that gave up."""

    channels: list[ChannelStats]
    failures: list[StreamerError]


class Tracks:
    """Routes captured items to their channel by type; closed while paused."""

    def __init__(
        self, audio: Channel[AudioChunk | Cut], video: Channel[VideoFrame], events: Channel[Any], clock: Clock
    ) -> None:
        self._audio, self._video, self._events, self._clock = audio, video, events, clock
        self._age: dict[str, float] = {}  # how long after its stream time an item arrives, smoothed
        self.paused = False
        self.latest = 0.0  # stream time up to which anything was captured

    async def send(self, item: AudioChunk | VideoFrame) -> None:
        if self._note(item):
            await (self._audio.send(item) if isinstance(item, AudioChunk) else self._video.send(item))

    def offer(self, item: AudioChunk | Cut | VideoFrame) -> bool:
        if isinstance(item, Cut):
            return self._audio.offer(item)
        if not self._note(item):
            return False
        return self._audio.offer(item) if isinstance(item, AudioChunk) else self._video.offer(item)

    async def cut(self) -> None:
        """End what is being heard and seen right now; nobody waits for more of it."""
        now = self._clock.now()
        await self._audio.send(Cut(now))
        await self._events.send(Progress("video", now))

    def skew(self) -> float | None:
        """Seconds by which sound arrives later than pictures of the same moment."""
        return self._age["audio"] - self._age["video"] if len(self._age) == 2 else None

    def _note(self, item: AudioChunk | VideoFrame) -> bool:
        audio = isinstance(item, AudioChunk)
        end = item.span.end if isinstance(item, AudioChunk) else item.time
        track, age = "audio" if audio else "video", self._clock.now() - end
        self.latest = max(self.latest, end)
        self._age[track] = age + 0.9 * (self._age.get(track, age) - age)
        return not self.paused


async def run(
    p: Pipeline,
    context: Context,
    *,
    lossless: bool,
    clock: Clock | None = None,
    executor: Executor | None = None,
    stop: asyncio.Event | None = None,
) -> Outcome:
    """Run until every source has ended (or ``stop`` is set) and all is drained.

    A source or sink that fails on purpose (`StreamerError`) ends alone; the others go on.

    Args:
        lossless: True for a file as fast as possible: every full channel blocks. False live: capture
            drops stale items instead of falling behind.
    """
    clock = clock or StreamClock()
    lossy = Overflow.BLOCK if lossless else Overflow.DROP_OLDEST
    count = {t: sum(t in s.tracks for s in p.sources) for t in ("audio", "video")}
    audio: Channel[AudioChunk | Cut] = Channel("audio", 64, lossy, producers=count["audio"])
    video: Channel[VideoFrame] = Channel("video", 64 if lossless else 1, lossy, producers=count["video"])
    segments: Channel[Any] = Channel("segments", 64)
    events: Channel[Any] = Channel("events", 64, producers=2)
    utterances: Channel[Utterance] = Channel("utterances", 4, lossy, keep=lambda u: u.final)
    texts: Channel[Utterance] = Channel("texts", 4, lossy, keep=lambda u: u.final)
    features: Channel[Features] = Channel("features", 4, lossy, keep=lambda f: f.final)
    estimates: Channel[Estimate] = Channel("estimates", 32)
    outlets: list[Channel[Event]] = [Channel(f"sink{i}", 256, lossy, keep=kept) for i in range(len(p.sinks))]
    edges: list[Channel[Any]] = [audio, video, events, utterances, texts, features, estimates, *outlets]
    if p.speakers is not None:
        edges.insert(1, segments)
    tracks = Tracks(audio, video, events, clock)
    publisher = Publisher(
        context.session, lambda: _model(p), context.notices, clock, paced=context.session.live or not lossless
    )
    telemetry = Telemetry(
        context,
        clock,
        edges,
        heard=lambda: p.join.seen("audio"),
        skew=tracks.skew,
        sources=p.sources,
        paused=lambda: tracks.paused,
    )

    async def publish(event: Event) -> None:
        for outlet in outlets:
            await outlet.send(event)

    async def tell(event: SessionEvent) -> None:
        await publish(_session(context.session, event, clock))

    async def capture(source: Source) -> None:
        try:
            await source.run(tracks, clock)
        except StreamerError as error:  # what was already heard is still worth its estimates
            failed(type(source).__name__, error)
        finally:
            for track, channel in (("audio", audio), ("video", video)):
                if track in source.tracks:
                    channel.close()

    async def deliver(sink: Sink, outlet: Channel[Event]) -> None:
        try:
            await sink.run(outlet, clock)
        except StreamerError as error:  # the other sinks go on, and this one's queue must not fill up
            failed("sink", error)
            async for _ in outlet:
                pass

    async def fan_out() -> None:
        try:
            async for estimate in estimates:
                await publish(publisher.message(estimate))
            await publish(telemetry.health())
            await tell("stopped")
        finally:
            for outlet in outlets:
                outlet.close()

    async def beat() -> None:
        moment = clock.now()
        while True:
            moment += HEALTH_EVERY
            await clock.sleep_until(moment)
            await publish(telemetry.health())

    async def pause() -> str:
        if tracks.paused:
            return "already paused"
        tracks.paused = True
        await tracks.cut()
        await tell("paused")
        return "paused"

    async def resume() -> str:
        if not tracks.paused:
            return "was not paused"
        tracks.paused = False
        await tell("resumed")
        return "resumed"

    async def purge() -> str:
        await tracks.cut()
        p.encoder.forget(tracks.latest)
        p.fusion.forget(tracks.latest)
        p.join.forget()
        publisher.forget()
        if p.speakers is not None:
            p.speakers.forget()
        await tell("purged")
        return f"purged {context.session.conversation}"

    async def name_speaker(body: Mapping[str, object]) -> str:
        return publisher.name(body)

    async def merge_speakers(body: Mapping[str, object]) -> str:
        if p.speakers is None:
            raise ConfigError(
                "merge-speakers: speakers are not told apart by their voices here; what a transcript or the"
                " sound channels say stands"
            )
        return p.speakers.merge(body)

    failures: list[StreamerError] = []

    def failed(who: str, error: StreamerError) -> None:
        failures.append(error)
        context.notices.set(who, str(error))

    for verb, action in (("pause", pause), ("resume", resume), ("purge", purge)):
        context.control.on(verb, action)
    context.control.on_body("name-speaker", name_speaker)
    context.control.on_body("merge-speakers", merge_speakers)

    async with asyncio.TaskGroup() as tg:
        sinks = [tg.create_task(deliver(s, o), name=o.name) for s, o in zip(p.sinks, outlets, strict=True)]
        await tell("started")
        if context.session.consent is not None:
            await tell("consent")
        captures = [tg.create_task(capture(s), name=type(s).__name__) for s in p.sources]
        heard = events if p.speakers is None else segments
        tg.create_task(pump(p.segmenter, audio, heard, executor), name="segmenter")
        if p.speakers is not None:
            tg.create_task(pump(p.speakers, segments, events, executor), name="speakers")
        tg.create_task(pump(p.face_encoder, video, events, executor), name="face_encoder")
        tg.create_task(pump(p.join, events, utterances), name="join")
        for task, name in (
            (
                pump(p.transcriber, utterances, texts, executor, clock=clock, timed="transcribe"),
                "transcriber",
            ),
            (pump(p.encoder, texts, features, executor, clock=clock, timed="encode"), "encoder"),
            (pump(p.fusion, features, estimates, executor, clock=clock, timed="fuse"), "fusion"),
        ):
            tg.create_task(task, name=name)
        tg.create_task(fan_out(), name="fan_out")
        helpers = [tg.create_task(beat(), name="health")]
        if stop is not None:
            helpers.append(tg.create_task(_cancel_on(stop, captures, p.transcriber), name="stop"))
        await asyncio.wait(sinks)
        for helper in helpers:
            helper.cancel()
    return Outcome([c.stats() for c in edges], failures)


def _session(session: Session, event: SessionEvent, clock: Clock) -> SessionV1:
    return SessionV1(
        conversation=session.conversation,
        event=event,
        at=clock.wall(),
        purpose=session.purpose,
        consent=session.consent,
        exemption=session.exemption,
    )


def _model(p: Pipeline) -> ModelV1:
    return p.model.model_copy(update={"transcriber": getattr(p.transcriber, "name", p.model.transcriber)})


async def _cancel_on(
    stop: asyncio.Event, tasks: Sequence[asyncio.Task[None]], transcriber: Transcriber
) -> None:
    """End capture only: everything downstream then drains and closes by itself, without partials, for which
    nobody waits any more."""
    await stop.wait()
    transcriber.cancel()
    for task in tasks:
        task.cancel()
