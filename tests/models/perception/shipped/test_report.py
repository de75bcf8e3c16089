"""The tables of what ships say the target and whether it is reached; a damaged file is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.perception.shipped.report import PARTS, read, section
from streamer.bench.perception import PARTS as MEASURED
from tests.models.perception.shipped.test_figures import FIGURE

ROW = FIGURE.row("lmam bench perception --data DATA", "abc")


def test_a_row_says_the_target_and_whether_it_is_reached() -> None:
    text = section([ROW, {**ROW, "mean": 63.0, "reached": True}])
    assert "| meld | gold words | shipped | weighted_f1 | 61.4 | >= 62.5 | **no** | 10 | 2 |" in text
    assert "| 63.0 | >= 62.5 | yes |" in text
    assert "`lmam bench perception --data DATA --json results/perception.json`" in text


def test_costs_have_three_places_and_a_baseline_has_neither_target_nor_seed() -> None:
    facts = {"metric": "ms a step", "mean": 0.36512, "target": None, "reached": None, "seeds": []}
    assert "| ms a step | 0.365 | - | - | 10 | - |" in section([{**ROW, **facts}])


def test_every_part_that_is_measured_has_a_table() -> None:
    assert set(PARTS) == {*MEASURED, "bench"}
    for part in PARTS:
        assert PARTS[part][0] in section([{**ROW, "table": f"shipped-{part}"}])


def test_without_rows_there_is_no_section(tmp_path: Path) -> None:
    assert section(read(tmp_path / "none.json")) == ""


@pytest.mark.parametrize("content", ["{", '[{"table": "meld"}]', "[1]", '{"a": 1}'])
def test_a_file_of_another_form_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "p.json").write_text(content)
    with pytest.raises(ValueError, match=r"p\.json: not what 'lmam bench perception"):
        read(tmp_path / "p.json")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps([ROW]))
    assert read(tmp_path / "p.json") == [ROW]
