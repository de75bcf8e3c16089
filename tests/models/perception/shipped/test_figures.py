"""A figure says whether its target is met, and is a row of the form of docs/results.json."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.checkpoint import WEIGHTS, save
from models.perception.shipped.figures import TIMES, Figure, Target, median_and_p95, milliseconds, seed_of

FIGURE = Figure(
    part="text",
    dataset="meld",
    model="shipped",
    protocol="gold words",
    metric="weighted_f1",
    value=61.44449,
    n=10,
    target=Target(62.5),
    parameters=3,
    seed=2,
)


def test_a_target_is_reached_from_its_side() -> None:
    assert Target(62.5).reached(62.5)
    assert not Target(62.5).reached(62.4)
    assert Target(8, at_most=True).reached(8.0)
    assert not Target(8, at_most=True).reached(8.1)
    assert (str(Target(62.5)), str(Target(8, at_most=True))) == (">= 62.5", "<= 8")


def test_a_row_has_what_the_rows_of_the_study_have() -> None:
    row = FIGURE.row("lmam bench perception", "abc")
    study = {"table", "dataset", "model", "fusion", "context", "protocol", "metric", "mean", "std", "seeds"}
    assert study | {"parameters", "target", "commit", "command"} <= set(row)
    assert (row["table"], row["mean"], row["seeds"]) == ("shipped-text", 61.4445, [2])
    assert (row["target"], row["target_is"], row["reached"]) == (62.5, "at least", False)


def test_without_a_target_and_a_seed_the_row_says_so() -> None:
    row = Figure(part="x", dataset="d", model="m", protocol="p", metric="s", value=1.0, n=1).row("c", "a")
    assert (row["target"], row["target_is"], row["reached"], row["seeds"]) == (None, None, None, [])


@pytest.mark.parametrize("meta", [{"seed": 4}, {"metrics": {"seed": 4}}, {"metrics": {"plan": {"seed": 4}}}])
def test_the_seed_is_found_wherever_a_trainer_wrote_it(tmp_path: Path, meta: dict[str, object]) -> None:
    save(tmp_path / "x.safetensors", {}, {"kind": "x", "config": {}, **meta})
    assert seed_of(tmp_path / "x.safetensors") == 4


def test_every_file_that_ships_names_its_seed() -> None:
    assert all(seed_of(WEIGHTS / f"{n}.safetensors") is not None for n in ("text", "voice", "face", "fusion"))


def test_the_first_calls_are_not_timed() -> None:
    seen: list[int] = []
    spent = milliseconds(seen.append, range(7), warm_up=2)
    assert seen == [i for i in range(7) for _ in range(TIMES)]
    assert len(spent) == 5
    assert all(ms >= 0 for ms in spent)
    assert median_and_p95([1.0, 2.0, 3.0]) == pytest.approx((2.0, 2.9))
