"""Rows of the other tasks: what makes two runs the same, and how they are kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.tasks.rows import Rows, command, key
from models.training.config import TrainingError


def test_a_key_changes_with_any_fact_but_not_with_their_order() -> None:
    assert key({"a": 1, "b": [2, 3]}) == key({"b": [2, 3], "a": 1})
    assert len({key({"a": 1, "b": 2}), key({"a": 2, "b": 2}), key({"a": 1})}) == 3


def test_a_stored_row_is_known_to_the_next_who_opens_the_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "rows.jsonl"
    first = Rows(path)
    assert "one" not in first
    stored = first.append({"key": "one", "test": {"hr@10": 12.345678}})
    assert "one" in first
    assert stored["test"]["hr@10"] == 12.3457
    assert stored["commit"]
    again = Rows(path)
    assert "one" in again
    assert again.rows == [stored] == [json.loads(path.read_text())]


def test_without_a_file_rows_are_kept_in_memory() -> None:
    rows = Rows(None)
    rows.append({"key": "one"})
    assert "one" in rows
    assert len(rows.rows) == 1


def test_a_row_that_a_kill_cut_off_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    Rows(path).append({"key": "one"})
    path.write_text(path.read_text() + '{"key": "tw')
    rows = Rows(path)
    assert "one" in rows
    assert "two" not in rows
    rows.append({"key": "two"})
    assert [row["key"] for row in Rows(path).rows] == ["one", "two"]


def test_a_line_that_is_no_row_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"key": "one"}\nnonsense\n{"key": "two"}\n')
    with pytest.raises(TrainingError, match=r"rows\.jsonl:2"):
        Rows(path)


def test_a_command_can_be_pasted_into_a_shell() -> None:
    assert command("models.tasks.x", ["--fusions", "utterance alone"]) == (
        "python -m models.tasks.x --fusions 'utterance alone'"
    )


def test_a_command_tells_no_place_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checkout").mkdir()
    monkeypatch.chdir(tmp_path / "checkout")
    data = tmp_path / "shared" / "data"
    spoken = command("models.tasks.x", ["--data", str(data), f"--data={data}"])
    assert spoken == "python -m models.tasks.x --data ../shared/data --data=../shared/data"
