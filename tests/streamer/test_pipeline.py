"""The graph: deterministic offline, lossy where said live, and nothing already heard is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from streamer.clock import Clock, ManualClock, settle
from streamer.context import Context, Session
from streamer.errors import CaptureError, ConfigError, PublishError
from streamer.join import Config as JoinConfig
from streamer.join import Join
from streamer.payloads import EstimateV1, Event, HealthV1, ModelV1
from streamer.pipeline import Outcome, Pipeline, run
from streamer.seams import Out, Sink, Source
from streamer.segmenter import Config as SegmenterConfig
from streamer.segmenter import Segmenter
from streamer.types import Cut
from tests.fakes import (
    Collect,
    FakeEncoder,
    FakeFaces,
    FakeFusion,
    FakeSource,
    FakeSpeakers,
    FakeTranscriber,
    frames,
    loudness,
    speech_script,
)

SCRIPT = "..####....#####.....###...."
OFFLINE = SegmenterConfig(partial_every=None)


def context(*, live: bool = False, publish_text: bool = True) -> Context:
    session = Session(
        conversation="c",
        purpose="demo",
        consent="self" if live else None,
        live=live,
        publish_text=publish_text,
    )
    return Context(session=session, state_dir=Path("unused"))


async def play(clock: ManualClock, seconds: float) -> None:
    """Let ``seconds`` pass, a block of sound at a time."""
    end = clock.now() + seconds
    await settle()
    while clock.now() < end - 1e-9:
        await clock.advance(min(0.032, end - clock.now()))


def graph(
    sources: Sequence[Source],
    sinks: Sequence[Sink],
    *,
    live: bool = False,
    fusion: FakeFusion | None = None,
    segmenter: SegmenterConfig = OFFLINE,
    video: bool = True,
) -> Pipeline:
    return Pipeline(
        sources=sources,
        segmenter=Segmenter(lambda: loudness, segmenter),
        face_encoder=FakeFaces(),
        join=Join(JoinConfig(silent_windows=False), video=video, live=live),
        transcriber=FakeTranscriber(),
        encoder=FakeEncoder(),
        fusion=fusion or FakeFusion(),
        sinks=sinks,
        model=ModelV1(name="m", version="1", transcriber="?", labels=["joy", "anger"]),
    )


def comparable(estimates: Sequence[EstimateV1]) -> list[str]:
    wall_clock = {"captured_at", "published_at", "latency"}
    return [e.model_dump_json(exclude=wall_clock) for e in estimates]


def both(pause: random.Random | None = None) -> list[FakeSource]:
    waits = None if pause is None else lambda: 0.0 if pause.random() < 0.9 else 0.0005
    return [
        FakeSource(speech_script(SCRIPT), tracks=["audio"], pause=waits),
        FakeSource(frames(len(SCRIPT) * 0.256), tracks=["video"], pause=waits),
    ]


async def offline(seed: int | None) -> list[str]:
    sink = Collect()
    with ThreadPoolExecutor(2) as executor:
        sources = both(random.Random(seed) if seed is not None else None)
        await run(graph(sources, [sink]), context(), lossless=True, executor=executor)
    return comparable(sink.finals)


async def test_offline_is_the_same_whatever_the_interleaving() -> None:
    runs = [await offline(seed) for seed in (None, 0, 1, 2)]
    assert len(runs[0]) == 3
    assert all(r == runs[0] for r in runs)


async def test_finals_are_numbered_in_order_and_say_what_made_them() -> None:
    sink = Collect()
    await run(graph(both(), [sink]), context(), lossless=True)
    assert [e.sequence for e in sink.finals] == [1, 2, 3]
    assert [e.start for e in sink.finals] == sorted(e.start for e in sink.finals)
    assert {e.model.transcriber for e in sink.finals} == {"fake"}
    assert sink.sessions == ["started", "stopped"]
    assert isinstance(sink.got[-2], HealthV1)


async def test_words_leave_only_if_the_configuration_says_so() -> None:
    sink = Collect()
    await run(graph(both(), [sink]), context(publish_text=False), lossless=True)
    assert {e.text for e in sink.finals} == {None}
    assert {(e.speaker.id, e.speaker.label) for e in sink.finals} == {("s0", None)}
    assert {e.modalities.text.present for e in sink.finals} == {True}


async def test_the_delay_of_a_final_is_the_endpointing_wait_and_nothing_else() -> None:
    clock, sink = ManualClock(), Collect()
    source = FakeSource(speech_script("..####....####...."), tracks=["audio"], paced=True)
    p = graph([source], [sink], live=True, video=False)
    task = asyncio.create_task(run(p, context(live=True), lossless=False, clock=clock))
    while not task.done():
        await clock.advance(0.032)
    assert len(sink.finals) == 2
    for e in sink.finals:
        assert e.latency.total == pytest.approx(e.latency.endpoint, abs=0.04)
        assert e.latency.endpoint is not None
        assert 0.1 <= e.latency.endpoint <= 0.6


async def test_stop_finishes_the_utterance_that_is_being_heard() -> None:
    clock, sink, stop = ManualClock(), Collect(), asyncio.Event()
    source = FakeSource(speech_script("..####" + "#" * 500), tracks=["audio"], paced=True)
    p = graph([source], [sink], live=True, video=False)
    task = asyncio.create_task(run(p, context(live=True), lossless=False, clock=clock, stop=stop))
    await play(clock, 2.0)
    assert sink.finals == []
    stop.set()
    await settle(200)
    await task
    assert len(sink.finals) == 1
    assert sink.finals[0].end == pytest.approx(2.0, abs=0.1)
    assert sink.sessions == ["started", "consent", "stopped"]


async def test_stop_ends_provisional_transcription_and_the_final_still_comes() -> None:
    clock, sink, stop = ManualClock(), Collect(), asyncio.Event()
    source = FakeSource(speech_script("..####" + "#" * 500), tracks=["audio"], paced=True)
    p = graph([source], [sink], live=True, segmenter=SegmenterConfig(), video=False)
    transcriber = p.transcriber
    assert isinstance(transcriber, FakeTranscriber)
    task = asyncio.create_task(run(p, context(live=True), lossless=False, clock=clock, stop=stop))
    await play(clock, 2.0)
    early = transcriber.cancelled
    before = [e for e in sink.got if isinstance(e, EstimateV1)]
    assert before
    assert not any(e.final for e in before)
    stop.set()
    await settle(200)
    await task
    assert (early, transcriber.cancelled) == (False, True)
    assert [e.final for e in sink.got if isinstance(e, EstimateV1)][len(before) :] == [True]


async def test_a_source_that_breaks_loses_nothing_already_heard() -> None:
    sink = Collect()
    broken = FakeSource(
        speech_script("..######"), tracks=["audio"], fail=CaptureError("microphone unplugged")
    )
    outcome: Outcome = await run(graph([broken], [sink], video=False), context(), lossless=True)
    assert [str(e) for e in outcome.failures] == ["microphone unplugged"]
    assert len(sink.finals) == 1


class LostMicrophone(FakeSource):
    """Is gone after what it has to say, and looks for itself twice a second."""

    async def run(self, out: Out, clock: Clock) -> None:
        await super().run(out, clock)
        while True:
            out.offer(Cut(clock.now(), 0))
            await clock.sleep_until(clock.now() + 0.5)


async def test_a_lost_microphone_ends_what_is_being_said_and_faces_go_on() -> None:
    sink, clock, stop = Collect(), ManualClock(), asyncio.Event()
    sound = LostMicrophone(speech_script("..######"), tracks=["audio"], paced=True)
    film = FakeSource(frames(20.0), tracks=["video"], paced=True)
    p = replace(graph([sound, film], [sink], live=True), join=Join(JoinConfig(), live=True))
    task = asyncio.create_task(run(p, context(live=True), lossless=False, clock=clock, stop=stop))
    await play(clock, 8.0)
    assert [e.speaker.id for e in sink.finals] == ["s0", "unheard", "unheard"]
    assert [e.end - e.start for e in sink.finals[1:]] == pytest.approx([2.0, 2.0])
    stop.set()
    await settle(200)
    await task


async def test_what_is_wrong_stands_in_every_estimate() -> None:
    sink, ctx = Collect(), context()
    ctx.notices.set("webcam", "frozen")
    ctx.notices.set("end of file", "cut off?")  # marks whichever estimates are under way
    ctx.notices.set("mqtt", "away")
    await run(graph(both(), [sink]), ctx, lossless=True)
    assert sink.finals[0].context.degraded == ["webcam: frozen"]


class Broken:
    async def run(self, inbox: object, clock: object) -> None:
        raise PublishError("disk full")


async def test_a_broken_sink_does_not_stop_the_others() -> None:
    sink = Collect()
    source = FakeSource(speech_script("..####...." * 60), tracks=["audio"])
    outcome = await run(graph([source], [Broken(), sink], video=False), context(), lossless=True)
    assert len(sink.finals) == 60
    assert [str(e) for e in outcome.failures] == ["disk full"]


async def test_a_programming_error_is_not_swallowed() -> None:
    source = FakeSource(speech_script("..####"), tracks=["audio"], fail=ZeroDivisionError())
    with pytest.raises(ExceptionGroup) as caught:
        await run(graph([source], [Collect()], video=False), context(), lossless=True)
    assert caught.group_contains(ZeroDivisionError)


async def test_pause_ends_the_utterance_and_what_is_said_meanwhile_is_not_heard() -> None:
    clock, ctx, sink = ManualClock(), context(live=True), Collect()
    source = FakeSource(speech_script("..########....####...."), tracks=["audio"], paced=True)
    p = graph([source], [sink], live=True, video=False)
    task = asyncio.create_task(run(p, ctx, lossless=False, clock=clock))
    await play(clock, 1.5)
    assert await ctx.control.ask("pause") == "paused"
    assert await ctx.control.ask("pause") == "already paused"
    await play(clock, 1.5)
    assert len(sink.finals) == 1
    assert sink.finals[0].end <= 1.6
    await ctx.control.ask("resume")
    while not task.done():
        await clock.advance(0.1)
    assert len(sink.finals) == 2
    assert sink.finals[1].start > 2.9
    assert sink.sessions == ["started", "consent", "paused", "resumed", "stopped"]


async def test_purge_forgets_the_context_and_tells_the_sinks() -> None:
    clock, ctx, sink, fusion = ManualClock(), context(live=True), Collect(), FakeFusion()
    source = FakeSource(speech_script("..####....####...."), tracks=["audio"], paced=True)
    encoder = FakeEncoder()
    p = replace(graph([source], [sink], live=True, video=False, fusion=fusion), encoder=encoder)
    task = asyncio.create_task(run(p, ctx, lossless=False, clock=clock))
    await play(clock, 2.5)
    assert "purged" in await ctx.control.ask("purge")
    while not task.done():
        await clock.advance(0.1)
    assert (encoder.forgotten, fusion.forgotten) == (1, 1)
    assert "purged" in sink.sessions


async def test_who_speaks_is_told_by_the_stage_that_tells_voices_apart() -> None:
    sink, source = Collect(), FakeSource(speech_script("..####....####...."), tracks=["audio"])
    p = replace(graph([source], [sink], video=False), speakers=FakeSpeakers())
    outcome = await run(p, context(), lossless=True)
    assert [(e.speaker.id, e.speaker.confidence) for e in sink.finals] == [("s0", 0.9), ("s1", 0.9)]
    assert "segments" in {c.name for c in outcome.channels}


async def test_purge_forgets_voices_and_names() -> None:
    clock, ctx, sink, speakers = ManualClock(), context(live=True), Collect(), FakeSpeakers()
    source = FakeSource(speech_script("..####....####...."), tracks=["audio"], paced=True)
    p = replace(graph([source], [sink], live=True, video=False), speakers=speakers)
    task = asyncio.create_task(run(p, ctx, lossless=False, clock=clock))
    await play(clock, 0.1)
    assert await ctx.control.ask("name-speaker", {"speaker": "s0", "label": "Ann"}) == "s0 is Ann"
    assert await ctx.control.ask("name-speaker", {"speaker": "s1", "label": "Bo"}) == "s1 is Bo"
    await play(clock, 2.4)
    await ctx.control.ask("purge")
    while not task.done():
        await clock.advance(0.1)
    assert speakers.forgotten == 1
    assert [e.speaker.label for e in sink.finals] == ["Ann", None]


async def test_a_merge_is_asked_of_the_stage_that_tells_voices_apart() -> None:
    ctx, speakers = context(), FakeSpeakers()
    p = replace(graph(both(), [Collect()]), speakers=speakers)
    await run(p, ctx, lossless=True)
    assert await ctx.control.ask("merge-speakers", {"speaker": "s1", "into": "s0"}) == "merged"
    assert speakers.asked == [{"speaker": "s1", "into": "s0"}]


async def test_without_such_a_stage_a_merge_is_refused() -> None:
    ctx = context()
    await run(graph(both(), [Collect()]), ctx, lossless=True)
    with pytest.raises(ConfigError, match="not told apart by their voices here"):
        await ctx.control.ask("merge-speakers", {"speaker": "s1", "into": "s0"})


async def test_an_unknown_command_is_refused_with_the_known_ones() -> None:
    ctx = context()
    await run(graph(both(), [Collect()]), ctx, lossless=True)
    with pytest.raises(ConfigError, match="pause, purge, resume"):
        await ctx.control.ask("explode")


async def test_health_comes_every_five_seconds_and_counts_drops() -> None:
    clock, sink = ManualClock(), Collect()

    async def stall(event: Event) -> None:
        await clock.sleep_until(1e9 if isinstance(event, EstimateV1) else 0)

    source = FakeSource(speech_script("..####...." * 10), tracks=["audio"], paced=True)
    p = graph([source], [sink, Collect(stall)], live=True, video=False)
    task = asyncio.create_task(run(p, context(live=True), lossless=False, clock=clock))
    await play(clock, 13.0)
    beats = [e for e in sink.got if isinstance(e, HealthV1)]
    assert [round(b.uptime) for b in beats] == [5, 10]
    assert beats[-1].lag < 0.2
    assert beats[-1].channels["audio"].sent > 100
    assert len(sink.finals) >= 4  # the stalled sink does not hold the other
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
