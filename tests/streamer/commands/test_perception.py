"""`lmam bench perception` measures the parts that it is asked for, and says what it had to leave out."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.checkpoint import WEIGHTS
from streamer.bench.perception import PARTS
from streamer.cli import app
from streamer.commands.perception import perception
from streamer.errors import ConfigError, StreamerError


def test_the_size_of_what_ships_is_told_and_under_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    arguments = ["bench", "perception", "--data", str(tmp_path), "--only", "size", "--json", str(file)]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    assert "reached" in done.output
    rows = {row["protocol"]: row for row in json.loads(file.read_text())}
    own = sum(p.stat().st_size for p in WEIGHTS.glob("*") if p.suffix in (".safetensors", ".json")) / 1e6
    assert rows["all"]["mean"] == pytest.approx(own, abs=1e-3)
    assert (rows["all"]["target"], rows["all"]["target_is"], rows["all"]["reached"]) == (
        45.0,
        "at most",
        True,
    )
    text = sum(p.stat().st_size for p in WEIGHTS.glob("text.*") if p.suffix != ".md") / 1e6
    assert rows["text encoder and tokenizer"]["mean"] == pytest.approx(text, abs=1e-3)
    assert rows["text encoder and tokenizer"]["reached"]
    assert rows["all"]["command"] == f"lmam bench perception --data {os.path.relpath(tmp_path)} --only size"


def test_a_part_without_its_data_is_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What could be measured is written; the others say which file they lack."""
    file = tmp_path / "rows.json"
    with pytest.raises(StreamerError, match=r"text is incomplete: .*meld") as caught:
        perception(tmp_path, ["face,text", "size"], None, file)
    assert "face is incomplete" in str(caught.value)
    assert {row["table"] for row in json.loads(file.read_text())} == {"shipped-size"}
    assert "text.safetensors" in capsys.readouterr().out


@pytest.mark.parametrize("part", [p for p in PARTS if p != "size"])
def test_every_part_says_what_it_lacks(tmp_path: Path, part: str) -> None:
    """No traceback where the data are not there."""
    with pytest.raises(StreamerError, match=f"{part} is incomplete: "):
        perception(tmp_path, [part], None, None)


def test_all_parts_together_say_how_long_they_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A part alone does not, as the limit is about all."""
    monkeypatch.setattr("streamer.commands.perception.PARTS", {"size": PARTS["size"]})
    file = tmp_path / "rows.json"
    perception(tmp_path, [], None, file)
    (row,) = (r for r in json.loads(file.read_text()) if r["table"] == "shipped-bench")
    assert (row["metric"], row["target"], row["reached"]) == ("minutes", 15.0, True)
    assert "all parts" in capsys.readouterr().out


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(StreamerError, match=r"size is incomplete: .*no weights there"):
        perception(tmp_path, ["size"], tmp_path, None)


def test_an_unknown_part_and_no_data_are_errors_of_usage(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--only ears: no such part; there are size, text"):
        perception(tmp_path, ["ears"], None, None)
    with pytest.raises(ConfigError, match="--data must name the folder"):
        perception(None, ["size"], None, None)
    with pytest.raises(ConfigError, match="missing: --data must name"):
        perception(tmp_path / "missing", [], None, None)
