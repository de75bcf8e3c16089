import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.faces.quality import colour_crop, crop, light, quality, sharpness
from streamer.faces.square import Square
from streamer.types import Picture


@pytest.fixture
def portrait() -> tuple[Picture, Square]:
    data = pytest.importorskip("skimage.data")
    bgr = np.ascontiguousarray(data.astronaut()[:, :, ::-1])
    return bgr, Square(225.0, 115.0, 105.0, 1.0)


def judged(bgr: Picture, face: Square) -> float:
    return quality(crop(bgr, face, 48), face)


def test_a_crop_shows_exactly_its_frame():
    bgr = np.zeros((200, 300, 3), np.uint8)
    bgr[50:98, 100:148] = 200
    assert (crop(bgr, Square(124, 74, 48, 1), 48) == 200).all()


@pytest.mark.parametrize("side", [20, 48, 96, 171])
def test_a_crop_has_the_asked_size_whatever_the_face(side: int):
    assert crop(np.full((240, 320, 3), 90, np.uint8), Square(160, 120, side, 1), 48).shape == (48, 48)


def test_what_lies_outside_the_picture_repeats_its_edge():
    bgr = np.full((100, 100, 3), 50, np.uint8)
    bgr[:, :2] = 210
    cut = crop(bgr, Square(10, 50, 48, 1), 48)
    assert (cut[:, :16] == 210).all()
    assert (cut[:, 20:] == 50).all()


@pytest.mark.parametrize("degrees", [-40.0, -12.0, 25.0])
def test_a_tilted_face_is_cut_with_its_eyes_level(portrait: tuple[Picture, Square], degrees: float):
    """The crop of a turned picture is that of the upright one, but for what resampling costs."""
    bgr, face = portrait
    turn = cv2.getRotationMatrix2D((face.x, face.y), -degrees, 1.0)  # clockwise
    tilted = cv2.warpAffine(bgr, turn, (bgr.shape[1], bgr.shape[0])).astype(np.uint8)
    upright = crop(bgr, face, 48).astype(float)
    level = crop(tilted, replace(face, roll=math.radians(degrees)), 48).astype(float)
    as_it_is = crop(tilted, face, 48).astype(float)
    assert np.abs(level - upright).mean() < 6
    assert np.abs(as_it_is - upright).mean() > 10


def test_a_tilted_frame_at_the_edge_repeats_it():
    bgr = np.full((100, 100, 3), 80, np.uint8)
    assert (crop(bgr, Square(5, 5, 60, 1, roll=0.5), 48) == 80).all()


def test_a_head_that_turns_away_costs_quality(portrait: tuple[Picture, Square]):
    bgr, face = portrait
    assert judged(bgr, replace(face, frontal=0.5)) == pytest.approx(0.5 * judged(bgr, face))
    assert judged(bgr, replace(face, frontal=0.0)) == 0


def test_a_frame_wholly_outside_gives_an_empty_crop_of_no_quality():
    face = Square(-500, -500, 80, 1)
    cut = crop(np.full((100, 100, 3), 128, np.uint8), face, 48)
    assert cut.shape == (48, 48)
    assert quality(cut, face) == 0


def test_a_sharp_well_lit_large_face_is_nearly_perfect(portrait: tuple[Picture, Square]):
    assert judged(*portrait) > 0.9


def test_blur_costs_quality_step_by_step(portrait: tuple[Picture, Square]):
    bgr, face = portrait
    grades = [judged(bgr, face)] + [judged(cv2.GaussianBlur(bgr, (0, 0), s), face) for s in (3, 6, 12)]
    assert grades == sorted(grades, reverse=True)
    assert grades[-1] < 0.7 * grades[0]


def test_darkness_and_glare_cost_quality(portrait: tuple[Picture, Square]):
    bgr, face = portrait
    dark = (bgr * 0.15).astype(np.uint8)
    glare = np.clip(bgr.astype(int) + 160, 0, 255).astype(np.uint8)
    assert judged(dark, face) < 0.8 * judged(bgr, face)
    assert judged(glare, face) < 0.8 * judged(bgr, face)


def test_sharpness_does_not_depend_on_contrast(portrait: tuple[Picture, Square]):
    grey = cv2.GaussianBlur(crop(*portrait, 48), (0, 0), 1.5)
    faint = (128 + (grey.astype(float) - 128) * 0.6).astype(np.uint8)
    assert sharpness(faint) == pytest.approx(sharpness(grey), abs=0.05)


def test_a_flat_crop_is_not_sharp():
    assert sharpness(np.full((48, 48), 120, np.uint8)) == 0


@pytest.mark.parametrize(
    ("level", "expected"), [(0, 0.0), (15, 0.0), (60, 1.0), (130, 1.0), (200, 1.0), (255, 0.0)]
)
def test_light_is_best_in_the_middle(level: int, expected: float):
    assert light(np.full((48, 48), level, np.uint8)) == expected


@given(st.integers(0, 255), st.integers(0, 60), st.floats(1, 500), st.floats(0, 1), st.integers(0, 9))
def test_quality_stays_within_0_and_1(level: int, spread: int, side: float, score: float, seed: int):
    noise = np.random.default_rng(seed).normal(level, spread, (48, 48))
    assert 0 <= quality(np.clip(noise, 0, 255).astype(np.uint8), Square(0, 0, side, score)) <= 1


def test_a_crop_in_colour_is_of_the_same_frame_red_first():
    bgr = np.zeros((100, 100, 3), np.uint8)
    bgr[:, :50] = (10, 20, 200)
    cut = colour_crop(bgr, Square(30, 50, 80, 1), 32)
    assert cut.shape == (32, 32, 3)
    assert cut[16, 2].tolist() == cut[16, 16].tolist() == [200, 20, 10]
    assert cut[16, 30].tolist() == [0, 0, 0]
    assert colour_crop(bgr, Square(500, 500, 20, 1), 32).shape == (32, 32, 3)
