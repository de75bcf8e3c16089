"""One configuration with one seed to one row, in process and without a trace."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.data.corpus import Corpus
from models.training import rows
from models.training.compare import weighted_f1
from models.training.config import read
from models.training.fit import Fit, scores_of
from models.training.run import data_digest, finish, key, prepare, run
from tests.models.training.corpora import config, corpus

CONFIGS = sorted((Path(__file__).parents[3] / "configs" / "models").glob("*-*.toml"))


@pytest.fixture(scope="module")
def row() -> rows.Row:
    return run(config(), corpus(), 1, command="lmam sweep x.toml")


def test_a_row_has_what_a_table_and_a_comparison_need(row: rows.Row) -> None:
    assert {
        "dataset": "toy",
        "model": "speaker-gru",
        "fusion": "concat",
        "placement": "late",
    }.items() <= row.items()
    assert (row["context"], row["protocol"], row["text"], row["seed"]) == (
        "past 4",
        "gold words",
        "packaged",
        1,
    )
    assert row["command"] == "lmam sweep x.toml"
    assert 0 < row["fusion_parameters"] == 3 * 8 * 8 + 8 < row["parameters"]
    assert row["step_ms"] > 0
    assert row["best_epoch"] <= row["epochs"] <= 5
    for scores in (row["dev"], row["test"], *row["without"].values()):
        assert {"accuracy", "weighted_f1", "macro_f1", "ece", "loss"} == scores.keys()
    assert set(row["without"]) == {"text", "audio", "visual"}
    assert json.loads(json.dumps(row, allow_nan=False)) == row


def test_what_is_measured_is_the_epoch_that_was_best_on_dev() -> None:
    """And not the last one; without a modality the test split is measured as `without` says."""
    run_, prepared = config(**{"train.lr": 0.3, "train.epochs": 8}), prepare(config(), corpus())
    with torch.random.fork_rng(devices=[]):
        fit = Fit(run_, prepared.tensors, 0)
        seen = list(fit.epochs())
        row = finish(run_, prepared, 0, fit, seconds=0)
    best = seen[row["best_epoch"] - 1]
    assert row["best_epoch"] < len(seen)
    assert row["dev"] == pytest.approx(best.dev, abs=1e-4)
    assert row["dev"] != pytest.approx(seen[-1].dev, abs=1e-4)
    silent = prepared.tensors.splits["test"].without("text")
    assert row["without"]["text"] == pytest.approx(scores_of(fit.model, silent), abs=1e-4)
    assert row["without"]["text"] != row["test"]


def test_the_stored_predictions_give_the_stored_scores(row: rows.Row) -> None:
    toy = corpus()
    labels = np.concatenate([c.labels_N for c in toy.splits["test"]])
    accuracy = 100 * (rows.unpack(row["predictions"]) == labels).mean()
    assert accuracy == pytest.approx(row["test"]["accuracy"], abs=1e-3)
    counts = rows.tallies(row)
    assert len(counts) == len(toy.splits["test"])
    assert weighted_f1(counts.sum(0)) == pytest.approx(row["test"]["weighted_f1"], abs=1e-3)


def test_a_run_can_be_repeated_and_leaves_torch_as_it_was(row: rows.Row) -> None:
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    again = run(config(), corpus(), 1, command="lmam sweep x.toml")
    assert torch.equal(torch.rand(3), want)
    differ = {"seconds", "step_ms"}
    assert {k: v for k, v in again.items() if k not in differ} == {
        k: v for k, v in row.items() if k not in differ
    }


def test_full_context_cannot_be_stepped_and_says_so() -> None:
    changes: dict[str, Any] = {"model.context": "full", "model.host": "bc-lstm", "train.epochs": 1}
    row = run(config(**changes), corpus(), 0)
    assert row["context"] == "full"
    assert row["step_ms"] is None


def test_noisy_splits_are_measured_beside_test() -> None:
    toy = corpus()
    shuffled = tuple(c.with_features(text=c.features["text"][::-1].copy()) for c in toy.splits["test"])
    noisy = replace(toy, splits={**toy.splits, "test@0.2": shuffled})
    row = run(config(), noisy, 0)
    assert row["word_errors"].keys() == {"0.2"}
    assert row["word_errors"]["0.2"] != row["test"]


def test_a_run_without_a_test_split_measures_dev() -> None:
    toy = corpus()
    row = run(
        config(**{"train.epochs": 1}), replace(toy, splits={s: toy.splits[s] for s in ("train", "dev")}), 0
    )
    assert "test" not in row
    assert row["dev"]["weighted_f1"] > 0


def test_a_test_split_without_labels_is_not_measured() -> None:
    """Such as that of a challenge."""
    toy = corpus()
    bare = tuple(replace(c, labels_N=np.full(len(c), -1)) for c in toy.splits["test"])
    row = run(config(**{"train.epochs": 1}), replace(toy, splits={**toy.splits, "test": bare}), 0)
    assert "test" not in row
    assert row["dev"]["weighted_f1"] > 0


def test_the_digest_of_data_changes_with_any_of_it() -> None:
    toy = corpus()
    first = toy.splits["test"][0]

    def changed(**values: Any) -> Corpus:
        return replace(
            toy, splits={**toy.splits, "test": (replace(first, **values), *toy.splits["test"][1:])}
        )

    others = [
        changed(labels_N=first.labels_N[::-1].copy()),
        changed(texts=("hm",) * len(first)),
        changed(features={**first.features, "text": first.features["text"] + 1}),
        corpus(seed=1),
    ]
    digests = {data_digest(c) for c in (toy, *others)}
    assert len(digests) == 5
    assert data_digest(toy) == data_digest(corpus())


def test_the_key_is_of_configuration_seed_and_data() -> None:
    keys = {
        key(config(), 0, "a"),
        key(config(), 1, "a"),
        key(config(), 0, "b"),
        key(config(**{"model.dim": 16}), 0, "a"),
    }
    assert len(keys) == 4
    assert key(config(), 0, "a") == key(config(seed=9), 0, "a")


def test_data_is_prepared_once_for_many_runs() -> None:
    prepared = prepare(config(), corpus())
    a, b = (run(config(**{"train.epochs": 1}), d, 0)["test"] for d in (prepared, corpus()))
    assert a == b


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_configuration_of_the_repository_trains(path: Path) -> None:
    """An epoch on made-up conversations; past only as they are, each gives a model that can be stepped."""
    row = run(read(path).replace(**{"train.epochs": 1}), corpus(train=4), 0)
    assert row["epochs"] == 1
    assert row["step_ms"] > 0
