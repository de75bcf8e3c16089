"""`lmam bench params` prints what `models.cost` works out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.fusions import FUSIONS
from streamer.cli import app
from streamer.commands import bench
from streamer.errors import ConfigError, StreamerError


def test_every_fusion_stands_in_the_table_and_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "cost.json"
    sizes = ["--dim", "64", "--modalities", "2", "--window", "4"]
    done = CliRunner().invoke(app, ["bench", "params", *sizes, "--json", str(file)], env={"COLUMNS": "120"})
    assert done.exit_code == 0, done.output
    assert all(name in done.output for name in FUSIONS)
    assert "2 modalities of width 64, 4 utterances" in done.output
    stored = json.loads(file.read_text())
    rows = {row["name"]: row for row in stored["fusions"]}
    assert stored["self_attention_weights"] == 3 * 64**2
    assert rows["lmam-low-rank"]["parameters"] == 2 * 64 * 16
    assert rows["lmam-published"]["share"] == pytest.approx(1 / 3)
    assert "1/3" in done.output


def test_sizes_that_cannot_be_are_an_error_of_usage() -> None:
    with pytest.raises(ConfigError, match=r"width 4: .*set --dim"):
        bench.params(4, 3, 16, None)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StreamerError, match="cannot be written"):
        bench.params(64, 3, 16, tmp_path / "file" / "cost.json")
