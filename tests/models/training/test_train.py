"""A run in a folder: killed anywhere and gone on with, it ends as the one that was left alone."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models.training import store
from models.training import train as module
from models.training.config import RunConfig, TrainingError
from models.training.fit import Epoch
from models.training.run import prepare
from models.training.train import METRICS, MODEL, ROW, STATE, launch, train
from tests.models.training.corpora import config, corpus

ROOT = Path(__file__).parents[3]
KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from models.training.run import prepare
from models.training.train import train
from tests.models.training.corpora import config, corpus

def watch(epoch):
    if epoch.number == 3:
        os.kill(os.getpid(), signal.SIGKILL)

train(config(), prepare(config(), corpus()), 0, Path(sys.argv[1]), watch=watch)
"""


@pytest.mark.timeout(120)  # a Python of its own
def test_a_killed_run_goes_on_to_the_same_end(tmp_path: Path) -> None:
    """SIGKILL after the third epoch; weights, figures and log are those of an uninterrupted run."""
    torch.set_num_threads(1)  # sums of several threads differ in the last bit from those of one
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    prepared = prepare(config(), corpus())
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(killed)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (killed / MODEL).exists()
    later: list[Epoch] = []
    row = train(config(), prepared, 0, killed, resume=True, watch=later.append)
    want = train(config(), prepared, 0, whole)
    assert [e.number for e in later] == [4, 5]
    timed = ("seconds", "step_ms")
    assert {**row, **dict.fromkeys(timed)} == {**want, **dict.fromkeys(timed)}
    a, b = load_file(str(killed / MODEL)), load_file(str(whole / MODEL))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert (killed / METRICS).read_text() == (whole / METRICS).read_text()


def test_a_folder_holds_logs_row_and_model(tmp_path: Path) -> None:
    row = train(config(), prepare(config(), corpus()), 2, tmp_path, command="lmam train x.toml")
    lines = list(csv.DictReader((tmp_path / METRICS).read_text().splitlines()))
    assert [line["epoch"] for line in lines] == ["1", "2", "3", "4", "5"][: row["epochs"]]
    assert {"train_loss", "lr", "dev_weighted_f1", "dev_loss", "best"} <= lines[0].keys()
    assert lines[row["best_epoch"] - 1]["best"] == "1"
    assert list(tmp_path.glob("events.out.tfevents.*"))
    assert json.loads((tmp_path / ROW).read_text()) == row
    assert store.load(tmp_path / MODEL).meta["seed"] == 2
    assert not list(tmp_path.glob("*.part"))


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    prepared = prepare(config(), corpus())
    seen: list[Epoch] = []
    row = train(config(), prepared, 0, tmp_path)
    again = train(config(), prepared, 0, tmp_path, resume=True, watch=seen.append)
    assert not seen
    assert again["test"] == row["test"]


def test_a_run_is_never_overwritten_and_never_mixed_with_another(tmp_path: Path) -> None:
    short = config(**{"train.epochs": 1})
    prepared = prepare(short, corpus())
    train(short, prepared, 0, tmp_path)
    with pytest.raises(TrainingError, match="--resume goes on with it"):
        train(short, prepared, 0, tmp_path)
    for other, seed in ((short, 1), (config(), 0)):
        with pytest.raises(TrainingError, match="another configuration, seed or data"):
            train(other, prepared, seed, tmp_path, resume=True)


def test_a_model_whose_state_is_gone_is_not_written_over(tmp_path: Path) -> None:
    short = config(**{"train.epochs": 1})
    train(short, prepare(short, corpus()), 0, tmp_path)
    (tmp_path / STATE).unlink()
    for resume in (False, True):
        with pytest.raises(TrainingError, match=r"holds a model without last\.pt; --out names another"):
            train(short, prepare(short, corpus()), 0, tmp_path, resume=resume)


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    (tmp_path / STATE).write_bytes(b"half a st")
    with pytest.raises(TrainingError, match=r"last\.pt: not the state of a run"):
        train(config(), prepare(config(), corpus()), 0, tmp_path, resume=True)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="cannot be written"):
        train(config(), prepare(config(), corpus()), 0, tmp_path / "file" / "run")


@pytest.mark.timeout(120)  # imports Fabric
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_fabric_trains_as_the_plain_engine_does(tmp_path: Path, precision: str) -> None:
    """To the bit in float32; in mixed precision it still learns."""
    pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")
    run = config(**{"train.precision": precision, "train.epochs": 8})
    prepared = prepare(run, corpus(train=24))
    row = launch(run, prepared, 0, tmp_path / "fabric", accelerator="cpu")
    plain = train(run, prepared, 0, tmp_path / "plain")
    if precision == "32-true":
        assert row["test"] == plain["test"]
    else:
        assert row["dev"] != plain["dev"]
        assert row["test"]["weighted_f1"] > 70


@pytest.mark.timeout(120)  # two Pythons
def test_two_devices_train_one_model_together(tmp_path: Path) -> None:
    """DDP over two processes; without dropout the model is that of one device, but for the order of sums."""
    pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")
    run = config(**{"model.dropout": 0.0, "train.epochs": 2, "train.batch": 5})
    prepared = prepare(run, corpus())
    row = launch(run, prepared, 0, tmp_path / "two", accelerator="cpu", devices=2)
    alone = train(run, prepared, 0, tmp_path / "one")
    assert row["dev"] == pytest.approx(alone["dev"], rel=1e-3)
    a, b = (load_file(str(tmp_path / name / MODEL)) for name in ("one", "two"))
    for name, want in a.items():
        torch.testing.assert_close(b[name], want, atol=1e-4, rtol=1e-3)


ALONE = """
import sys
from pathlib import Path
from models.training.run import prepare
from models.training.train import launch
from tests.models.training.corpora import config, corpus
from tests.models.training.test_train import kill_parent

if __name__ == "__main__":
    data = prepare(config(), corpus())
    launch(config(), data, 0, Path(sys.argv[1]), accelerator="cpu", devices=2, watch=kill_parent)
"""


def kill_parent(epoch: Epoch) -> None:
    """In a worker; then it is busy for longer than the test waits, and deaf to the SIGINT that torch has sent
    when a parent dies, as it is while it waits for the others in C++."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(300)


@pytest.mark.timeout(180)  # three Pythons
def test_no_worker_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    """Whoever lives holds the pipe of the output open, and `communicate` waits for its end."""
    pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")
    script = tmp_path / "alone.py"  # as the workers read their main module again
    script.write_text(ALONE)
    command = [sys.executable, str(script), str(tmp_path / "run")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        said, _ = process.communicate(timeout=150)
    assert process.returncode == -signal.SIGKILL, said


@pytest.mark.timeout(120)  # imports Fabric
def test_what_is_wrong_is_named_before_there_are_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")
    short, wrong = config(**{"train.epochs": 1}), config(**{"model.host": "speaker-grew"})
    prepared = prepare(short, corpus())
    train(short, prepared, 1, tmp_path / "one")
    (tmp_path / "file").touch()
    monkeypatch.setattr(module, "_on_each", lambda *_: pytest.fail("a process began"))

    def together(run: RunConfig, seed: int, folder: Path, *, resume: bool = False) -> None:
        launch(run, prepared, seed, folder, accelerator="cpu", devices=2, resume=resume)

    before = torch.get_rng_state()
    with pytest.raises(TrainingError, match=r"\[model\]: no host 'speaker-grew'"):
        together(wrong, 0, tmp_path / "new")
    with pytest.raises(TrainingError, match="another configuration, seed or data"):
        together(short, 0, tmp_path / "one", resume=True)
    with pytest.raises(TrainingError, match="cannot be written"):
        together(short, 0, tmp_path / "file" / "run")
    assert torch.equal(torch.get_rng_state(), before)
    assert not (tmp_path / "new").exists()


@pytest.mark.timeout(120)  # two Pythons
def test_what_goes_wrong_on_devices_later_is_named_too(tmp_path: Path) -> None:
    pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")
    wild = config(**{"train.lr": 1e30})
    with pytest.raises(TrainingError, match="epoch 1: the loss of dev"):
        launch(wild, prepare(wild, corpus()), 0, tmp_path, accelerator="cpu", devices=2)
