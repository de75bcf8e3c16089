"""The sarcasm study: what it learns, what its scores are of, and that it does only what is missing."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.progress import Progress

from models.tasks import sarcasm
from models.tasks.rows import Rows, key
from models.tasks.sarcasm import ALONE, ROOT, Found, Setup, main, parser, study
from tests.models.encoders.test_text import small_encoder
from tests.models.tasks.made import scenes
from tests.models.tasks.test_scenes import ur_funny

SMALL = """
[data]
corpus = "mustard"
text = "frozen"
modalities = ["text", "audio", "visual"]
[model]
host = "speaker-gru"
placement = "late"
dim = 16
[train]
epochs = 4
batch = 12
choose = "loss"
[study]
fusions = ["concat", "lmam"]
[study.grid]
"train.lr" = [3e-2]
"""


def arguments(folder: Path, *more: str) -> argparse.Namespace:
    (folder / "made.toml").write_text(SMALL)
    options = ["--data", str(folder), "--config", str(folder / "made.toml"), "--seeds", "0", *more]
    args = parser().parse_args(options)
    args.argv, args.cache = options, None
    return args


def rows_of(folder: Path, *more: str) -> list[dict[str, Any]]:
    rows = Rows(folder / "rows.jsonl")
    with Progress(disable=True) as bar:
        study(arguments(folder, *more), rows, bar, small_encoder)
    return rows.rows


def test_scores_are_of_all_folds_together_and_of_each() -> None:
    sure = torch.tensor([[0.9, 0.1], [0.1, 0.9]])
    folds = {"a": (sure, torch.tensor([0, 1])), "b": (sure[:1], torch.tensor([1]))}
    figures = Found(folds, folds).figures()
    assert figures["test"]["accuracy"] == pytest.approx(200 / 3)
    assert figures["test"]["folds"] == {"a": 100.0, "b": 0.0}


def test_a_word_that_decides_is_learned_and_crosses_to_an_unheard_show(tmp_path: Path) -> None:
    """Speakers tell the label within a show and nothing beyond it; the words tell it everywhere."""
    rows = rows_of(scenes(tmp_path), "--fusions", "concat", "lmam")
    scores = {(r["protocol"].partition(";")[0], r["model"], r["fusion"]): r["test"]["accuracy"] for r in rows}
    assert scores["published folds", "speaker", "none"] == 100
    assert scores["one show left out", "speaker", "none"] <= 50
    for way in ("published folds", "one show left out"):
        for fusion in ("concat", "lmam"):
            assert scores[way, "speaker-gru", fusion] > 90


def test_every_row_is_stored_once(tmp_path: Path) -> None:
    folder = scenes(tmp_path)
    rows = rows_of(folder, "--fusions", ALONE, "concat")
    assert [(r["model"], r["fusion"], r["context"]) for r in rows[::2]] == [
        ("speaker", "none", "none"),
        (ALONE, "none", "none"),
        ("speaker-gru", "concat", "past"),
    ]
    assert len({r["key"] for r in rows}) == len(rows) == 6
    for row in rows:
        assert set(row) == {
            *("table", "dataset", "model", "fusion", "context", "protocol", "seed", "parameters"),
            *("fusion_parameters", "dev", "test", "epochs", "seconds", "commit", "key", "command", "leaks"),
        }
        assert row["leaks"] == "drop"
        assert (row["parameters"] > 0) == (row["model"] != "speaker")
    text = (folder / "rows.jsonl").read_text()
    assert rows_of(folder, "--fusions", ALONE, "concat") == [json.loads(line) for line in text.splitlines()]


def test_rows_that_were_learnt_from_leaks_do_not_count_as_done(tmp_path: Path) -> None:
    folder = scenes(tmp_path)
    said = ("table", "dataset", "model", "fusion", "context", "protocol")
    rows = [r for r in rows_of(folder, "--fusions", ALONE) if r["model"] == "speaker"]
    old = [{**r, "key": key({name: r[name] for name in said})} for r in rows]
    (folder / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in old))
    assert [r for r in rows_of(folder, "--fusions", ALONE) if r["model"] == "speaker"][2:] == rows


def test_ur_funny_is_one_split_with_its_own_features(tmp_path: Path) -> None:
    folder = ur_funny(tmp_path, words=False)
    more = ("--corpus", "ur_funny", "--path", str(folder), "--fusions", "concat")
    (row,) = rows_of(folder, *more)
    assert (row["table"], row["dataset"], row["fusion"]) == ("humour", "ur_funny", "concat")
    assert list(row["test"]["folds"]) == ["test"]


def test_a_stop_keeps_what_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = scenes(tmp_path)
    arguments(folder)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sarcasm, "train", stop)
    monkeypatch.setattr(sarcasm, "pretrained", small_encoder)
    monkeypatch.setattr(sarcasm.study, "__defaults__", (small_encoder,))
    options = ["--data", str(folder), "--config", str(folder / "made.toml"), "--cache", str(folder / "cache")]
    assert main([*options, "--json", str(folder / "rows.jsonl")]) == 130
    assert [r["model"] for r in Rows(folder / "rows.jsonl").rows] == ["speaker", "speaker"]


def test_what_is_not_there_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    arguments(tmp_path)
    options = ["--data", str(tmp_path), "--config", str(tmp_path / "made.toml")]
    assert main([*options, "--fusions", "unheard"]) == 2
    assert "no fusion unheard in the configuration; there are 'utterance alone', 'concat'" in caplog.text
    assert main([*options, "--corpus", "ur_funny"]) == 2
    assert "--path names where its files lie" in caplog.text
    (tmp_path / "made.toml").write_text(SMALL.replace("train.lr", "train.rate"))
    assert main(options) == 2
    assert "train.rate" in caplog.text
    (tmp_path / "made.toml").write_text(SMALL.partition("[study]")[0])
    assert main(options) == 2
    assert "made.toml: not a configuration of this task" in caplog.text


@pytest.mark.parametrize("name", ["mustard", "ur_funny"])
def test_the_configurations_are_read(name: str) -> None:
    setup = Setup.read(ROOT / "configs" / "tasks" / f"{name}.toml")
    assert {"concat", "self-attention", "lmam", "lmf"} <= set(setup.fusions)
    assert len(list(setup.recipes(setup.run))) == 4
