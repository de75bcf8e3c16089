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


def followed(turns: int = 8) -> list[Segment | FaceSample | Progress]:
    """Two who speak in turn, 2 s in every 3, before a camera that shows who speaks."""
    items: list[Segment | FaceSample | Progress] = []
    for i in range(turns):
        start, number = i * 3.0, i % 2
        heard = segment(start, start + 2.0)
        items.append(replace(heard, speaker=Speaker(f"s{number}", confidence=0.9)))
        items += [replace(face(start + k / 8), track=number) for k in range(16)]
        items += [Progress("video", start + 2.5), Progress("audio", start + 2.5, start + 2.5)]
    return items


def test_a_voice_gets_its_face_once_that_is_clear() -> None:
    made = [u for u in run_inline(Join(Config()), followed()) if u.segment]
    assert [u.speaker.face for u in made] == [None] * 5 + [1, 0, 1]


def test_of_several_faces_only_the_speakers_is_left_then() -> None:
    both = [replace(face(24.0 + k / 8), track=k % 2) for k in range(16)]
    heard = replace(segment(24.0, 26.0), speaker=Speaker("s1"))
    made = run_inline(Join(Config()), [*followed(), *both, heard, Progress("video", 26.0)])
    assert {f.track for f in made[-1].faces} == {1}


def test_a_partial_knows_the_face_and_teaches_nothing() -> None:
    join, partial = Join(Config()), replace(segment(24.0, 26.0, final=False), speaker=Speaker("s0"))
    run_inline(join, followed())
    made = [u.speaker.face for _ in range(20) for u in join.push(partial)]
    assert made == [0] * 20


def test_whose_face_it_is_does_not_depend_on_the_order_of_arrival() -> None:
    items = followed()
    sound = [i for i in items if isinstance(i, Segment) or (isinstance(i, Progress) and i.track == "audio")]
    film = [i for i in items if i not in sound]
    first, second, third = (
        [(u.span, u.speaker) for u in run_inline(Join(Config()), order) if u.segment]
        for order in (items, [*film, Progress("video"), *sound], [*sound, Progress("audio"), *film])
    )
    assert first == second == third


@pytest.mark.parametrize("looking", [True, False])
def test_speech_that_the_pictures_do_not_reach_teaches_nothing(looking: bool) -> None:
    """A camera that has stopped does not show that a face is absent."""
    join = Join(Config(max_wait=0.1, silent_windows=False), live=True)
    own = [i for i in followed() if not (isinstance(i, Segment) and i.speaker == Speaker("s1", None, 0.9))]
    told: list[int | None] = []
    for item in [i for i in own if not (isinstance(i, FaceSample) and i.track == 1)]:
        told += [u.speaker.face for u in join.push(item) if u.segment]
    for i in range(4):
        start = 30.0 + 3 * i
        list(join.push(replace(segment(start, start + 2.0), speaker=Speaker("s1"))))
        if looking:
            list(join.push(Progress("video", start + 2.0)))
        list(join.push(Progress("audio", start + 2.5, start + 2.5)))
    (last,) = join.push(replace(segment(50.0, 51.0, final=False), speaker=Speaker("s0")))
    assert [*told, last.speaker.face] == [None] * 4 + [0 if looking else None]


def test_after_a_purge_faces_are_learnt_anew() -> None:
    join = Join(Config())
    run_inline(join, followed())
    join.forget()
    (made,) = join.push(replace(segment(24.0, 26.0, final=False), speaker=Speaker("s0")))
    assert made.speaker.face is None
