"""The next-item study: what it learns, what it stores, and that it does only what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.tasks import train_next_item
from models.tasks.next_item import popularity, read
from models.tasks.train_next_item import CONFIGS, Recipe, Run, Setup, main, measure, plan
from tests.models.tasks.made import clicks, rounds

RECIPE = Recipe(epochs=4, batch=32, lr=0.03, dropout=0.0, negatives=0, dim=16, layers=1, warm_up=1)
SMALL = """
[data]
cut = 6
dev_share = 0.2
[study]
fusions = ["concat", "lmam"]
[train]
epochs = 1
batch = 32
lr = 0.01
dropout = 0.1
negatives = 8
dim = 16
layers = 1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    clicks(tmp_path / "next_item_rec" / "made.npz", rounds(40, 300), rounds(40, 60, seed=1), [1, 2] * 20)
    (tmp_path / "made.toml").write_text(SMALL)
    return tmp_path


def start(folder: Path, *more: str) -> int:
    options = ["--data", str(folder), "--dataset", "made", "--config", str(folder / "made.toml")]
    return main([*options, "--seeds", "0", "--json", str(folder / "rows.jsonl"), *more])


def stored(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("core", "fusion"), [("gru4rec", None), ("sasrec", "lmam")])
def test_what_follows_for_certain_is_learned(folder: Path, core: str, fusion: str | None) -> None:
    """Items in a circle: popularity knows nothing, a model of a few epochs nearly everything."""
    data = read(folder / "next_item_rec" / "made.npz", 6, 0.2)
    run = Run(data, core, fusion, RECIPE, 6, seed=0)
    said = [line for line in run.run() if line]
    assert len(said) == RECIPE.epochs
    found = run.finish()
    assert found["test"]["hr@10"] > 90 > 60 > popularity(data, data.test)["hr@10"]
    assert found["dev"] == measure(run.model, data.dev), "the figures are of the state that dev chose"
    assert 1 <= found["epochs"] <= RECIPE.epochs


def test_a_seed_decides_everything(folder: Path) -> None:
    data = read(folder / "next_item_rec" / "made.npz", 6, 0.2)
    found = []
    for seed in (0, 0, 1):
        run = Run(data, "gru4rec", "concat", RECIPE, 6, seed)
        losses = [line for line in run.run() if line]
        found.append((losses, run.finish()))
    assert found[0] == found[1] != found[2]


def test_every_row_is_stored_once(folder: Path) -> None:
    """Popularity, two baselines, two cores with each of two fusions; a second start adds nothing."""
    assert start(folder) == 0
    rows = stored(folder)
    assert [(r["model"], r["fusion"]) for r in rows] == [
        ("popularity", "none"),
        ("gru4rec", "none"),
        ("sasrec", "none"),
        ("gru4rec", "concat"),
        ("sasrec", "concat"),
        ("gru4rec", "lmam"),
        ("sasrec", "lmam"),
    ]
    assert len({str(r["key"]) for r in rows}) == len(rows)
    for row in rows:
        assert set(row) == {
            *("table", "dataset", "model", "fusion", "context", "protocol", "seed", "parameters"),
            *("fusion_parameters", "dev", "test", "epochs", "seconds", "commit", "key", "command"),
        }
    assert start(folder) == 0
    assert stored(folder) == rows


def test_another_recipe_or_seed_is_another_row(folder: Path) -> None:
    assert start(folder, "--models", "gru4rec") == 0
    (folder / "made.toml").write_text(SMALL.replace("lr = 0.01", "lr = 0.02"))
    assert start(folder, "--models", "gru4rec", "--seeds", "0", "1") == 0
    assert [(r["model"], r["seed"]) for r in stored(folder)] == [
        ("popularity", 0),
        ("gru4rec", 0),
        ("gru4rec", 0),
        ("gru4rec", 1),
    ]


def test_what_was_finished_before_a_stop_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    done = Run.finish

    def stop(run: Run) -> dict[str, object]:
        if run.model.fusion is not None:
            raise KeyboardInterrupt
        return done(run)

    monkeypatch.setattr(train_next_item.Run, "finish", stop)
    assert start(folder) == 130
    assert [r["model"] for r in stored(folder)] == ["popularity", "gru4rec", "sasrec"]
    monkeypatch.undo()
    assert start(folder) == 0
    assert len(stored(folder)) == 7


def test_what_is_not_there_is_named(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert start(folder, "--models", "gru4rec+unheard") == 2
    assert "no model gru4rec+unheard; there are gru4rec, sasrec, gru4rec+concat" in caplog.text
    assert start(folder, "--dataset", "nowhere") == 2
    assert "nowhere.npz: no such file" in caplog.text
    (folder / "made.toml").write_text(SMALL.replace("lr =", "rate ="))
    assert start(folder) == 2
    assert "made.toml: not a configuration of this task" in caplog.text


@pytest.mark.parametrize("name", ["tmall", "diginetica"])
def test_the_configurations_are_read(name: str) -> None:
    setup = Setup.read(CONFIGS / f"{name}.toml")
    assert {"concat", "self-attention", "lmam"} <= set(setup.fusions)
    assert len(plan(setup, [])) == 2 * (1 + len(setup.fusions))
