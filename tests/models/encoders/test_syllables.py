"""Syllable nuclei, pauses and the stretch of speech on intensity contours drawn as strings."""

from __future__ import annotations

import numpy as np
import pytest

from models.encoders.syllables import Floats, articulation_rate, nuclei, sounding, speech

STEP = 0.016  # s, as "To Intensity" with a floor of 50 Hz
LEVEL = {" ": 20.0, ".": 45.0, "-": 60.0, "=": 66.0, "#": 70.0}


def contour(drawing: str) -> tuple[Floats, Floats, float]:
    """Level in dB, times and duration: a character a frame, ``#`` loud to space for silence."""
    times = (np.arange(len(drawing)) + 0.5) * STEP
    return np.array([LEVEL[c] for c in drawing]), times, len(drawing) * STEP


def rate(drawing: str, unvoiced: str = "") -> float | None:
    level, times, duration = contour(drawing)
    voiced = np.array([not unvoiced or mark != "x" for mark in (unvoiced or drawing)])
    return articulation_rate(level, times, voiced, duration)


@pytest.mark.parametrize(
    ("drawing", "places"),
    [
        ("--#--#--#--", [2, 5]),  # the last peak has no peak after its dip
        ("--#==#--#--", [2, 5]),
        ("-------", []),
        ("--#--", []),
    ],
)
def test_a_nucleus_is_a_peak_with_a_dip_before_the_next(drawing: str, places: list[int]) -> None:
    assert nuclei(contour(drawing)[0], 50.0).tolist() == places


def test_a_dip_of_two_decibels_or_less_parts_no_syllables() -> None:
    shallow, deep = np.array([60.0, 70, 68.5, 70, 60]), np.array([60.0, 70, 67.5, 70, 60])
    assert nuclei(shallow, 50.0).tolist() == []
    assert nuclei(deep, 50.0).tolist() == [1]


def test_a_peak_below_the_threshold_is_none() -> None:
    assert nuclei(contour(" . #-#-# ")[0], 50.0).tolist() == [3, 5]


def test_the_rate_is_nuclei_per_second_of_sound() -> None:
    drawing = "-#--" * 10
    assert rate(drawing) == pytest.approx(9 / (40 * STEP))
    assert rate(drawing + " " * 40 + drawing) == pytest.approx(19 / (80 * STEP), rel=0.02)


def test_a_voiceless_peak_is_no_syllable() -> None:
    assert rate("-#--" * 4, "v" * 4 + "xxxx" + "v" * 8) == pytest.approx(2 / (16 * STEP))


@pytest.mark.parametrize("drawing", ["#", "-", "----------", "-#--------"])
def test_without_a_nucleus_there_is_no_rate(drawing: str) -> None:
    assert rate(drawing) is None


def runs(drawing: str) -> str:
    _, times, duration = contour(drawing)
    loud = np.array([c != " " for c in drawing])
    return "".join(
        ("#" if r.loud else " ") * round((r.end - r.start) / STEP) for r in sounding(loud, times, duration)
    )


@pytest.mark.parametrize(
    ("drawing", "expected"),
    [
        ("#" * 20 + " " * 18 + "#" * 20, "#" * 58),  # 0.29 s is no pause
        ("#" * 20 + " " * 20 + "#" * 20, "#" * 20 + " " * 20 + "#" * 20),
        ("#" * 20 + " " * 30 + "#" * 5 + " " * 30, "#" * 20 + " " * 65),  # 0.08 s is no sound
        (" " * 30, " " * 30),
        ("#" * 3, "#" * 3),
    ],
)
def test_short_pauses_are_filled_and_short_sounds_dropped(drawing: str, expected: str) -> None:
    assert runs(drawing) == expected


def span(drawing: str) -> tuple[float, float] | None:
    found = speech(*contour(drawing))
    return found and (found[0] / STEP, found[1] / STEP)


@pytest.mark.parametrize("before", [1, 10, 30])
@pytest.mark.parametrize("after", [1, 6, 30])
def test_speech_is_found_between_silences_of_any_length(before: int, after: int) -> None:
    drawing = " " * before + "-#==#-#" * 5 + " " * after
    assert span(drawing) == pytest.approx((before, before + 35))


def test_a_click_before_the_speech_is_not_speech() -> None:
    assert span("#" + " " * 25 + "-#==#-#" * 5 + " " * 10) == pytest.approx((26, 61))


def test_a_pause_within_the_speech_belongs_to_it() -> None:
    assert span(" " * 9 + "#" * 20 + " " * 50 + "#" * 20 + " " * 9) == pytest.approx((9, 99))


def test_speech_that_stands_out_of_a_loud_background_is_found() -> None:
    """The background, 15 dB below, is above the 25 dB that count as sound in a quiet room."""
    level, times, duration = contour("." * 20 + "#" * 40 + "." * 20)
    loud_room = np.where(level < 60, 55.0, level)
    found = speech(loud_room, times, duration)
    assert found == pytest.approx((20 * STEP, 60 * STEP))


def test_where_all_is_speech_the_span_is_all() -> None:
    assert span("=#=#" * 10) == pytest.approx((0, 40))


def test_where_nothing_lasts_there_is_no_speech() -> None:
    assert span("##" + " " * 40) is None
