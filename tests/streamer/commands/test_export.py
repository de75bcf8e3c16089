"""``lmam export``: a file beside torch, or one line of what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import onnxruntime  # type: ignore[import-untyped]
import pytest

from models.checkpoint import WEIGHTS
from streamer.commands.export import export
from streamer.errors import ConfigError

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of torch's exporters about themselves
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def test_the_model_that_ships_is_exported_with_its_facts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export(None, tmp_path / "new" / "step.onnx", None)
    assert "from torch's over 40 random utterances" in capsys.readouterr().out
    path = str(tmp_path / "new" / "step.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["lmam"])
    assert about["labels"][0] == "neutral"
    assert about["data_licences"]
    assert len(about["config"]["prior"]["measures"]) == about["inputs"]["audio"]["shape"][0]


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
