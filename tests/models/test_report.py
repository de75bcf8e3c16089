"""The page of results says what the rows say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.report import cell, main, read, report, ties


def score(f1: float) -> dict[str, float]:
    return {"weighted_f1": f1, "macro_f1": 40.0, "accuracy": 60.0, "ece": 0.05}


def row(seed: int, f1: float, experiment: str = "meld", variant: str = "full", **more: Any) -> dict[str, Any]:
    return {"experiment": experiment, "variant": variant, "seed": seed, "test": score(f1), **more}


def test_mean_and_deviation() -> None:
    """Two seeds have a deviation, one has none and says so."""
    assert cell([60.0, 62.0], "weighted_f1") == "61.0 ± 1.4"
    assert cell([60.0], "weighted_f1") == "60.0 (one seed)"
    assert cell([0.0512, 0.0512], "ece") == "0.051 ± 0.000"


def test_under_a_point_is_a_tie() -> None:
    """Differences are signed and small ones are named."""
    said = ties([("full", [score(61.0)]), ("words", [score(60.2)]), ("alone", [score(58.0)]), ("none", [])])
    assert "words -0.8 (a tie); alone -3.0." in said


def test_the_last_row_of_a_seed_counts(tmp_path: Path) -> None:
    """A seed trained again replaces itself."""
    path = tmp_path / "meld.jsonl"
    path.write_text("\n".join(json.dumps(r) for r in (row(0, 50.0), row(1, 61.0), row(0, 60.0))))
    assert [r["test"]["weighted_f1"] for r in read(path)] == [60.0, 61.0]


def test_the_page_names_synthetic_rows_and_the_seed_that_ships(tmp_path: Path) -> None:
    """Faces are called synthetic, and the best seed on dev is the one that ships."""
    subsets = {"text+voice": score(60.5), "face (synthetic)": score(55.0)}
    rows = [row(0, 60.0), row(1, 61.0)]
    rows += [{**row(s, 0.0, "fusion", "shipped", chosen_at=50.0 + s), "test": subsets} for s in (0, 1)]
    results, page = tmp_path / "meld.jsonl", tmp_path / "page.md"
    results.write_text("\n".join(map(json.dumps, rows)))
    assert main(["--results", str(results), "--out", str(page)]) == 0
    text = page.read_text()
    assert "| test | 2 | 60.5 ± 0.7 |" in text
    assert "| face (synthetic), test | 2 | 55.0 ± 0.0 |" in text
    assert "are seed 1, the best on dev" in text


def test_a_fusion_that_was_trained_on_ships_and_the_former_stands_beside_it(tmp_path: Path) -> None:
    """The seed that ships is one of those; both tables are there."""
    rows = [row(0, 60.0)]
    for variant, f1 in (("shipped", 61.0), ("refit", 63.0)):
        more = {"chosen_at": 70.0 - f1}
        made = {**row(0, 0.0, "fusion", variant, **more), "test": {"text+voice": score(f1)}}
        rows += [made, {**made, "seed": 4, "chosen_at": 1.0}]
    text = report(rows)
    assert text.index("| text+voice, test | 2 | 63.0") < text.index("| text+voice, test | 2 | 61.0")
    assert "are seed 0, the best on dev: 63.0" in text


def test_what_was_tried_stands_beside_the_same_seeds(tmp_path: Path) -> None:
    """A seed that was not tried is not compared with."""
    full = {"dev": score(58.0), "test_noisy": score(49.0)}
    tried = row(1, 62.5, "meld, heard", heard=700, **full)
    text = report([row(0, 50.0, **full), row(1, 61.5, **full), tried])
    assert "| as it shipped, test | 1 | 61.5" in text
    assert "| tuned once more, test | 1 | 62.5" in text
    assert "of 700 sentences" in text


def test_missing_results_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No file, no page, and the path is in the message."""
    assert main(["--results", str(tmp_path / "none.jsonl"), "--out", str(tmp_path / "page.md")]) == 2
    assert "none.jsonl" in caplog.text
