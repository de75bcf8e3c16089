"""Whatever stands in the pages works: Python runs, configurations and command lines are read, output is ours.

A block that can be none of these is in `OTHER` or `ELSEWHERE` with the reason.
"""

from __future__ import annotations

import glob
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer.testing

from models.training.config import parse
from streamer.cli import app
from streamer.config import load
from tests.data import shared_data
from tests.docs.made import checkout
from tests.docs.pages import (
    PAGES,
    ROOT,
    Block,
    blocks,
    command_lines,
    every_option,
    name,
    options,
    resolve,
    spans,
)

BLOCKS = [block for path in PAGES for block in blocks(path)]
PYTHON = [block for block in BLOCKS if block.language == "python"]
TOML = [block for block in BLOCKS if block.language == "toml"]
# Python that another test runs, or that cannot be run by a test: by page and first line.
ELSEWHERE = {
    ("docs/export.md", "import json"): "tests/models/test_export.py::test_the_page_runs",
    ("docs/export.md", "from pathlib import Path"): "tests/models/test_export.py::test_the_page_runs",
    (
        "docs/mqtt.md",
        "import asyncio",
    ): "watches a broker until it is stopped: tests/streamer/mqtt/test_subscribe",
}
# Blocks without a language: what a command prints.
OTHER = {
    "meld: GPL-3.0 (labels); TV-show content, research (commercial use: no)": "test_the_tables_are_those",
    "stands in another corpus       groups  speakers  dialogues  utterances": "test_the_leaks_are_those",
    "left out of train  for dev and test of  labels  of whole dialogues  of single utterances": "the same",
}
FOREIGN = {"--device", "--group-add", "--no-deps"}  # options of docker and pip


def of(page: str) -> list[Block]:
    return [b for b in PYTHON if b.page == page and (b.page, b.first) not in ELSEWHERE]


def run(found: list[Block]) -> dict[str, Any]:
    """The blocks one after the other, as a reader would."""
    names: dict[str, Any] = {}
    for block in found:
        exec(compile(block.text, block.name, "exec"), names)
    return names


def lmam(words: list[str]) -> str:
    """What a command line prints; its errors are raised here."""
    done = typer.testing.CliRunner().invoke(app, words, catch_exceptions=False, env={"COLUMNS": "120"})
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder that the pages assume."""
    made = checkout(tmp_path)
    monkeypatch.chdir(made)
    monkeypatch.delenv("LMAM_DATA", raising=False)
    return made


def test_every_block_is_tried_or_has_its_reason() -> None:
    """And every reason has its block."""
    run_here = {"docs/data.md", "docs/lmam.md", "docs/training.md", "docs/voice.md"}
    for block in BLOCKS:
        if block.language == "python":
            assert block.page in run_here or (block.page, block.first) in ELSEWHERE, block.name
        elif block.language == "":
            assert block.first in OTHER or block.first.startswith("lmam "), block.name
        else:
            assert block.language in ("toml", "sh", "bash"), block.name
    assert set(ELSEWHERE) <= {(b.page, b.first) for b in PYTHON}
    assert set(OTHER) <= {b.first for b in BLOCKS}


def test_a_model_of_somebody_takes_lmam_as_the_page_says() -> None:
    torch.manual_seed(0)
    names = run(of("docs/lmam.md"))
    assert names["losses"][-1] < names["losses"][0]


def test_data_is_loaded_as_the_page_says(here: Path) -> None:
    (block,) = of("docs/data.md")
    first, second = (line for line in block.text.splitlines() if "data.load" in line)
    names: dict[str, Any] = {}
    head = block.text.partition("corpus =")[0]
    exec(head + first, names)
    assert names["corpus"].name == "meld"
    exec(head + second, names)
    assert names["corpus"].sizes()["text"] > 0


def test_a_voice_is_heard_as_the_page_says() -> None:
    """With a second of a humming voice for the sound."""
    (block,) = of("docs/voice.md")
    time = np.arange(16_000, dtype=np.float32) / 16_000
    hum = sum(0.2 / k * np.sin(2 * np.pi * 140 * k * time) for k in range(1, 9)) * np.hanning(16_000)
    names: dict[str, Any] = {"sound": np.split(hum.astype(np.float32), 10)}
    exec(compile(block.text, block.name, "exec"), names)
    assert sum(names["reading"].emotion) == pytest.approx(1, abs=1e-5)
    assert names["speaker"].count == 1


@pytest.mark.timeout(120)  # ten runs of an epoch
def test_seeds_are_compared_as_the_page_says(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(of("docs/training.md"))
    assert re.match(r"[+-]\d+\.\d \[.*\] \w+", capsys.readouterr().out)


@pytest.mark.parametrize("block", TOML, ids=lambda b: b.name)
def test_a_configuration_can_be_read(block: Block, tmp_path: Path) -> None:
    """Of training, or of a run; a part of the latter stands in a whole one."""
    if block.page == "docs/training.md":
        assert parse(tomllib.loads(block.text), block.name).data.corpus
        return
    path = tmp_path / "run.toml"
    head = "" if "purpose" in block.text else 'purpose = "research"\nconsent = "explicit"\n'
    source = "" if "[[source]]" in block.text else '[[source]]\nkind = "microphone"\n'
    path.write_text(head + source + block.text, encoding="utf-8")
    config = load(path)
    assert config.purpose
    for kind in ("source", "sink"):
        assert block.text.count(f"[[{kind}]]") in (0, len(getattr(config, kind)))


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_command_lines_are_understood(path: Path) -> None:
    """By the program itself, without running them; files of the repository that they name are there."""
    for words in command_lines(path):
        command, rest = resolve(words[1:])
        assert not hasattr(command, "commands"), words
        for word in rest:
            if word.startswith("configs/"):
                assert glob.glob(str(ROOT / word)), f"{name(path)}: no {word}"
        command.make_context(" ".join(words), rest)


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_commands_and_options_in_the_text_exist(path: Path) -> None:
    known = every_option() | FOREIGN | options_of_modules(path)
    for span in spans(path):
        words = span.split()
        command, rest = resolve(words[1:]) if words[0] == "lmam" else (None, words)
        of_it = known if command is None else options(command)
        for word in rest:
            if word.startswith("--"):
                assert word.split("=")[0].split("|")[0] in of_it, f"{name(path)}: {span}"


def options_of_modules(path: Path) -> set[str]:
    """Those of the commands ``python -m ...`` that the page names, read off their source."""
    named = re.findall(r"python -m ([a-z_.]+)", path.read_text(encoding="utf-8"))
    files = [ROOT.joinpath(*m.strip(".").split(".")).with_suffix(".py") for m in named]
    return {
        o for f in files if f.exists() for o in re.findall(r'"(--[a-z-]+)"', f.read_text(encoding="utf-8"))
    }


def test_extras_that_are_installed_exist() -> None:
    """`pip install -e '.[train]'` of the pages; nothing is named that only an index would have."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = 0
    for path in PAGES:
        for line in re.findall(r"pip install [^\n`]*", path.read_text(encoding="utf-8")):
            what = shlex.split(line.partition("#")[0])[2:]
            if what[:1] == ["-e"]:
                assert set(re.fullmatch(r"\.\[(.*)\]", what[1])[1].split(",")) <= set(extras)  # type: ignore[index]
                named += 1
            assert "lmam-streamer" not in line, f"{name(path)}: {line}"
    assert named >= 3


def _lines_of(page: str, *begin: str) -> list[list[str]]:
    return [w for w in command_lines(ROOT / page) if w[1 : 1 + len(begin)] == list(begin)]


@pytest.mark.timeout(120)  # imports Fabric and Matplotlib
def test_training_and_measuring_go_as_the_page_says(here: Path) -> None:
    """The sweep of the same block is read above, and sweeps run in tests/streamer/commands/test_sweep.py."""
    pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")
    pytest.importorskip("matplotlib", reason="needs the extra 'train'")
    (train,), (evaluate,) = (_lines_of("docs/training.md", verb) for verb in ("train", "evaluate"))
    assert "model.safetensors" in lmam(train[1:])
    kept = here / "runs" / "mosi-bc-lstm-lmam-seed0"
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    table = text.partition("| file | what |")[2].partition("\n\n")[0]
    for pattern in re.findall(r"`([^`]+)`", "".join(row.split("|")[1] for row in table.splitlines()[2:])):
        assert list(kept.glob(pattern)), pattern
    assert "weighted_f1" in lmam(evaluate[1:])
    assert list((here / "pictures").glob("*.png"))


def test_costs_and_counts_are_printed_as_the_pages_say(here: Path) -> None:
    for words in _lines_of("docs/lmam.md", "bench", "params"):
        assert "lmam-published" in lmam([w.replace("FILE", "cost.json") for w in words[1:]])
    (readme,) = _lines_of("README.md", "data", "check")
    assert "meld" in lmam([w.replace("DATA", "../shared/data") for w in readme[1:]])


def _printed(first: str) -> str:
    (block,) = (b for b in BLOCKS if b.first.startswith(first))
    return block.text


@pytest.mark.parametrize("corpus", ["mosi", "ravdess", "mustard", "iemocap6"])
def test_the_tables_are_those(corpus: str) -> None:
    """That the command prints of the shared sets; of the large ones tests/streamer/commands/test_data.py."""
    found = lmam(["data", "check", corpus, "--data", str(shared_data())]).partition("left out of train")[0]
    lines = [line.rstrip() for line in found.strip().splitlines()]
    page = "\n".join(line.rstrip() for line in _printed("meld: GPL").splitlines())
    assert "\n".join(lines) in page


def test_the_leaks_are_those() -> None:
    """Two corpora that know little of each other."""
    found = lmam(["data", "check", "iemocap6", "mustard", "--data", str(shared_data())])
    page = {" ".join(line.split()) for line in _printed("left out of train").splitlines()}
    dropped = found.partition("left out of train")[2].splitlines()[1:]
    assert len(dropped) >= 2
    assert {" ".join(line.split()) for line in dropped} <= page
