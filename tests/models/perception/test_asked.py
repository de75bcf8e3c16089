"""Targets stand beside what was measured, and what follows from several rows is counted from them."""

from __future__ import annotations

from typing import Any

import pytest

from models.perception.asked import five_seeds, judged, lost_to_noise, overview


def summary(mean: float, **more: Any) -> dict[str, Any]:
    facts = {"table": "perception-voice", "dataset": "ravdess", "model": "voice", "context": "live"}
    rest = {"protocol": "five folds", "metric": "accuracy", "std": 0.5, "seeds": [0, 1], "target": None}
    return {**facts, **rest, "mean": mean, **more}


@pytest.mark.parametrize(
    ("mean", "more", "met"),
    [
        (60.0, {"target": 60.0}, True),
        (59.9, {"target": 60.0}, False),
        (3.0, {"target": 4.0, "target_is": "at most"}, True),
        (4.1, {"target": 4.0, "target_is": "at most"}, False),
        (4.1, {}, None),
    ],
)
def test_a_target_is_at_least_unless_it_says_otherwise(mean: float, more: dict[str, Any], met: bool) -> None:
    (found,) = judged([summary(mean, **more)])
    assert found["reached"] is met
    assert (found["target_is"] is None) == (met is None)


def test_noise_costs_what_is_missing_of_the_clean_row_of_the_same_way() -> None:
    rows = [
        summary(60.0),
        summary(50.5, protocol="five folds, 10 dB"),
        summary(70.0, context="offline"),
        summary(1.0, model="svm", protocol="five folds, 10 dB"),
        summary(2.0, metric="macro_f1", protocol="five folds, 10 dB"),
    ]
    (lost,) = lost_to_noise(rows)
    assert (lost["mean"], lost["context"], lost["target"], lost["target_is"]) == (9.5, "live", 5.0, "at most")


def score(f1: float) -> dict[str, float]:
    return {"weighted_f1": f1, "ece": f1 / 1000}


def test_meld_is_the_mean_over_fusions_with_their_own_encoders() -> None:
    """Of fusions that were trained on from one before, as the one that ships, where there are such."""
    subsets = ((62.0, 61.0, 50.0), (64.0, 62.0, 52.0))
    rows = [
        {
            "experiment": "fusion",
            "variant": "shipped",
            "seed": seed,
            "test": {"text+voice": score(a), "text": score(b), "voice": score(c)},
        }
        for seed, (a, b, c) in enumerate(subsets)
    ]
    found = list(five_seeds(rows))
    assert [s["mean"] for s in found] == [63.0, 61.5, 1.5, 0.063, pytest.approx(0.0615, abs=0.001), 0.051]
    assert found[0]["seeds"] == [0, 1]
    refit = [{**r, "variant": "refit"} for r in rows]
    further = list(five_seeds([*(rows[0] | {"seed": s} for s in (5, 6)), *refit]))
    assert [s["seeds"] for s in further] == [[0, 1]] * len(found)
    assert "--refit" in further[0]["command"]
    assert "--refit" not in found[0]["command"]
    assert list(five_seeds([])) == []


def test_the_overview_has_a_row_for_every_target_and_no_other() -> None:
    rows = judged([summary(59.0, target=60.0), summary(1.0), summary(61.0, target=60.0, context="offline")])
    page = overview(rows)
    assert page.count("\n| voice |") == 2
    assert "| five folds, live | accuracy | 59.0 ± 0.5 | >= 60 | **no** | 2 |" in page
    assert overview(judged([summary(1.0)])) == ""
