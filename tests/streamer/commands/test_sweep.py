"""``lmam sweep`` from the command line: seeds as people write them, rows kept, one table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models import data
from models.data import formats
from models.training import sweep as work
from models.training.config import RunConfig
from models.training.rows import pack
from models.training.sweep import Job, lines
from streamer.commands.sweep import run as sweep
from streamer.commands.sweep import split_arguments, table
from streamer.errors import ConfigError
from tests.models.training.corpora import corpus, leaky, write_toml
from tests.streamer.commands.test_training import TOML, lmam


@pytest.fixture
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    work._kept.cache_clear()
    monkeypatch.setitem(data.CORPORA, "toy", lambda folder: corpus())
    monkeypatch.chdir(tmp_path)
    other = write_toml(tmp_path / "add.toml", TOML.replace("concat", "add"))
    return write_toml(tmp_path / "concat.toml", TOML), other


@pytest.mark.parametrize("seeds", [("0", "1", "2"), ("0-2",), ("0,1,2",), ("0,1", "2")])
def test_seeds_may_be_written_in_any_usual_way(seeds: tuple[str, ...]) -> None:
    """``--seeds 0 1 2`` arrives as one value and two arguments."""
    first, *rest = seeds
    paths, numbers = split_arguments(["a.toml", *rest, "b.toml"], [first])
    assert paths == [Path("a.toml"), Path("b.toml")]
    assert numbers == [0, 1, 2]


@pytest.mark.parametrize("seeds", ["x", "1-", "-3", "4-1", ""])
def test_a_wrong_seed_is_named(seeds: str) -> None:
    with pytest.raises(ConfigError, match="expected numbers, such as"):
        split_arguments(["a.toml"], [seeds])


def test_without_a_configuration_there_is_nothing_to_sweep() -> None:
    with pytest.raises(ConfigError, match="no configuration is named"):
        split_arguments(["1", "2"], ["0"])


def test_a_sweep_keeps_rows_and_prints_one_table(configs: tuple[Path, Path], tmp_path: Path) -> None:
    arguments = ("sweep", *configs, "--seeds", "0", "1", "--data", tmp_path, "--json", "rows.jsonl")
    said = lmam(*arguments)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert {(r["fusion"], r["seed"]) for r in rows} == {("concat", 0), ("concat", 1), ("add", 0), ("add", 1)}
    assert all(word in said for word in ("concat", "add", "baseline", "toy, test", "±", "seed 1"))
    again = lmam(*arguments, "--baseline", configs[1])
    assert "seed 1: dev" not in again
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 4
    line = next(part for part in again.splitlines() if "│ add" in part)
    assert "baseline" in line


def test_a_sweep_says_how_many_labels_are_dropped(
    configs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(data.CORPORA, "toy", lambda folder: leaky())
    said = lmam("sweep", *configs, "--seeds", "0", "--data", tmp_path, "--json", "rows.jsonl")
    assert " ".join(said.split()).count("labels dropped") == 1


def test_a_stopped_sweep_says_where_finished_runs_are(
    configs: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Ctrl-C in the second run: the first is kept."""
    begun: list[Job] = []
    run = work._run

    def stop(job: Job, *arguments: Path) -> dict[str, object]:
        begun.append(job)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return run(job, *arguments)

    monkeypatch.setattr(work, "_run", stop)
    kept = tmp_path / "rows.jsonl"
    with pytest.raises(KeyboardInterrupt):
        sweep([str(c) for c in configs], tmp_path, seeds=["0"], jobs=1, results=kept, baseline=None)
    assert "kept in" in capsys.readouterr().err
    assert len(kept.read_text().splitlines()) == 1


def test_corpora_named_by_their_paths_need_no_data_folder(
    configs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them have to be: one named by what it is called asks for the folder."""
    monkeypatch.delenv("LMAM_DATA", raising=False)
    monkeypatch.setattr(formats, "read", lambda path: corpus())
    (tmp_path / "mine.pkl").touch()
    by_path = write_toml(tmp_path / "mine.toml", TOML.replace('"toy"', '"mine.pkl"'))
    said = lmam("sweep", by_path, "--seeds", "0", "--json", "rows.jsonl")
    assert "mine.pkl, test" in said
    with pytest.raises(ConfigError, match="no data folder is named: --data"):
        lmam("sweep", by_path, configs[0], "--seeds", "0", "--json", "more.jsonl")
    assert not (tmp_path / "more.jsonl").exists()


def test_a_baseline_that_is_not_swept_is_named(configs: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--baseline other: none of concat, add"):
        lmam("sweep", *configs, "--data", tmp_path, "--baseline", "other")


def test_a_narrow_terminal_leaves_out_what_can_be_missed() -> None:
    run = RunConfig.model_validate({"data": {"corpus": "toy"}})
    job = Job("concat", run, 0, "k")
    scores = {"weighted_f1": 61.26, "macro_f1": 50.0, "accuracy": 70.0}
    row = {"key": "k", "seed": 0, "dataset": "toy", "dev": scores, "test": scores, "classes": 1}
    row |= {
        "step_ms": None,
        "parameters": 1234,
        "fusion_parameters": 56,
        "tally": pack(np.ones((4, 3, 1), dtype=np.int64)),
    }
    found = lines([job], [row])
    whole, short = table(found, "toy", 2), table(found, "toy", 2, compact=True)
    titles = [str(c.header) for c in whole.columns]
    assert {"step, ms", "accuracy", "all weights"} <= set(titles)
    assert len(short.columns) == len(titles) - 4
    cells = {str(c.header): next(iter(c.cells)) for c in whole.columns}
    assert cells["seeds"] == "1 of 2"
    assert cells["step, ms"] == "-"
    assert cells["wF1"] == "61.3"
    assert cells[""] == "concat *"
