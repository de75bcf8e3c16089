"""The table of the voice: folds are put together, seeds are averaged, unfinished seeds are left out."""

from __future__ import annotations

from typing import Any

import pytest

from models.perception.pooled import pooled
from models.perception.report import section


def row(fold: int, seed: int, right: int, wrong: int, model: str = "voice") -> dict[str, Any]:
    live = {"confusion": [[right, wrong], [wrong, right]], "accuracy": 0.0, "macro_f1": 0.0}
    return {
        "table": "perception-voice",
        "dataset": "ravdess",
        "protocol": "folds",
        "model": model,
        "fold": fold,
        "seed": seed,
        "parameters": 1234,
        "commit": "abc",
        "command": "python -m x",
        "test": {"live": live, "live, 10 dB": live},
    }


def test_clips_of_all_folds_count_alike() -> None:
    text, summaries = section([row(0, 0, 30, 10), row(1, 0, 0, 20)])
    assert "| RAVDESS, 8 classes | voice network | live | 50.0 | 55 |" in text
    (accuracy,) = [s for s in summaries if s["metric"] == "accuracy" and s["protocol"] == "folds"]
    assert accuracy["mean"] == pytest.approx(50.0)
    assert accuracy["std"] is None
    assert accuracy["target"] == 55.0


def test_seeds_are_averaged_and_one_without_all_folds_is_left_out() -> None:
    rows = [row(0, 0, 3, 1), row(1, 0, 3, 1), row(0, 1, 1, 1), row(1, 1, 1, 1), row(0, 2, 9, 0)]
    assert list(pooled(rows, "live")) == [0, 1]
    text, _ = section(rows)
    assert "62.5 ± 17.7" in text


def test_the_baseline_has_no_target_and_ways_it_does_not_know_are_no_rows() -> None:
    text, summaries = section([row(0, 0, 3, 1, model="mfcc-svm")])
    assert "| RAVDESS, 8 classes | MFCC statistics + SVM | live | 75.0 | - |" in text
    assert "offline |" not in text
    assert {s["target"] for s in summaries} == {None}


def test_without_rows_there_is_no_section() -> None:
    assert section([]) == ("", [])


def both(
    fold: int, right: int, model: str = "lmam-all-memories", ways: tuple[str, ...] = ("live",)
) -> dict[str, Any]:
    one = {"confusion": [[right, 1], [1, right]]}
    found = {way + subset: one for way in ways for subset in ("", ", voice", ", action units")}
    return {**row(fold, 0, 1, 1, model), "table": "perception-ravdess", "test": found}


def test_voice_and_action_units_have_a_table_of_their_own_beside_that_of_the_voice() -> None:
    text, summaries = section([both(0, 3), both(1, 1), both(0, 9, "svm"), both(1, 9, "svm"), row(0, 0, 3, 1)])
    assert text.index("### Voice\n") < text.index("### Voice and action units on RAVDESS")
    assert "| LMAM, as in the model that ships | both | 66.7 | - | - |" in text
    assert "| SVM | voice | 90.0 |" in text
    goals = {
        (s["model"], s["context"], tuple(s["modalities"])): s["target"]
        for s in summaries
        if s["table"] == "perception-ravdess" and s["target"]
    }
    assert goals == {("lmam-all-memories", "live", ("voice", "action units")): 72.0}
