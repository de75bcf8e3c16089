"""Whose face it is, from seconds in view alone: said where it is clear, and only there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from streamer.faces.link import MOST, Links
from streamer.types import FaceSample, Span, Speaker, Utterance

FPS = 8


def face(time: float, track: int) -> FaceSample:
    return FaceSample(time, track, (0, 0, 10, 10), 1.0, np.zeros(4, np.float32))


def says(
    voice: str, start: float, faces: Sequence[int] = (), *, seconds: float = 2.0, merged: tuple[str, ...] = ()
) -> Utterance:
    """``voice`` speaks with ``faces`` in view all the time."""
    times = start + np.arange(round(seconds * FPS)) / FPS
    samples = tuple(face(float(t), track) for t in times for track in faces)
    return Utterance(Span(start, start + seconds), None, samples, Speaker(voice, merged=merged))


def links(script: Sequence[tuple[str, Sequence[int]]]) -> dict[str, int | None]:
    """The link of every voice after ``script``: who speaks for 2 s, and the faces in view meanwhile."""
    made = Links()
    for i, (voice, faces) in enumerate(script):
        made.count(says(voice, i * 3.0, faces))
    return {voice: made.face(Speaker(voice)) for voice, _ in script}


def test_a_camera_that_follows_who_speaks_shows_whose_face_is_whose() -> None:
    assert links([("s0", [0]), ("s1", [1])] * 4) == {"s0": 0, "s1": 1}


def test_nothing_is_said_before_there_was_enough_of_both() -> None:
    assert links([("s0", [0]), ("s1", [1])] * 2) == {"s0": None, "s1": None}
    assert links([("s0", [0])] * 5 + [("s1", [1])]) == {"s0": None, "s1": None}


def test_a_face_that_is_there_whoever_speaks_is_nobodys() -> None:
    assert links([("s0", [0]), ("s1", [0])] * 20) == {"s0": None, "s1": None}


def test_faces_that_are_seen_together_are_nobodys() -> None:
    assert links([("s0", [0, 1]), ("s1", [0, 1])] * 20) == {"s0": None, "s1": None}


def test_the_only_face_is_not_taken_for_that_of_the_only_voice() -> None:
    """They may be somebody before the camera and somebody behind it."""
    assert links([("s0", [0])] * 20) == {"s0": None}


def test_somebody_who_listens_in_view_takes_the_link_away_again() -> None:
    followed = [("s0", [0]), ("s1", [])] * 4
    assert links(followed) == {"s0": 0, "s1": None}
    assert links(followed + [("s1", [0])] * 2) == {"s0": None, "s1": None}


def test_speech_that_is_heard_from_beside_the_picture_has_no_face() -> None:
    assert links([("s0", []), ("s1", [1])] * 4)["s0"] is None


def test_of_several_faces_the_one_that_was_seen_last_is_named() -> None:
    """A face that left and came back has a new number."""
    assert links([("s0", [0]), ("s1", [])] * 4 + [("s0", [7])] * 4) == {"s0": 7, "s1": None}


def test_a_picture_stands_for_half_a_second_at_most() -> None:
    made = Links()
    for i in range(20):
        u = says("s0", i * 3.0, [0], seconds=2.0)
        made.count(Utterance(u.span, None, u.faces[:1], u.speaker))  # one picture in two seconds
        made.count(says("s1", i * 3.0 + 2.0, [], seconds=1.0))
        expected = None if (i + 1) * 0.5 < 6.0 else 0
        assert made.face(Speaker("s0")) == expected


def test_what_a_voice_was_counted_with_is_that_of_whom_it_was_merged_into() -> None:
    made = Links()
    for i, (voice, faces) in enumerate([("s0", [0]), ("s2", [0]), ("s1", [])] * 3):
        made.count(says(voice, i * 3.0, faces))
    assert made.face(Speaker("s0")) is None
    made.count(says("s0", 100.0, [0], merged=("s2",)))
    assert made.face(Speaker("s0")) == 0
    assert made.face(Speaker("s2")) is None


def test_only_the_speakers_own_face_is_left_where_it_is_known_and_seen() -> None:
    made = Links()
    for i, (voice, faces) in enumerate([("s0", [0]), ("s1", [1])] * 4):
        made.count(says(voice, i * 3.0, faces))
    both, other = [face(50.0, 0), face(50.0, 1)], [face(50.0, 1)]
    assert [f.track for f in made.of(Speaker("s0"), both)] == [0]
    assert [f.track for f in made.of(Speaker("s0"), other)] == [1]  # as if nothing were known
    assert [f.track for f in made.of(Speaker("s2"), both)] == [0, 1]


@pytest.mark.parametrize("changing", ["faces", "voices"])
def test_what_is_counted_is_bounded(changing: str) -> None:
    made = Links()
    for i in range(5 * MOST):
        voice, track = (f"s{i}", 0) if changing == "voices" else ("s0", i)
        made.count(says(voice, i * 3.0, [track], seconds=0.5))
    assert max(len(made._spoke), len(made._seen), len(made._alone)) <= MOST
    assert all(len(c) <= MOST for c in (*made._seen.values(), *made._alone.values()))
