"""The command that fuses voice and action units, on actors that the test makes."""

from __future__ import annotations

import gzip
import io
import json
import logging
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.data.speech import RATE
from models.perception.voice import WAYS
from models.perception.voice_features import ROOMS, TRAINING_NOISES
from models.study_ravdess import LABELS, main
from tests.models.test_train_voice import speak

pytestmark = pytest.mark.timeout(120)  # 240 clips are heard, and torch's optimiser is loaded

PLAN = """
members = 1
versions = 2
epochs = [1, 2]
batch = 16
widths = [16, 8]
embedding = 16
fusions = ["lmam-all-memories"]
seeds = [0, 1]
"""
ACTORS = 10


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten actors, one clip of each expression, two action units that show it; two noises and rooms."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "ravdess").mkdir()
    clips, seen = ["shard,path,emotion,speaker,gender,split,text"], ["path,AU01_r,AU01_c"]
    with zipfile.ZipFile(folder / "ravdess" / "a.zip", "w") as shard:
        for actor in range(ACTORS):
            for k, emotion in enumerate(LABELS):
                name, file = f"{actor}-{k}.flac", io.BytesIO()
                soundfile.write(file, speak(k, actor), RATE, format="FLAC")
                shard.writestr(name, file.getvalue())
                clips.append(f"a.zip,{name},{emotion},ravdess_{actor:02},{'MF'[actor % 2]},train,Kids")
                seen.append(f"{name},{k / 2},{k / 8}")
    (folder / "ravdess" / "manifest.csv").write_text("\n".join(clips) + "\n")
    with gzip.open(folder / "ravdess" / "face_action_units.csv.gz", "wt") as table:
        table.write("\n".join(seen) + "\n")
    (folder / "noise").mkdir()
    hiss = np.random.default_rng(0).uniform(-0.1, 0.1, RATE)
    for name in (*TRAINING_NOISES, *ROOMS):
        soundfile.write(folder / "noise" / f"{name}.flac", hiss, RATE)
    (folder / "plan.toml").write_text(PLAN)
    return folder


def run(data: Path, rows: Path) -> int:
    options = ("--config", str(data / "plan.toml"), "--cache", str(data / "cache"), "--json", str(rows))
    return main(["--data", str(data), *options])


def test_every_row_is_written_once_and_only_what_is_missing_is_run(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "ravdess.jsonl"
    assert run(data, path) == 0
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    ours = [r for r in rows if r["model"] == "lmam-all-memories"]
    assert (len(ours), len(rows)) == (5 * 2, 5 * 3)
    subsets = ("", ", voice", ", action units")
    for row in ours:
        assert len(row["speakers"]) == 2
        assert not {*row["speakers"]} & {*row["dev_speakers"]}
        assert set(row["test"]) == {way + subset for way in WAYS for subset in subsets}
        assert sum(map(sum, row["test"]["live"]["confusion"])) == 2 * len(LABELS)
        assert row["epochs"] in (1, 2)
        assert row["fusion_parameters"] < row["parameters"]
    (first,) = [r for r in rows if r["model"] == "svm" and r["fold"] == 0]
    assert set(first["test"]) == {way + subset for way in ("live", "offline") for subset in subsets}
    kept = path.read_text().splitlines()
    path.write_text("\n".join(kept[:-1]) + "\n")
    assert run(data, path) == 0
    again = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(again) == len(rows)
    assert again[-1]["test"] == rows[-1]["test"]


def test_missing_data_are_named(data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "plan.toml").write_text(PLAN)
    with caplog.at_level(logging.ERROR):
        assert run(tmp_path, tmp_path / "r.jsonl") == 2
    assert "ravdess/manifest.csv" in caplog.text
