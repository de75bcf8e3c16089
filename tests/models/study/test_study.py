"""The plan is sound, and the page is what the stored rows say, whole or not."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import data
from models.study import report
from models.study.plan import SEEDS, Entry, entries, recipe
from models.study.run import chosen, jobs, main
from models.study.words import TABLES
from models.training import rows
from models.training.config import TrainingError
from tests.models.training.corpora import config, leaky


def row(entry: Entry, seed: int, f1: float) -> dict[str, Any]:
    """A stored run of two conversations of ten utterances; ``f1`` is only what it claims."""
    labels = np.tile([0, 1], 10)
    guess = np.where(np.arange(20) < f1 / 5, labels, 1 - labels)
    tally = rows.tally(guess, labels, np.array([10, 10]), 2)
    scores = {"weighted_f1": f1, "macro_f1": f1 - 1}
    return {
        "dataset": entry.config.data.corpus,
        "model": entry.config.model.host,
        "fusion": entry.config.model.fusion,
        "context": "past 16",
        "protocol": "gold words",
        "config": entry.config.model_dump(mode="json", exclude={"seed"}, exclude_defaults=True),
        "seed": seed,
        "key": f"{entry.config.digest()}{seed}",
        "data": "d",
        "parameters": 1000,
        "fusion_parameters": 10,
        "step_ms": 1.0,
        "commit": "c",
        "command": "",
        "dev": scores,
        "test": scores,
        "classes": 2,
        "tally": rows.pack(tally),
        "without": {"text": {"weighted_f1": f1 - 9}},
    }


def test_every_row_is_a_model_that_can_be_built_and_every_table_has_words() -> None:
    from models.fusions import FUSIONS
    from models.hosts import HOSTS

    for e in entries():
        assert e.config.model.fusion in FUSIONS
        assert e.config.model.host in HOSTS
        assert e.table in TABLES
        assert len(e.seeds) >= 5
    names = [(e.table, e.name) for e in entries()]
    assert len(set(names)) == len(names)


def test_pairs_of_a_table_differ_in_the_fusion_alone() -> None:
    by_name = {e.name: e.config for e in entries() if e.table == "mosi-bc-lstm-past"}
    other = by_name["lmam"].replace(**{"model.fusion": "concat"})
    assert other.digest() == by_name["concat"].digest()


def test_tuned_words_are_trained_with_noise() -> None:
    assert recipe("meld", **{"data.text": "tuned"}).train.feature_noise == {"text": 1.0}
    assert recipe("meld", **{"data.text": "frozen"}).train.feature_noise == {}


def test_an_unfinished_study_says_what_it_lacks(tmp_path: Path) -> None:
    planned = [e for e in entries() if e.table == "mosi-bc-lstm-past"][:3]
    stored = [row(planned[0], s, 70 + s) for s in planned[0].seeds] + [row(planned[1], 0, 90.0)]
    for r in stored:
        rows.append(tmp_path / "study-mosi.jsonl", r)
    assert report.main(["--results", str(tmp_path), "--out", str(tmp_path)]) == 0
    page = (tmp_path / "results.md").read_text()
    assert "| concat | 74.5 ± 3.0 |" in page
    assert "(1 of 5 seeds)" in page
    assert "rows have not been run yet" in page
    assert "missing at test time" in page
    listed = json.loads((tmp_path / "results.json").read_text())
    first = next(e for e in listed if e["fusion"] == "concat" and e["metric"] == "weighted_f1")
    assert first["mean"] == pytest.approx(74.5)
    assert first["seeds"] == list(planned[0].seeds)


def test_lmam_is_set_against_its_rivals_host_by_host() -> None:
    planned = [e for e in entries() if e.table == "mosi-bc-lstm-past"]
    by_name = {e.name: e for e in planned}
    stored = [row(by_name["cross-modal-attention"], s, 60.0) for s in range(10)]
    assert report.duels(planned, stored) == ""  # not yet: LMAM has not run
    page = report.duels(planned, [*stored, *(row(by_name["lmam"], s, 90.0) for s in range(9))])
    (line,) = page.splitlines()[2:]
    assert line.startswith("| bc-lstm | cross-modal-attention | 60.0 ± 0.0 | 90.0 ± 0.0 | +30.0 [")
    assert line.endswith(" | 9 | 10 for 10 |")


def test_rows_of_older_data_are_replaced_by_newer_ones() -> None:
    e = entries()[0]
    old, new = row(e, 0, 50.0), {**row(e, 1, 60.0), "data": "newer"}
    assert list(report.by_config([old, new])[e.config.digest()]) == [1]


def test_rows_of_a_task_that_learnt_from_leaks_stay_until_one_without_them_is_stored() -> None:
    of = {"table": "sarcasm", "model": "speaker", "fusion": "none", "protocol": "folds"}
    old = [{**row(entries()[0], seed, 50.0), **of} for seed in (0, 1)]
    new = {**old[0], "leaks": "drop", "test": {"weighted_f1": 60.0}}
    assert "| speaker | none | 50.0" in report.tasks(old)[0]
    (summary,) = report.tasks([*old, new])[1]
    assert (summary["mean"], summary["seeds"]) == (60.0, [0])


def test_labels_that_are_dropped_are_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(data.CORPORA, "toy", lambda folder: leaky())
    some = [Entry("a", "toy", f, config(**{"model.fusion": f}), (0, 1)) for f in ("add", "concat")]
    with caplog.at_level(logging.INFO, "models"):
        assert len(jobs(some, tmp_path, tmp_path)["toy"]) == 4
    (said,) = caplog.messages
    assert "labels dropped that stand in dev or test of toy" in said


def test_an_unknown_table_is_named_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TrainingError, match="mosi-rank"):
        chosen(["nonsense"], "abc")
    assert main(["--data", "/nowhere", "--tables", "mosi-rank"]) == 2
    assert SEEDS == (0, 1, 2, 3, 4)


def test_rows_of_a_table_can_be_chosen_by_name() -> None:
    """What follows the table's name is a row's, or how it begins."""
    rows = chosen(["meld-tuned-past: speaker-gru lmam"], "abc")
    assert {e.table for e in rows} == {"meld-tuned-past"}
    names = {"speaker-gru lmam", "speaker-gru lmam-published", "speaker-gru lmam-low-rank"}
    assert {e.name for e in rows} == names
    assert [e.name for e in chosen(["meld-tuned-past: speaker-gru lmam"], "a")] == ["speaker-gru lmam"]
