"""`lmam data check` prints and writes what `models.data.check` finds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from streamer.cli import app
from streamer.commands import data
from streamer.errors import ConfigError, StreamerError
from tests.data import shared_data
from tests.models.data.test_extracted import write as write_extracted
from tests.models.data.test_tuples import IEMOCAP, write


def check(*arguments: object) -> Result:
    done = CliRunner().invoke(app, ["data", "check", *map(str, arguments)], env={"COLUMNS": "120"})
    assert done.exit_code == 0, done.output
    return done


def row(output: str, *begins: str) -> list[str]:
    """The cells after the line that begins with these words."""
    (line,) = [x for x in output.splitlines() if x.split()[: len(begins)] == list(begins)]
    return line.split()[len(begins) :]


def test_the_known_leak_between_meld_and_emorynlp_is_printed_and_written(tmp_path: Path) -> None:
    """331 MELD test utterances, 67 of its episodes."""
    file = tmp_path / "check.json"
    output = check("meld", "emorynlp", "--data", shared_data(), "--json", file).output
    assert row(output, "meld", "test", "in", "emorynlp") == ["67", "37", "9", "331"]
    assert row(output, "train", "1,038") == ["9,989", "9,989", "260", "188", "1"]
    assert row(output, "audio", "test") == ["7", "0", "142", "0"]
    stored = json.loads(file.read_text())
    assert stored["corpora"][0]["splits"]["train"]["utterances"] == 9989
    assert stored["corpora"][0]["labels"][1] == "joy"
    assert row(output, "emorynlp", "meld") == ["5,271", "5,265", "6"]
    assert row(output, "meld", "meld") == ["14", "0", "14"]
    (pair,) = [p for p in stored["between"] if p["splits_of"] == "meld"]
    assert pair["test"]["utterances"] == 331


def test_paths_of_any_format_are_checked(tmp_path: Path) -> None:
    """A pickle of features and a folder of extracted ones, together."""
    path = tmp_path / "iemocap_features_roberta.pkl"
    write(path, "COSMIC", IEMOCAP)
    write_extracted(tmp_path / "own")
    output = check(path, tmp_path / "own").output
    assert row(output, "frustrated") == ["0", "(", "0.0", "%)"] * 3
    assert row(output, "audio", "train") == ["2", "0", "1", "0"]
    assert "between the corpora: nothing in common" in output


def test_a_corpus_that_is_not_there_is_an_error_of_usage(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no corpus and no path 'melt'; there are meld"):
        data.check(["melt"], None, None)
    with pytest.raises(ConfigError, match="no data folder; expected --data"):
        data.check(["meld"], None, None)
    with pytest.raises(ConfigError, match=r"meld_text_prosody\.csv\.gz: not found"):
        data.check(["meld"], tmp_path, None)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    write_extracted(tmp_path / "own")
    with pytest.raises(StreamerError, match="cannot be written"):
        data.check([str(tmp_path / "own")], None, tmp_path / "own" / "corpus.json" / "x.json")
