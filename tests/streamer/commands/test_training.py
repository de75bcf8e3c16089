"""``lmam train`` and ``lmam evaluate`` from the command line: what they print, keep and refuse."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.testing
from rich.console import Console

import models.train
from models import data
from models.checkpoint import CheckpointError
from models.data.corpus import DataError
from models.training import features
from models.training.config import RunsFailedError, TrainingError
from streamer.cli import app
from streamer.commands import training
from streamer.errors import ConfigError, StreamerError
from tests.models.training.corpora import corpus, write_toml

ROOT = Path(__file__).parents[3]
TOML = """
[data]
corpus = "toy"
[model]
fusion = "concat"
dim = 8
[train]
epochs = 2
lr = 1e-2
batch = 4
"""
Run = Callable[..., str]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration of the toy corpus, which lies in the folder of the test."""
    monkeypatch.setitem(data.CORPORA, "toy", lambda folder: corpus())
    monkeypatch.delenv("LMAM_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    return write_toml(tmp_path / "toy.toml", TOML)


def lmam(*arguments: object) -> str:
    """What the command prints; its errors are raised here."""
    runner = typer.testing.CliRunner()
    done = runner.invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(autouse=True)
def extra() -> None:
    pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")


@pytest.mark.timeout(120)  # imports Fabric
def test_train_keeps_a_model_that_evaluate_measures(config: Path, tmp_path: Path) -> None:
    said = lmam("train", config, "--data", tmp_path, "--seed", 4, "--json", "row.json")
    model = tmp_path / "runs" / "toy-seed4" / "model.safetensors"
    assert "epoch 2: loss" in said
    assert "model.safetensors" in said
    row = json.loads((tmp_path / "row.json").read_text())
    assert row["seed"] == 4
    said = lmam("evaluate", model, "--data", tmp_path, "--out", "drawn", "--json", "figures.json")
    assert all(label in said for label in ("calm", "glad", "sad", "weighted_f1", "calibrated"))
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["scores"]["weighted_f1"] == pytest.approx(row["test"]["weighted_f1"], abs=1e-3)
    assert {p.name for p in (tmp_path / "drawn").iterdir()} == {"confusion.png", "reliability.png"}
    said = lmam("evaluate", model, "--data", tmp_path, "--without", "text", "--without", "audio")
    assert "toy-speaker-gru-concat, test, without text and audio, " in " ".join(said.split())


@pytest.mark.timeout(120)  # two Pythons
def test_train_on_two_devices_says_each_epoch_once(
    config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The process of the first device does, straight to the terminal."""
    lmam("train", config, "--data", tmp_path, "--accelerator", "cpu", "--devices", 2)
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("epoch ")]
    assert [line.partition(":")[0] for line in said] == ["epoch 1", "epoch 2"]
    assert "dev weighted F1" in said[0]
    assert said[0].endswith(", best")


@pytest.mark.timeout(120)
def test_a_finished_run_is_refused_without_resume_and_found_with_it(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("train", config, "--data", tmp_path, "--out", "x")
    lmam(*arguments)
    with monkeypatch.context() as patch:
        patch.setattr(features, "open_data", None)  # which may take long, and is not asked for
        with pytest.raises(ConfigError, match="--resume goes on with it"):
            lmam(*arguments)
    assert "epoch 1" not in lmam(*arguments, "--resume")


def test_the_data_folder_may_come_from_the_environment_and_must_be_there(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="no data folder is named: --data"):
        lmam("train", config)
    with pytest.raises(ConfigError, match="nowhere: no such folder"):
        lmam("train", config, "--data", "nowhere")
    monkeypatch.setenv("LMAM_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(ConfigError, match="elsewhere: no such folder"):
        lmam("train", config)


def test_without_the_extra_the_pip_command_is_said(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is a wrong usage, exit code 2: `ConfigError`."""
    import importlib.util

    there = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *a: None if name == "lightning_fabric" else there(name, *a)
    )
    with pytest.raises(ConfigError, match=r"needs lightning_fabric.*pip install 'lmam-streamer\[train\]'"):
        lmam("train", config, "--data", tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TOML.replace("dim", "dimm"), r"unknown key 'model\.dimm'; did you mean model\.dim\?"),
        (TOML.replace('"toy"', '"toyy"'), "no corpus .*'toyy'; there are"),
        (TOML.replace("concat", "concta"), r"toy\.toml: \[model\]: no fusion 'concta'"),
        (TOML.replace('"toy"', '"toy"\ntext = "x"'), r'toy\.toml: data\.text = "x": neither'),
        (
            TOML.replace('"toy"', '"toy"\ntext = "hf:./x"'),
            r"toy\.toml: data\.text: hf:\./x: x is no directory",
        ),
        (TOML.replace("lr = 1e-2", "class_weights = [1]"), r"toy\.toml: train\.class_weights: 1 for 3"),
        (TOML.replace("lr = 1e-2", "lr = 1e-2\n[model.fusion_options]\ndim = 3"), r"toy\.toml: .*'dim'"),
        (f"seed = -1{TOML}", r"toy\.toml: seed: Input should be greater"),
        ("[data", "not readable TOML"),
    ],
)
def test_a_wrong_configuration_is_named(config: Path, tmp_path: Path, text: str, said: str) -> None:
    config.write_text(text)
    with pytest.raises(ConfigError, match=said):
        lmam("train", config, "--data", tmp_path)


@pytest.mark.timeout(120)
def test_a_stopped_run_says_how_to_go_on(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C after the first epoch; with ``--resume`` the second follows."""
    watcher = training._watcher

    def stopping(*arguments: Any) -> Callable[[Any], None]:
        watch = watcher(*arguments)

        def stop(epoch: Any) -> None:
            watch(epoch)
            raise KeyboardInterrupt

        return stop

    options: dict[str, Any] = {"seed": None, "accelerator": "cpu", "devices": 1, "json_file": None}
    monkeypatch.setattr(training, "_watcher", stopping)
    with pytest.raises(KeyboardInterrupt):
        training.train(config, tmp_path, out=tmp_path / "x", resume=False, **options)
    monkeypatch.setattr(training, "_watcher", watcher)
    assert "the same command with --resume goes on" in " ".join(capsys.readouterr().err.split())
    said = lmam("train", config, "--data", tmp_path, "--out", tmp_path / "x", "--resume")
    assert "epoch 1:" not in said
    assert "epoch 2:" in said


@pytest.mark.parametrize("options", [["--accelerator", "gpu"], ["--devices", "2"]])
def test_the_shipped_recipe_says_what_it_does_not_do(tmp_path: Path, options: list[str]) -> None:
    recipe = ROOT / "configs" / "models" / "meld.toml"
    with pytest.raises(ConfigError, match="leave out --accelerator, --devices"):
        lmam("train", recipe, "--data", tmp_path, *options)


def test_the_shipped_recipe_runs_its_two_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of the shipped weights is the same command's; a stage that fails ends it."""
    calls: list[list[str]] = []

    def stage(arguments: list[str]) -> int:
        calls.append(arguments)
        return 0 if len(calls) < 4 else 2

    monkeypatch.setattr(models.train, "main", stage)
    recipe = ROOT / "configs" / "models" / "meld.toml"
    lmam("train", recipe, "--data", tmp_path, "--seed", 3, "--out", tmp_path / "o", "--json", tmp_path / "j")
    assert [c[0] for c in calls] == ["meld", "fusion"]
    parsed = [models.train.parser().parse_args(c) for c in calls]
    assert all((a.data, a.seeds, a.out, a.config) == (tmp_path, [3], tmp_path / "o", recipe) for a in parsed)
    assert all(a.json == tmp_path / "j" for a in parsed)
    with pytest.raises(SystemExit):
        training.shipped(recipe, tmp_path, None, 0)
    assert [c[0] for c in calls[2:]] == ["meld", "fusion"]


def test_weights_of_another_kind_are_led_to_their_own_command(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not a model of 'lmam train'.*models\.evaluate"):
        lmam("evaluate", ROOT / "models" / "weights" / "fusion.safetensors", "--data", tmp_path)
    with pytest.raises(ConfigError, match="no such weight file"):
        lmam("evaluate", tmp_path / "none.safetensors", "--data", tmp_path)


def test_what_is_left_out_of_training_is_said(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "clean", lambda corpus, d: (corpus, ("toy: 7 labels dropped",)))
    assert "7 labels dropped" in lmam("train", config, "--data", tmp_path)


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (TrainingError, ConfigError),
        (DataError, ConfigError),
        (CheckpointError, ConfigError),
        (RunsFailedError, StreamerError),
    ],
)
def test_errors_of_the_library_become_those_of_the_program(
    error: type[Exception], becomes: type[Exception]
) -> None:
    """Exit code 2 where the input is at fault, 1 where runs failed."""
    with pytest.raises(StreamerError, match="like this") as raised, training.worded(Console(stderr=True)):
        raise error("like this")
    assert type(raised.value) is becomes


def test_what_the_library_says_is_said_once_and_from_info_on() -> None:
    """Also where the program itself logs: its handler does not repeat it."""
    out, program, log = io.StringIO(), io.StringIO(), logging.getLogger("models.tune_text")
    handler = logging.StreamHandler(program)
    logging.getLogger().addHandler(handler)
    try:
        with training.logged(Console(file=out, width=200)):
            log.info("dev 61.0")
            log.debug("nobody asked")
        log.error("after it")
    finally:
        logging.getLogger().removeHandler(handler)
    assert " ".join(out.getvalue().split()) == "INFO dev 61.0"
    assert program.getvalue() == "after it\n"
