"""Sweeps: only what is missing is run, everything finished is kept, and the table compares like with like."""

from __future__ import annotations

import logging
import multiprocessing
import signal
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import data
from models.data.corpus import Corpus
from models.training import rows
from models.training import sweep as module
from models.training.config import RunConfig, TrainingError
from models.training.rows import Row
from models.training.run import run
from models.training.sweep import Job, Line, forkserver, lines, plan, sweep
from models.training.train import launch
from tests.data import shared_data
from tests.models.training.corpora import config, corpus, leaky

TWO = (
    ("concat", config(**{"train.epochs": 1})),
    ("add", config(**{"train.epochs": 1, "model.fusion": "add"})),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    module._kept.cache_clear()
    monkeypatch.setitem(data.CORPORA, "toy", lambda folder: corpus())
    return tmp_path


def jobs(folder: Path, seeds: tuple[int, ...] = (0, 1)) -> list[Job]:
    return plan(TWO, seeds, folder, folder, "lmam sweep")


def test_every_configuration_runs_with_every_seed_and_each_row_is_kept_at_once(folder: Path) -> None:
    path = folder / "x.jsonl"
    kept: list[int] = []
    found = sweep(jobs(folder), folder, path, watch=lambda job, row: kept.append(len(rows.read(path))))
    assert kept == [1, 2, 3, 4]
    assert [(r["fusion"], r["seed"]) for r in found] == [("concat", 0), ("concat", 1), ("add", 0), ("add", 1)]
    assert all(r["command"] == "lmam sweep" for r in found)


def test_rows_that_are_dropped_are_said_once_for_configurations_of_the_same_data(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(data.CORPORA, "toy", lambda folder: leaky())
    with caplog.at_level(logging.INFO, "models"):
        jobs(folder)
    (said,) = caplog.messages
    assert "labels dropped that stand in dev or test of toy" in said


def test_only_what_is_missing_is_run(folder: Path) -> None:
    path = folder / "x.jsonl"
    missing: list[int] = []
    sweep(jobs(folder, (0,)), folder, path)
    before = path.read_text()
    found = sweep(jobs(folder), folder, path, begin=missing.append)
    assert missing == [2]
    assert len(found) == 4
    assert path.read_text().startswith(before)
    sweep(jobs(folder), folder, path, begin=missing.append, watch=lambda *_: pytest.fail("ran again"))
    assert missing == [2, 0]


def test_what_was_done_before_an_interruption_stays(folder: Path) -> None:
    path = folder / "x.jsonl"

    def interrupt(job: Job, row: Row) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(jobs(folder), folder, path, watch=interrupt)
    assert len(rows.read(path)) == 1
    assert len(sweep(jobs(folder), folder, path)) == 4


def test_a_run_that_fails_does_not_stop_the_others(folder: Path) -> None:
    wrong = ("wrong", config(**{"model.fusion": "concta"}))
    planned = plan((wrong, *TWO), (0,), folder, folder)
    with pytest.raises(
        TrainingError, match=r"1 of 3 runs failed: wrong seed 0: \[model\]: no fusion 'concta'"
    ):
        sweep(planned, folder, folder / "x.jsonl")
    assert len(rows.read(folder / "x.jsonl")) == 2


def test_a_configuration_that_the_data_does_not_fit_is_named_before_anything_runs(folder: Path) -> None:
    wrong = ("wrong", config(**{"data.text": "nowhere"}))
    with pytest.raises(TrainingError, match=r'wrong: data\.text = "nowhere"'):
        plan((*TWO, wrong), (0,), folder, folder)


def test_rows_that_cannot_be_kept_are_not_trained_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a file made for which nothing is missing."""
    monkeypatch.setattr(module, "_run", lambda *_: pytest.fail("trained"))
    monkeypatch.setattr(rows, "read", lambda path: [])
    with pytest.raises(TrainingError, match="rows cannot be written"):
        sweep(jobs(folder), folder, folder)
    assert sweep([], folder, folder) == []


def test_a_run_that_diverges_is_a_run_that_fails(folder: Path) -> None:
    """What is not a number is not written as a row, and the rows of the others are."""
    wild = ("wild", config(**{"train.lr": 1e30}))
    with pytest.raises(TrainingError, match="1 of 3 runs failed: wild seed 0: epoch 1: the loss of dev"):
        sweep(plan((wild, *TWO), (0,), folder, folder), folder, folder / "x.jsonl")
    assert len(rows.read(folder / "x.jsonl")) == 2


@pytest.mark.parametrize("error", [RuntimeError, MemoryError])
def test_a_run_that_memory_does_not_suffice_for_fails_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def short(job: Job, *arguments: Path) -> Row:
        if job.name == "add":
            raise error
        return train(job, *arguments)

    train = module._run
    monkeypatch.setattr(module, "_run", short)
    with pytest.raises(TrainingError, match=f"1 of 2 runs failed: add seed 0: {error.__name__}"):
        sweep(plan(TWO[::-1], (0,), folder, folder), folder, folder / "x.jsonl")
    assert len(rows.read(folder / "x.jsonl")) == 1


def test_data_is_read_once_for_configurations_that_read_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Path] = []

    def read(folder: Path) -> Corpus:
        reads.append(folder)
        return corpus()

    monkeypatch.setitem(data.CORPORA, "toy", read)
    sweep(jobs(folder), folder, folder / "x.jsonl", cache=folder)
    assert len(reads) == 1


@pytest.mark.timeout(120)  # imports Fabric
def test_a_sweep_computes_in_the_precision_of_its_configuration(folder: Path) -> None:
    """As `lmam train` does, to the bit."""
    pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")
    mixed = config(**{"train.precision": "bf16-mixed"})
    planned = plan([("mixed", mixed), TWO[0]], (0,), folder, folder)
    found = sweep(planned, folder, folder / "x.jsonl")
    alone = launch(mixed, module.data_of(mixed, folder, folder), 0, folder / "alone", accelerator="cpu")
    assert found[0]["dev"] == alone["dev"]
    float32 = mixed.replace(**{"train.precision": "32-true"})
    assert found[0]["dev"]["loss"] != run(float32, corpus(), 0)["dev"]["loss"]


def test_a_precision_whose_package_is_missing_is_named_before_anything_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None)
    with pytest.raises(TrainingError, match="mixed: training needs lightning_fabric"):
        plan([*TWO, ("mixed", config(**{"train.precision": "bf16-mixed"}))], (0,), folder, folder)


def mosi(seeds: tuple[int, ...], cache: Path) -> tuple[list[Job], Path]:
    """Real data, as other processes know nothing of a reader that a test brought."""
    folder = shared_data("mosi").parent
    small: dict[str, Any] = {"model.dim": 8, "train.epochs": 1, "model.fusion": "concat"}
    wanted = RunConfig.model_validate({"data": {"corpus": "mosi"}}).replace(**small)
    return plan([("mosi", wanted)], seeds, folder, cache), folder


@pytest.mark.timeout(120)  # a server that forks, and two processes
def test_processes_share_the_work_and_give_the_same_rows(tmp_path: Path) -> None:
    planned, folder = mosi((0, 1), tmp_path)
    many = sweep(planned, folder, tmp_path / "many.jsonl", processes=2)
    one = sweep(planned[:1], folder, tmp_path / "one.jsonl")
    assert {r["seed"] for r in many} == {0, 1}
    again = next(r for r in many if r["seed"] == 0)
    assert again["test"] == one[0]["test"]


@pytest.mark.timeout(120)
def test_a_process_that_dies_ends_the_sweep_with_words_and_costs_no_finished_row(tmp_path: Path) -> None:
    planned, folder = mosi(tuple(range(8)), tmp_path)

    def kill(job: Job, row: Row) -> None:
        for process in multiprocessing.active_children():
            process.kill()

    with pytest.raises(TrainingError, match="a process of the sweep died"):
        sweep(planned, folder, tmp_path / "x.jsonl", processes=2, watch=kill)
    assert 1 <= len(rows.read(tmp_path / "x.jsonl")) < 8


@pytest.mark.timeout(120)
def test_no_process_of_a_sweep_hears_of_ctrl_c() -> None:
    """From its first moment on: the mask is that of the server which made it. Here it is as it was."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with ProcessPoolExecutor(1, forkserver()) as pool:
        assert signal.SIGINT in pool.submit(signal.pthread_sigmask, signal.SIG_BLOCK, ()).result()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def row(job: Job, dev: float, right: int) -> Row:
    """A made-up result: ``right`` of ten utterances of each of ten conversations, one class."""
    counts = np.tile([[right], [10], [right]], (10, 1, 1))
    scores = {"weighted_f1": 10.0 * right, "macro_f1": 1.0, "accuracy": 1.0}
    facts = {"key": job.key, "seed": job.seed, "dataset": job.config.data.corpus, "classes": 1}
    return {**facts, "dev": {"weighted_f1": dev}, "test": scores, "tally": rows.pack(counts)}


def job(name: str, seed: int, corpus: str = "toy") -> Job:
    return Job(name, config(**{"data.corpus": corpus}), seed, f"{name} {seed}")


def test_the_table_compares_with_the_first_and_marks_the_best_on_dev() -> None:
    planned = [job(name, seed) for name in ("a", "b", "c") for seed in (0, 1)]
    scores = {"a": (70, 5), "b": (75, 7), "c": (60, 5)}
    found = [row(j, scores[j.name][0] + j.seed, scores[j.name][1]) for j in planned[:-1]]
    a, b, c = lines(planned, found)
    assert a.comparison is None
    assert b.comparison is not None
    assert b.comparison.verdict == "better"
    assert c.comparison is not None
    assert c.comparison.verdict == "tie"
    assert [line.chosen for line in (a, b, c)] == [False, True, False]
    assert (b.mean("dev", "weighted_f1"), len(c.rows)) == (75.5, 1)
    assert b.spread("dev", "weighted_f1") == pytest.approx(0.5**0.5)
    assert c.spread("dev", "weighted_f1") == 0


def test_another_baseline_can_be_named() -> None:
    planned = [job(name, 0) for name in ("a", "b")]
    found = [row(j, 50, 5 if j.name == "a" else 7) for j in planned]
    a, b = lines(planned, found, "b")
    assert b.comparison is None
    assert a.comparison is not None
    assert a.comparison.verdict == "worse"
    with pytest.raises(TrainingError, match="--baseline 'z': none of a, b"):
        lines(planned, found, "z")


def test_rows_of_other_data_or_seeds_are_not_compared() -> None:
    planned = [job("a", 0), job("b", 1), job("c", 0, "other")]
    found: list[Line] = lines(planned, [row(j, 50, 5) for j in planned])
    assert [line.comparison for line in found] == [None, None, None]
    assert lines(planned, []) == []
