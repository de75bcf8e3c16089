"""The table of valence and arousal: seeds are averaged, rows of former encoders are left out."""

from __future__ import annotations

from typing import Any

import pytest

from models.perception import affect_report, report


def row(model: str, seed: int, valence: float, text: str = "new", **more: Any) -> dict[str, Any]:
    scores = {"valence": valence, "arousal": 0.5}
    return {
        "table": "perception-affect",
        "dataset": "emobank",
        "encoders": {"text": text, "fusion": "f"},
        "model": model,
        "seed": seed,
        "parameters": 37_000,
        "commit": "abc",
        "command": "python -m x",
        "test": {"alone": scores, "misheard": scores},
        **more,
    }


def test_seeds_are_averaged_and_the_targets_stand_below() -> None:
    text, summaries = affect_report.part([row("head", 0, 0.70), row("head", 1, 0.72)])
    line = next(one for one in text.splitlines() if one.startswith("| head"))
    assert "| 0.710 ± 0.014 | 0.500 ± 0.000 |" in line
    assert line.endswith("| 2 | 37,000 |")
    assert "| must reach | 0.70 | 0.45 | - | - |" in text
    alone = {s["metric"]: s for s in summaries if s["context"] == "alone"}
    assert alone["valence_r"]["mean"] == pytest.approx(0.71)
    assert (alone["valence_r"]["target"], alone["arousal_r"]["target"]) == (0.70, 0.45)
    assert {s["target"] for s in summaries if s["context"] == "misheard"} == {None}


def test_rows_of_another_encoder_than_the_last_rows_are_left_out() -> None:
    found = [row("head", 0, 0.1, "old"), row("label-map", 0, 0.6, "old"), row("head", 0, 0.7)]
    text, summaries = affect_report.part(found)
    assert "0.700" in text
    assert "0.100" not in text
    assert "map of the seven labels" not in text
    assert "Text encoder new, fusion f" in " ".join(text.split())
    assert {s["encoders"]["text"] for s in summaries} == {"new"}


def test_a_condition_that_a_model_does_not_have_is_a_dash() -> None:
    bare = row("label-map", 0, 0.6)
    del bare["test"]["misheard"]
    text, _ = affect_report.part([bare, row("head", 0, 0.7)])
    assert next(t for t in text.splitlines() if t.startswith("| map")).count("| - | - |") == 1


@pytest.mark.parametrize(("gain", "said"), [(0.001, True), (0.02, False)])
def test_a_mixture_is_said_to_be_no_better_only_where_it_is_not(gain: float, said: bool) -> None:
    tried = {s: {"valence": 0.7 + g, "arousal": 0.5 + g} for s, g in (("0.0", 0.0), ("0.1", gain))}
    text, _ = affect_report.part([row("head", 0, 0.7, mixed=tried)])
    assert ("no better on dev" in text) is said
    assert ("0% 0.600, 10% 0.601" in text) is said


def test_the_section_has_it_under_its_own_title() -> None:
    text, summaries = report.section([row("head", 0, 0.7)])
    assert text.startswith("### Valence and arousal\n")
    assert "### Voice" not in text
    assert len(summaries) == 4
