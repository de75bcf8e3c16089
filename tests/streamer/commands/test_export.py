"""``lmam export``: a file beside torch, or one line of what is wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import onnxruntime  # type: ignore[import-untyped]
import pytest
from typer.testing import CliRunner

from models.checkpoint import WEIGHTS
from streamer.cli import app
from streamer.commands.export import export
from streamer.errors import ConfigError

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.timeout(120)  # under 20 s on two quiet cores


def test_the_model_that_ships_is_exported_with_its_facts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a folder that is made, under a name that is shown as it is."""
    path = tmp_path / "new" / "[step].onnx"
    export(None, path, None)
    said = r"\[step\]\.onnx: [\d,]+ bytes; logits at most \d\.\de-0\d from torch's over 40 random utterances"
    assert re.search(said, capsys.readouterr().out)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["lmam"])
    assert about["labels"][0] == "neutral"
    assert about["data_licences"]
    voice = about["config"]["net"]["voice"]  # and a flag that it is there
    assert len(about["config"]["prior"]["measures"]) + voice + 1 == about["inputs"]["audio"]["shape"][0]


@pytest.mark.parametrize(
    ("checkpoint", "turns", "words"),
    [
        (Path("absent.safetensors"), None, r"absent\.safetensors"),
        (WEIGHTS / "face.safetensors", None, "holds weights of kind 'face'"),
        (None, 4, "steps by itself"),
    ],
)
def test_what_cannot_be_exported_is_a_wrong_use(
    tmp_path: Path, checkpoint: Path | None, turns: int | None, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        export(checkpoint, tmp_path / "step.onnx", turns)
    assert not (tmp_path / "step.onnx").exists()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, no folder")
    with pytest.raises(ConfigError, match="cannot be written"):
        export(None, tmp_path / "taken" / "step.onnx", None)
    with pytest.raises(ConfigError, match=r"is a folder; name a file in it, such as .*step\.onnx"):
        export(None, tmp_path, None)


def test_errors_are_seen_on_the_terminal(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streamer", "export", "none", "--out", str(tmp_path / "step.onnx")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "lmam: none: no such weight file; 'lmam models list' shows what there is\n"


@pytest.mark.parametrize("turns", ["0", "-1", "all"])
def test_a_window_of_nothing_is_refused(turns: str) -> None:
    assert CliRunner().invoke(app, ["export", "--turns", turns]).exit_code == 2
