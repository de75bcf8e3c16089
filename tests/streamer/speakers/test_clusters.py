"""Ids of voices: in order, bounded, stable, merged and told; from made-up embeddings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from streamer.speakers.clusters import Clusters, Heard, Rules
from streamer.types import Floats

SIZE = 64


class Room:
    """Made-up voices: one part that all share, one of each person's own, and chance."""

    def __init__(self, people: int, seed: int = 0, spread: float = 0.4) -> None:
        self._rng = np.random.default_rng(seed)
        self._common = self._direction() * 0.9
        self._own = [self._direction() * 0.8 for _ in range(people)]
        self._spread = spread

    def _direction(self) -> Floats:
        v = self._rng.normal(size=SIZE)
        return np.asarray(v / np.linalg.norm(v), np.float32)

    def says(self, person: int) -> Floats:
        v = self._common + self._own[person] + self._direction() * self._spread
        return np.asarray(v / np.linalg.norm(v), np.float32)


def talk(
    turns: Iterator[int] | list[int], clusters: Clusters, room: Room, seconds: float = 2.0
) -> list[Heard]:
    return [clusters.add(room.says(person), seconds) for person in turns]


def test_ids_count_in_the_order_in_which_voices_are_heard() -> None:
    heard = talk([2, 0, 2, 1, 0], Clusters(), Room(3))
    assert [h.id for h in heard] == [0, 1, 0, 2, 1]


def test_ten_minutes_of_four_people_keep_their_ids() -> None:
    rng, clusters, room = np.random.default_rng(1), Clusters(), Room(4)
    turns = [int(rng.integers(4)) for _ in range(300)]
    ids = [h.id for h in talk(turns, clusters, room)]
    assert len({(person, number) for person, number in zip(turns, ids, strict=True)}) == 4


def test_one_person_alone_stays_one_however_long_they_speak() -> None:
    assert {h.id for h in talk([0] * 300, Clusters(), Room(1))} == {0}


def test_what_is_kept_is_bounded() -> None:
    clusters, room = Clusters(most=4, memory=20), Room(4)
    for i in range(200):
        clusters.add(room.says(i % 4), 2.0)
        assert clusters.bits <= 20


def test_there_are_at_most_so_many_voices() -> None:
    clusters, room = Clusters(most=3), Room(10)
    for i in range(200):
        clusters.add(room.says(i % 10), 2.0)
        assert clusters.voices <= 3


def test_a_short_word_belongs_to_somebody_known_and_makes_nobody_new() -> None:
    clusters, room = Clusters(), Room(2)
    talk([0, 0], clusters, room)
    before = clusters.bits
    assert clusters.add(room.says(1), 0.5).id == 0
    assert clusters.bits == before


def test_the_first_word_is_somebodys_however_short() -> None:
    assert Clusters().add(Room(1).says(0), 0.3).id == 0


def test_the_same_voices_give_the_same_ids() -> None:
    turns = [0, 1, 1, 2, 0, 3, 1] * 20
    first, second = (talk(turns, Clusters(), Room(4)) for _ in range(2))
    assert first == second


def test_confidence_is_low_between_two_voices_and_high_at_one() -> None:
    clusters, room = Clusters(), Room(2, spread=0.2)
    talk([0, 1] * 10, clusters, room)
    between = room.says(0) + room.says(1)
    sure, unsure = clusters.guess(room.says(0)).confidence, clusters.guess(between).confidence
    assert 0 <= unsure < 0.7 < sure <= 1


def test_a_guess_remembers_nothing() -> None:
    clusters, room = Clusters(), Room(2)
    talk([0], clusters, room)
    assert [clusters.guess(room.says(1)).id for _ in range(3)] == [1, 1, 1]
    assert clusters.bits == 1


def test_a_guess_before_anybody_was_heard_is_the_first() -> None:
    assert Clusters().guess(Room(1).says(0)).id == 0


def one_who_changes() -> tuple[list[Heard], Clusters]:
    """Somebody who sounds like two people at first and later like all that is between them."""
    rng = np.random.default_rng(3)
    axes = np.linalg.qr(rng.normal(size=(SIZE, 4)))[0].T
    common, calm, loud, other = axes

    def says(*parts: Floats) -> Floats:
        v = common + sum(parts) + rng.normal(size=SIZE) * 0.02
        return np.asarray(v / np.linalg.norm(v), np.float32)

    clusters = Clusters(rules=Rules(near=0.75))
    heard = [clusters.add(says(calm), 3.0), clusters.add(says(loud), 3.0)]
    for share in np.tile(np.linspace(0.0, 1.0, 9), 6):
        heard.append(clusters.add(says(calm * (1 - share), loud * share), 3.0))
        heard.append(clusters.add(says(other * -1.2), 3.0))
    return heard, clusters


def test_two_ids_that_turn_out_to_be_one_person_are_merged_and_that_is_told_once() -> None:
    heard, _ = one_who_changes()
    assert [h.id for h in heard[:2]] == [0, 1]
    told = [pair for h in heard for pair in h.merged.items()]
    assert (1, 0) in told or (0, 1) in told
    assert len(told) == len(set(told))


def test_a_merged_id_does_not_come_back() -> None:
    heard, _ = one_who_changes()
    gone: set[int] = set()
    for h in heard:
        gone |= set(h.merged)
        assert h.id not in gone


def test_two_voices_that_somebody_merged_have_one_id_from_then_on() -> None:
    clusters, room = Clusters(), Room(3)
    assert {h.id for h in talk([0, 1, 2], clusters, room)} == {0, 1, 2}
    clusters.merge(2, 0)
    assert clusters.known == {0, 1}
    turns = [2, 0, 1, 2, 1] * 60
    heard = talk(turns, clusters, room)
    assert [h.id for h in heard] == [1 if person == 1 else 0 for person in turns]
    assert not any(h.merged for h in heard)  # whoever asked knows
    assert clusters.guess(room.says(2)).id == 0


def test_a_merged_voice_is_no_rival_of_the_one_whose_id_it_has() -> None:
    clusters, room = Clusters(), Room(3, spread=0.2)
    talk([0, 1, 2] * 10, clusters, room)
    between = room.says(0) + room.says(2)
    before = clusters.guess(between).confidence
    clusters.merge(2, 0)
    assert clusters.guess(between).confidence > before + 0.1


def test_merged_voices_go_along_when_their_id_is_merged_again() -> None:
    clusters, room = Clusters(), Room(4)
    talk([0, 1, 2, 3], clusters, room)
    clusters.merge(3, 2)
    clusters.merge(2, 0)
    assert {h.id for h in talk([3, 2, 0] * 20, clusters, room)} == {0}


def test_an_id_is_told_as_gone_only_when_no_voice_has_it_any_more() -> None:
    clusters, room = Clusters(), Room(3)
    talk([0, 1, 2], clusters, room)
    clusters.merge(1, 0)
    assert clusters._told({1: 2}) == {}  # 0 lives on
    clusters._ids = [2, 2, 2]
    assert clusters._told({0: 2}) == {0: 2}


def test_enrolled_voices_are_known_from_the_first_word_by_the_first_ids() -> None:
    room = Room(3)
    clusters = Clusters(known=[room.says(0), room.says(1)])
    assert [h.id for h in talk([1, 2, 0, 1, 2], clusters, room)] == [1, 2, 0, 1, 2]


def test_enrolled_voices_are_never_merged_even_if_they_are_the_same() -> None:
    room = Room(3)
    clusters = Clusters(known=[room.says(0), room.says(0)])
    heard = talk([0, 1, 2] * 60, clusters, room)
    assert all(not set(h.merged) & {0, 1} for h in heard)
    assert clusters.bits <= 64 + 2


def test_new_ids_begin_where_they_are_told_to() -> None:
    assert Clusters(first=5).add(Room(1).says(0), 2.0).id == 5


@pytest.mark.parametrize("embedding", [np.zeros(SIZE, np.float32), np.full(SIZE, 1e-20, np.float32)])
def test_an_empty_embedding_does_no_harm(embedding: Floats) -> None:
    clusters, room = Clusters(), Room(2)
    talk([0, 1] * 20, clusters, room)
    assert 0 <= clusters.add(embedding, 2.0).confidence <= 1
