"""The commands that measure and train the voice network, on a corpus that the test makes."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.checkpoint import read_meta
from models.data.speech import RATE, Clip
from models.encoders.voice import LABELS, VoiceEncoder, VoiceNet
from models.perception.voice import TESTED
from models.perception.voice_features import EVALUATION_NOISES, ROOMS, TRAINING_NOISES
from models.train_voice import CORPORA, folds, main
from tests.models.encoders.test_voice import vowel

pytestmark = pytest.mark.timeout(120)  # a hundred clips are heard, and torch's optimiser is loaded

PLAN = """
versions = 2
epochs = [2]
batch = 8
seeds = [0, 1]
[network]
width = 16
embedding = 8
"""


def speak(expression: int, speaker: int) -> np.ndarray:
    return vowel(0.35, 110.0 + 12 * expression + 40 * (speaker % 2), seed=expression)


def make(data: Path) -> None:
    """RAVDESS with four actors, EmoDB with three speakers, one clip of each expression."""
    for corpus, speakers in (("ravdess", 4), ("emodb", 3)):
        (data / corpus).mkdir(parents=True)
        rows = ["shard,path,emotion,speaker,gender,split"]
        with zipfile.ZipFile(data / corpus / "a.zip", "w") as shard:
            for s in range(speakers):
                split = {0: "test", 1: "valid"}.get(s, "train")
                for k, emotion in enumerate(CORPORA[corpus]):
                    file = io.BytesIO()
                    soundfile.write(file, speak(k, s), RATE, format="FLAC")
                    shard.writestr(f"{s}-{k}.flac", file.getvalue())
                    rows.append(f"a.zip,{s}-{k}.flac,{emotion},{corpus}_{s:02},{'MF'[s % 2]},{split}")
        (data / corpus / "manifest.csv").write_text("\n".join(rows) + "\n")
    (data / "noise").mkdir()
    for name in (*TRAINING_NOISES, *EVALUATION_NOISES, *ROOMS):
        soundfile.write(
            data / "noise" / f"{name}.flac", np.random.default_rng(0).uniform(-0.1, 0.1, RATE), RATE
        )
    (data / "plan.toml").write_text(PLAN)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    make(folder)
    return folder


def run(data: Path, what: str, *more: str) -> int:
    common = ("--data", str(data), "--config", str(data / "plan.toml"), "--cache", str(data / "cache"))
    return main([what, *common, *more])


def test_folds_of_ravdess_are_two_men_and_two_women_and_cover_all() -> None:
    clips = [Clip("", "", "", f"a{n:02}", "MF"[n % 2], "") for n in range(20)]
    found = folds(clips, "ravdess")
    assert len(found) == 5
    assert sorted(s for f in found for s in f) == [f"a{n:02}" for n in range(20)]
    assert all(sum(int(s[1:]) % 2 for s in f) == 2 for f in found)
    assert folds(clips[:3], "emodb") == [("a00",), ("a01",), ("a02",)]


def test_evaluate_writes_each_row_once_and_does_only_what_is_missing(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "voice.jsonl"
    assert run(data, "evaluate", "--corpora", "emodb", "--json", str(path)) == 0
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    ours = [r for r in rows if r["model"] == "voice"]
    assert len(ours) == 3 * 2
    assert len(rows) - len(ours) == 3
    for row in ours:
        assert not {*row["speakers"]} & {*row["dev_speakers"]}
        assert set(row["test"]) == {w + c for w in ("live", "running", "offline") for c in TESTED}
        assert sum(map(sum, row["test"]["live"]["confusion"])) == len(CORPORA["emodb"])
        assert row["config"]["epochs"] == [2]
        assert row["command"].startswith("python -m models.train_voice evaluate")
    kept = path.read_text().splitlines()[:-1]
    path.write_text("\n".join(kept) + "\n")
    assert run(data, "evaluate", "--corpora", "emodb", "--json", str(path)) == 0
    again = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(again) == len(rows)
    assert again[-1]["test"] == rows[-1]["test"]


def test_ship_writes_a_network_that_hears_live_with_its_facts(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "voice.safetensors"
    assert run(data, "ship", "--out", str(out)) == 0
    meta = read_meta(out)
    assert meta["commercial_use"] == "no"
    assert {"RAVDESS", "EmoDB"} <= set(meta["data_licences"])
    assert meta["metrics"]["n"] == {"train": 2 * 8 + 6, "valid": 8 + 6, "test": 8 + 6}
    assert set(meta["metrics"]["test"]) >= {"ravdess, live", "emodb, offline", "ravdess, live, 10 dB"}
    encoder = VoiceEncoder(VoiceNet.load(out))
    encoder.push(speak(0, 0))
    reading = encoder.read()
    assert reading is not None
    assert len(reading.emotion) == len(LABELS)


@pytest.mark.parametrize(("what", "missing"), [("evaluate", "ravdess"), ("ship", "ravdess")])
def test_missing_data_are_named(
    tmp_path: Path, what: str, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plan.toml").write_text(PLAN)
    assert run(tmp_path, what, "--json", str(tmp_path / "r.jsonl")) == 2
    assert f"{missing}/manifest.csv" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "key"),
    [("epoch = 3", "epoch"), ("recordings = []", "recordings"), ('recordings = ["hall"]', "recordings.0")],
)
def test_a_wrong_plan_is_named(
    data: Path, tmp_path: Path, line: str, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(line + "\n")
    assert main(["ship", "--data", str(data), "--config", str(path)]) == 2
    assert f"plan.toml: {key}" in capsys.readouterr().err
