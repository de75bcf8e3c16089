from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from streamer.faces.square import Square
from streamer.faces.track import Tracker


def face(x: float, y: float = 0.0, side: float = 100.0) -> Square:
    return Square(x, y, side, 0.9)


def numbers(tracker: Tracker, pictures: Sequence[Sequence[Square]], fps: float = 8.0) -> list[list[int]]:
    return [[n for n, _ in tracker.update(i / fps, found)] for i, found in enumerate(pictures)]


def test_a_face_is_believed_only_after_enough_pictures_running():
    assert numbers(Tracker(confirm=3), [[face(0)]] * 5) == [[], [], [0], [0], [0]]


def test_a_flicker_is_never_believed():
    assert numbers(Tracker(confirm=2), [[face(0)], [], [face(0)], [], [face(0)], []]) == [[]] * 6


def test_a_believed_face_keeps_its_number_through_a_short_loss():
    pictures = [[face(0)]] * 2 + [[]] * 6 + [[face(5)]]
    assert numbers(Tracker(confirm=2), pictures) == [[], [0], *[[]] * 6, [0]]


def test_after_a_long_loss_the_face_is_new():
    pictures = [[face(0)]] * 2 + [[]] * 9 + [[face(0)]] * 2
    assert numbers(Tracker(confirm=2), pictures)[-2:] == [[], [1]]


def test_a_face_elsewhere_is_another_one():
    assert numbers(Tracker(confirm=1), [[face(0)], [face(300)]]) == [[0], [1]]


def test_a_walking_face_keeps_its_number():
    assert numbers(Tracker(confirm=1), [[face(30.0 * i)] for i in range(20)]) == [[0]] * 20


def test_numbers_do_not_depend_on_the_order_in_which_faces_are_found():
    pictures = [[face(0), face(200)], [face(200), face(0)], [face(4), face(204)]]
    tracker = Tracker(confirm=1)
    last = [tracker.update(i / 8, found) for i, found in enumerate(pictures)][-1]
    assert [(n, round(f.x)) for n, f in last] == [(0, 2), (1, 202)]


def test_the_better_overlap_wins_where_two_faces_want_one_track():
    tracker = Tracker(confirm=1)
    tracker.update(0.0, [face(0)])
    assert [(n, f.x) for n, f in tracker.update(0.1, [face(50), face(0)])] == [(0, 0), (1, 50)]


def test_small_jitter_is_smoothed_and_a_leap_is_not():
    tracker = Tracker(confirm=1)
    tracker.update(0.0, [face(0)])
    assert tracker.update(0.1, [face(10)])[0][1].x == 6.0
    assert tracker.update(0.2, [face(50)])[0][1].x == 50.0


def test_time_running_backwards_starts_anew():
    tracker = Tracker(confirm=1)
    tracker.update(10.0, [face(0)])
    assert [n for n, _ in tracker.update(2.0, [face(0)])] == [1]


def test_faces_are_expected_where_they_were_until_they_are_given_up():
    tracker = Tracker(confirm=2)
    tracker.update(0.0, [face(7)])
    assert [f.x for f in tracker.expected(0.5)] == [7]
    assert tracker.expected(1.5) == []


@given(st.lists(st.lists(st.integers(0, 6), max_size=4, unique=True), max_size=30))
def test_no_number_is_given_twice_in_a_picture_and_numbers_have_no_gaps(rows: list[list[int]]):
    seen = numbers(Tracker(confirm=2), [[face(150.0 * c) for c in row] for row in rows])
    assert all(len(set(row)) == len(row) for row in seen)
    everyone = {n for row in seen for n in row}
    assert everyone == set(range(len(everyone)))
