"""Errors of speakers, on turns whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamer.bench.recordings import Recording, detector, meetings, recording
from streamer.bench.speakers import Run, measure, one_speaker, swaps
from streamer.types import RATE

pytest.importorskip("pyannote.metrics")

TURNS = [(0.0, 6.0, "Ann"), (7.0, 10.0, "Ben")]


def known(turns: list[tuple[float, float, str]] = TURNS) -> Recording:
    return recording("r", np.zeros(10 * RATE, np.float32), turns, None)


def test_a_detector_that_knows_the_turns_misses_nothing() -> None:
    """One speaker for all is confused where the second speaks: 3 of 9 s."""
    r = known()
    row = measure("one", [r], [one_speaker(r)])
    assert row.miss < 2.0
    assert row.confusion == pytest.approx(100 / 3, abs=3.0)
    assert row.speakers == 1.0


def test_right_turns_have_no_error_whatever_the_ids() -> None:
    row = measure("right", [known()], [Run([(0.0, 6.0, "s1"), (7.0, 10.0, "s0")])])
    assert (row.miss, row.false_alarm, row.confusion) == (0.0, 0.0, 0.0)


def test_miss_and_false_alarm_are_told_apart() -> None:
    row = measure("half", [known()], [Run([(0.0, 3.0, "s1"), (6.0, 10.0, "s0")])])
    assert (row.miss, row.false_alarm) == (pytest.approx(100 / 3), pytest.approx(100 / 9))


def test_an_id_that_stands_for_somebody_else_in_a_later_minute_is_a_swap() -> None:
    truth = [(0.0, 120.0, "Ann"), (120.0, 180.0, "Ben")]
    r = Recording("r", np.zeros(180 * RATE, np.float32), truth, [])
    assert swaps(r, [(0.0, 180.0, "s0")]) == 1
    assert swaps(r, [(0.0, 120.0, "s0"), (120.0, 180.0, "s1")]) == 0


def test_no_meetings_and_damaged_turns_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="diarization: no recordings there"):
        list(meetings(tmp_path, detector()))
    soundfile = pytest.importorskip("soundfile")
    folder = tmp_path / "diarization"
    folder.mkdir()
    soundfile.write(folder / "a.flac", np.zeros(RATE), RATE)
    with pytest.raises(ValueError, match=r"a\.rttm: cannot be read"):
        list(meetings(tmp_path, detector()))
    (folder / "a.rttm").write_text("SPEAKER a 1 zero 1\n")
    with pytest.raises(ValueError, match=r"a\.rttm: cannot be read"):
        list(meetings(tmp_path, detector()))
