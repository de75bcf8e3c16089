"""Sound and picture are brought together by event time alone."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from streamer.join import Config, Join
from streamer.stage import run_inline
from streamer.types import RATE, AudioChunk, FaceSample, Progress, Segment, Span, Speaker


def segment(start: float, end: float, *, final: bool = True, channel: int = 0) -> Segment:
    pcm = np.zeros(round((end - start) * RATE), np.float32)
    return Segment(AudioChunk(pcm, start, channel), final=final, noticed=end + 0.3)


def face(time: float) -> FaceSample:
    return FaceSample(time, 0, (0, 0, 10, 10), 1.0, np.zeros(4, np.float32))


def video(*times: float) -> list[FaceSample | Progress]:
    return [item for t in times for item in (face(t), Progress("video", t))]


def spans(items: object) -> list[tuple[float, float, bool]]:
    return [(u.span.start, u.span.end, u.segment is not None) for u in items]  # type: ignore[attr-defined]


def test_a_final_waits_for_the_pictures_of_its_span() -> None:
    join = Join(Config())
    assert list(join.push(segment(0.5, 1.0))) == []
    assert list(join.push(face(0.7))) == []
    (utterance,) = join.push(Progress("video", 1.0))
    assert [f.time for f in utterance.faces] == [0.7]


def test_a_partial_does_not_wait() -> None:
    (utterance,) = Join(Config()).push(segment(0.5, 1.0, final=False))
    assert not utterance.final


def test_live_a_dead_camera_holds_a_final_no_longer_than_max_wait() -> None:
    join = Join(Config(max_wait=0.2), live=True)
    assert list(join.push(segment(5.0, 6.0))) == []
    assert list(join.push(Progress("audio", 6.1, 6.0))) == []
    assert spans(join.push(Progress("audio", 6.25, 6.0))) == [(5.0, 6.0, True)]


def test_offline_a_final_waits_without_limit() -> None:
    join = Join(Config(max_wait=0.2))
    list(join.push(segment(0.5, 1.0)))
    assert list(join.push(Progress("audio", 1e6, 0.0))) == []


def test_without_a_camera_nothing_waits() -> None:
    assert spans(Join(Config(), video=False).push(segment(0.5, 1.0))) == [(0.5, 1.0, True)]


def test_a_face_in_silence_becomes_an_utterance_of_two_seconds() -> None:
    items = [*video(*np.arange(0, 4.5, 0.5)), Progress("audio", 4.6, 4.3)]
    out = run_inline(Join(Config()), items)
    assert spans(out) == [(0, 2, False), (2, 4, False)]
    assert all(u.faces and u.speaker.confidence is None for u in out)


def test_silent_windows_can_be_switched_off() -> None:
    items = [*video(*np.arange(0, 4.5, 0.5)), segment(3.0, 3.5), Progress("audio"), Progress("video")]
    assert spans(run_inline(Join(Config(silent_windows=False)), items)) == [(3.0, 3.5, True)]


def test_a_window_that_speech_interrupts_is_given_up_and_the_next_begins_after_the_speech() -> None:
    items = [
        *video(*np.arange(0, 6, 0.5)),
        Progress("audio", 1.0, 0.8),
        segment(1.0, 3.0),
        Progress("audio", 6.0, 5.8),
    ]
    assert spans(run_inline(Join(Config()), items)) == [
        (1.0, 3.0, True),
        (3.0, 5.0, False),
        (5.0, 5.5, False),
    ]


def test_a_short_film_without_sound_gives_what_was_seen() -> None:
    join = Join(Config(), audio=False)
    out = run_inline(join, [*video(0.0, 0.5, 1.0), Progress("video")])
    assert spans(out) == [(0.0, 1.0, False)]


def test_a_film_whose_face_leaves_ends_its_windows_there() -> None:
    items = [*video(0.0, 1.0, 1.9), Progress("video", 600.0), Progress("audio", 600.0, 599.8)]
    assert spans(run_inline(Join(Config()), items)) == [(0.0, 2.0, False)]


def test_a_stalled_camera_does_not_block_later_speech_live() -> None:
    join = Join(Config(max_wait=0.2), live=True)
    out = [u for i in (*video(0.1), segment(50.0, 51.0), Progress("audio", 52.0, 51.8)) for u in join.push(i)]
    assert (50.0, 51.0, True) in spans(out)


def test_each_channel_is_a_speaker_when_channels_are_split() -> None:
    join = Join(Config(), video=False, channels=2)
    (a,), (b,) = join.push(segment(0, 1, channel=1)), join.push(segment(1, 2, channel=0))
    assert (a.speaker.id, b.speaker.id) == ("s1", "s0")
    (only,) = Join(Config(), video=False).push(segment(0, 1))
    assert only.speaker.id == "s0"
    assert only.speaker.confidence is None


def test_faces_that_nobody_can_need_any_more_are_forgotten() -> None:
    join = Join(Config(), live=True)
    for t in np.arange(0, 300, 0.1):
        for item in (*video(float(t)), Progress("audio", float(t), float(t) - 0.2)):
            list(join.push(item))
    assert len(join._faces) < 60


@pytest.mark.parametrize("seed", range(5))
def test_output_does_not_depend_on_the_interleaving(seed: int) -> None:
    sound = [Progress("audio", 1.0, 0.8), segment(1.0, 2.5), Progress("audio", 5.0, 4.8), segment(6.0, 7.0)]
    sound += [Progress("audio", 9.0, 8.8), Progress("audio", float("inf"), float("inf"))]
    pictures = [*video(*np.arange(0, 9, 0.25)), Progress("video")]
    rng, mixed = random.Random(seed), []
    a, b = list(sound), list(pictures)
    while a or b:
        mixed.append((a if a and (not b or rng.random() < 0.3) else b).pop(0))
    expected = run_inline(Join(Config()), [*sound, *pictures])
    got = run_inline(Join(Config()), mixed)
    assert spans(got) == spans(expected)
    assert [[f.time for f in u.faces] for u in got] == [[f.time for f in u.faces] for u in expected]
    assert Span(1.0, 2.5) in [u.span for u in got]


def test_a_segment_that_knows_whose_voice_it_is_says_so() -> None:
    known = replace(segment(0.5, 1.0), speaker=Speaker("s3", confidence=0.8))
    (utterance,) = Join(Config(), video=False).push(known)
    assert utterance.speaker == Speaker("s3", confidence=0.8)


def test_a_channel_of_its_own_says_who_speaks_whatever_the_voice() -> None:
    known = replace(segment(0.5, 1.0, channel=1), speaker=Speaker("s3", confidence=0.8))
    (utterance,) = Join(Config(), video=False, channels=2).push(known)
    assert utterance.speaker == Speaker("s1", confidence=1.0)
