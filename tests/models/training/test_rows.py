"""Rows: compact, appended whole, mended after a kill, read back without the data."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from models.training.config import TrainingError
from models.training.rows import append, commit, pack, read, rounded, tallies, tally, unpack


def test_predictions_come_back_as_they_were() -> None:
    values = np.random.default_rng(0).integers(0, 7, 2610)
    assert np.array_equal(unpack(pack(values)), values)
    assert len(pack(values)) < 1600


def test_what_does_not_fit_into_a_byte_is_refused() -> None:
    with pytest.raises(ValueError, match="300"):
        pack(np.array([300]))


def test_a_tally_counts_each_conversation() -> None:
    guess, label = np.array([0, 1, 1, 2, 0]), np.array([0, 1, 2, -1, 1])
    counts = tally(guess, label, np.array([2, 3]), 3)
    assert counts[0].tolist() == [[1, 1, 0], [1, 1, 0], [1, 1, 0]]
    assert counts[1].tolist() == [[0, 0, 0], [0, 1, 1], [1, 1, 0]]
    row = {"tally": pack(counts), "classes": 3}
    assert np.array_equal(tallies(row), counts)


def test_rows_are_found_again_and_a_repeated_key_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.jsonl"
    assert read(path) == []
    for key, value in (("a", 1), ("b", 2), ("a", 3)):
        append(path, {"key": key, "value": value})
    assert {r["key"]: r["value"] for r in read(path)} == {"a": 3, "b": 2}


def test_half_a_line_is_passed_over_and_cut_off_by_the_next_row(tmp_path: Path) -> None:
    """A kill in the middle of a write costs that row alone."""
    path = tmp_path / "x.jsonl"
    append(path, {"key": "a"})
    with path.open("a") as file:
        file.write('{"key": "b", "sco')
    assert [r["key"] for r in read(path)] == ["a"]
    append(path, {"key": "c"})
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["a", "c"]


def test_a_whole_last_line_without_its_end_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"key": "a"}')
    append(path, {"key": "b"})
    assert [r["key"] for r in read(path)] == ["a", "b"]


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"key": "a"}\nnonsense\n{"key": "b"}\n')
    with pytest.raises(TrainingError, match=r"x\.jsonl:2"):
        read(path)


def test_a_place_that_holds_no_rows_and_takes_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xff\n")
    for path in (tmp_path, tmp_path / "file" / "x.jsonl"):
        with pytest.raises(TrainingError, match="rows cannot be read"):
            read(path)
        with pytest.raises(TrainingError, match="rows cannot be written"):
            append(path, {"key": "a"})
    with pytest.raises(TrainingError, match="file: not a file of rows"):
        read(tmp_path / "file")


def test_writers_at_the_same_time_do_not_mix_lines(tmp_path: Path) -> None:
    """Each opens the file for itself, as processes do: the lock is of the open file."""
    path = tmp_path / "x.jsonl"

    def append_many(name: int) -> None:
        for i in range(40):
            append(path, {"key": f"{name}-{i}", "filler": "x" * 20_000})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(append_many, range(4)))
    assert len(read(path)) == 160
    assert len(path.read_text().splitlines()) == 160


def test_the_commit_is_that_of_this_checkout() -> None:
    assert commit() == "" or len(commit().rstrip("+")) == 10


def test_floats_are_rounded_wherever_they_stand() -> None:
    assert rounded({"a": [1.23456, {"b": (2.00001, 3)}], "c": "text", "d": 7}) == {
        "a": [1.2346, {"b": [2.0, 3]}],
        "c": "text",
        "d": 7,
    }
