"""The configurations that come with the program: each can be used as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.conversation import ConversationModel
from models.data import CORPORA
from models.fusions import FUSIONS
from models.hosts import HOSTS
from models.train_meld import Setup
from models.training.config import RunConfig, read, read_table
from models.training.fit import build
from models.training.tensors import Tensors
from tests.data import shared_data

ROOT = Path(__file__).parents[3]
CONFIGS = sorted((ROOT / "configs" / "models").glob("*.toml"))
SIZES = {"text": 384, "audio": 6, "visual": 100}


def smallest() -> Path:
    """The one whose model has the fewest parameters on the corpus that needs no text encoder."""
    packaged = [p for p in CONFIGS if p.stem != "meld" and read(p).data.text == "packaged"]
    return min(packaged, key=lambda p: sum(w.numel() for w in built(read(p)).parameters()))


def built(config: RunConfig) -> ConversationModel:
    """Without storage."""
    sizes = {m: SIZES[m] for m in config.data.modalities}
    with torch.device("meta"):
        return build(config, Tensors({}, sizes, 2))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_each_names_what_there_is(path: Path) -> None:
    """A corpus, a host and a fusion, which take its options; the recipe of what ships has its own reader."""
    if read_table(path).get("recipe") == "shipped":
        assert Setup.read(path).measures
        return
    config = read(path)
    assert config.data.corpus in CORPORA
    assert config.model.host in HOSTS
    assert config.model.fusion in FUSIONS
    assert sum(p.numel() for p in built(config).parameters()) > 0


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_each_is_what_its_name_and_its_first_lines_say(path: Path) -> None:
    """And the command in them is for this file."""
    text = path.read_text(encoding="utf-8")
    assert f"configs/models/{path.name}" in text.partition("\n\n")[0]
    if path.stem == "meld":
        return
    config = read(path)
    assert path.stem == f"{config.data.corpus}-{config.model.host}-{config.model.fusion}"


def test_pairs_differ_in_the_fusion_alone() -> None:
    """What is compared is LMAM with concatenation, and nothing else."""
    for path in CONFIGS:
        if path.stem.endswith("-lmam"):
            other = read(path.with_name(path.name.replace("-lmam", "-concat")))
            assert read(path).replace(**{"model.fusion": "concat"}) == other


@pytest.mark.timeout(120)  # imports Fabric: under 20 s on two quiet cores
def test_the_smallest_trains_from_the_command_line(tmp_path: Path) -> None:
    """A process of its own, as a user starts it; one epoch of the real corpus."""
    pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")
    data = shared_data("mosi").parent
    path = smallest()
    lines = path.read_text(encoding="utf-8").splitlines()
    short = tmp_path / path.name
    short.write_text("\n".join("epochs = 1" if x.startswith("epochs = ") else x for x in lines))
    words = [sys.executable, "-m", "streamer", "train", short, "--data", data, "--json", "row.json"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "epoch 1: loss" in done.stderr
    row = json.loads((tmp_path / "row.json").read_text())
    assert row["dataset"] == "mosi"
    assert row["epochs"] == 1
    assert row["test"]["accuracy"] > 50
    assert (tmp_path / "runs" / f"{path.stem}-seed0" / "model.safetensors").exists()
