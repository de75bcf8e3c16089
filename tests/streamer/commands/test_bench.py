"""`lmam bench params` prints what `models.cost` works out."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from models.cost import table
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
    assert done.output.count("rank 16") == 2  # once of each form that has a rank
    assert "2 modalities of width 64, 4 utterances" in done.output
    stored = json.loads(file.read_text())
    rows = {row["name"]: row for row in stored["fusions"]}
    assert stored["self_attention_weights"] == 3 * 64**2
    assert rows["lmam-low-rank, rank 16"]["parameters"] == 2 * 64 * 16
    assert rows["lmam-published"]["share"] == pytest.approx(1 / 3)
    assert "1/3" in done.output


@pytest.mark.parametrize(("dim", "width"), [(512, 80), (1024, 80), (512, 60), (64, 120)])
def test_no_name_and_no_number_is_broken(dim: int, width: int) -> None:
    """A narrow terminal has fewer columns, each of them whole."""
    costs, _ = table(dim=dim)
    console = Console(width=width, file=io.StringIO())
    console.print(bench.fitting(console, costs, dim, 3, 16))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    for cost in costs:
        (line,) = (part for part in lines if part.startswith(f"{cost.name} "))
        assert f" {cost.parameters:,} " in line
        assert f" {cost.flops:,}" in line
    (titles,) = (part for part in lines if part.startswith("fusion "))
    assert ("weights" in titles) == (width >= 80)


def test_what_cannot_have_the_sizes_is_named_below_the_table(tmp_path: Path) -> None:
    file = tmp_path / "cost.json"
    done = CliRunner().invoke(app, ["bench", "params", "--dim", "18", "--json", str(file)])
    assert done.exit_code == 0, done.output
    why = "self-attention, 3 modalities of width 18: 4 heads do not divide a width of 18"
    assert f"left out: {why}" in done.output
    assert why in json.loads(file.read_text())["left_out"]
    assert "lmam, rank 16" in done.output


def test_sizes_that_cannot_be_are_an_error_of_usage() -> None:
    with pytest.raises(ConfigError, match=r"0 modalities of width 16: .*set --dim"):
        bench.params(16, 0, 16, None)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StreamerError, match="cannot be written"):
        bench.params(64, 3, 16, tmp_path / "file" / "cost.json")
