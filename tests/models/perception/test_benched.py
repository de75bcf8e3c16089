"""Stored reports of the benchmarks become entries with their targets; a damaged report is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.perception.asked import judged, overview
from models.perception.benched import read, summaries

TOLD = {"command": "python -m benchmarks.x", "commit": "abc"}


def row(name: str, confusion: float, swaps: int = 0) -> dict[str, Any]:
    return {"name": name, "confusion": confusion, "swaps": swaps, "cost": 1.9, "grown": 2.0}


def measure(name: str, whole: float, cut: float) -> dict[str, Any]:
    return {
        "measure": name,
        "correlation": {"whole": whole, "cut": cut, "cut + noise": cut, "untrimmed": 0.1},
    }


REPORTS = {
    "speakers": {
        "rows": [
            row("meetings: ours", 3.5),
            row("readers: one speaker", 65.4),
            row("readers: ours", 1.3),
            row("actors: ours", 40.7, 13),
            row("a reader alone: ours", 11.0),
        ],
        **TOLD,
    },
    "prosody": {"measures": [measure("avg_pitch", 1.0, 0.94), measure("mean_hnr", 0.5, 0.5)], **TOLD},
}


def test_conversations_of_four_and_four_measures_have_targets(tmp_path: Path) -> None:
    for name, report in REPORTS.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(report))
    found = judged(summaries(read(tmp_path)))
    reached = {
        (s["model"], s["protocol"][:9], s["metric"]): s["reached"] for s in found if s["target"] is not None
    }
    assert reached == {
        ("shipped", "4 readers", "confusion, %"): True,
        ("shipped", "4 readers", "ids that changed hands"): True,
        ("shipped", "4 readers", "% of real time"): True,
        ("shipped", "4 actors ", "confusion, %"): False,
        ("shipped", "4 actors ", "ids that changed hands"): False,
        ("shipped", "4 actors ", "% of real time"): True,
        ("voice measures", "whole cli", "avg_pitch, r with Praat"): True,
        ("voice measures", "clips cut", "avg_pitch, r with Praat"): False,
        ("voice measures", "the same ", "avg_pitch, r with Praat"): False,
    }
    assert {s["mean"] for s in found if s["model"] == "one speaker"} == {65.4}
    page = overview(found)
    assert (
        "| speakers | ravdess, asr | 4 readers, 2 x 10 min, past | confusion, % | 1.3 | <= 10 | yes | - |"
        in page
    )
    assert "r with Praat | 0.940 | >= 0.95 | **no** | - |" in page


def test_what_is_not_there_is_no_entry(tmp_path: Path) -> None:
    assert read(tmp_path) == {}
    assert list(summaries({})) == []


@pytest.mark.parametrize("content", ["{", "[]", '{"rows": []}', "3"])
def test_a_report_of_another_form_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "speakers.json").write_text(content)
    with pytest.raises(ValueError, match=r"speakers\.json: not what benchmarks\.speakers --json writes"):
        read(tmp_path)
