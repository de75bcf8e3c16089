import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.faces.square import Square

squares = st.builds(Square, st.floats(-500, 500), st.floats(-500, 500), st.floats(1, 400), st.floats(0, 1))


def test_box_is_the_frame_in_whole_pixels():
    assert Square(100.0, 60.0, 40.0, 1.0).box == (80, 40, 40, 40)


def test_box_is_never_empty():
    assert Square(3.0, 3.0, 0.1, 1.0).box[2:] == (1, 1)


def test_overlap_of_half_shifted_frames_is_a_third():
    assert Square(0, 0, 10, 1).overlap(Square(5, 0, 10, 1)) == pytest.approx(1 / 3)


def test_frames_that_only_touch_do_not_overlap():
    assert Square(0, 0, 10, 1).overlap(Square(10, 0, 10, 1)) == 0


@given(squares, squares)
def test_overlap_is_symmetric_and_within_0_and_1(a: Square, b: Square):
    assert a.overlap(b) == pytest.approx(b.overlap(a))
    assert 0 <= a.overlap(b) <= 1 + 1e-9
    assert a.overlap(a) == pytest.approx(1)


def test_toward_moves_by_the_share_and_takes_the_new_score():
    assert Square(0, 0, 10, 0.2).toward(Square(10, 20, 30, 0.9), 0.5) == Square(5, 10, 20, 0.9)


def test_a_roll_is_smoothed_the_short_way_round():
    before, after = Square(0, 0, 10, 1, roll=3.0), Square(0, 0, 10, 1, roll=-3.0, frontal=0.4)
    made = before.toward(after, 0.5)
    assert abs(math.remainder(made.roll - math.pi, math.tau)) < 1e-6
    assert made.frontal == 0.4
