"""The commands that measure and train the head of valence and arousal, on corpora that the test makes."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest
import torch

from models.calibration import Temperatures
from models.checkpoint import digest, read_meta
from models.data.meld import COLUMNS, MEASURES
from models.encoders.affect import load_affect
from models.fusion_weights import save_fusion
from models.hosts.gru import Config, GruLmam
from models.meld import LABELS
from models.normalise import Prior
from models.tasks.rows import Rows
from models.train_affect import Work, evaluate, main, parser
from tests.models.encoders.test_text import small_encoder

PLAN = "width = 4\nepochs = 2\nbatch = 16\nalphas = [1.0, 10.0]\nseeds = [0, 1]\n"
PLEASANT, NOT = "thanks", "joey"


def emobank(folder: Path) -> None:
    """Pleasant sentences that thank, and others; one of train stands in MELD's test."""
    random_, rows = random.Random(0), ["id,split,V,A,D,text", "x,train,3,3,3,how are you doing joey"]
    fillers = ("how", "are", "you", "doing", "fine", "what")
    for split, n in (("train", 60), ("dev", 20), ("test", 20)):
        for i in range(n):
            word = random_.choice((PLEASANT, NOT))
            said = " ".join([*random_.choices(fillers, k=3), word, split, str(i)])
            value = 4.0 if word == PLEASANT else 2.0
            rows.append(f"{split}{i},{split},{value},{2.5 + random_.random()},3.0,{said}")
    write(folder / "emobank" / "emobank.csv.gz", rows)


def meld(folder: Path) -> None:
    """One utterance a split."""
    head = (*COLUMNS, *MEASURES)
    rows = [",".join(head)]
    for k, split in enumerate(("train", "valid", "test")):
        said = "How are you doing, Joey?" if split == "test" else f"hm {split}"
        facts = {"split": split, "text": f'"{said}"', "speaker": "A", "emotion": "joy", "dialogue_id": k}
        rows.append(",".join(str(facts.get(name, 1)) for name in head))
    write(folder / "meld" / "meld_text_prosody.csv.gz", rows)


def write(path: Path, rows: list[str]) -> None:
    path.parent.mkdir(parents=True)
    with gzip.open(path, "wt") as file:
        file.write("\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data, weights and a plan."""
    made = tmp_path_factory.mktemp("affect")
    emobank(made)
    meld(made)
    (made / "plan.toml").write_text(PLAN)
    save(made / "weights", 0)
    return made


def save(weights: Path, seed: int) -> None:
    encoder = small_encoder()
    encoder.net.word.weight.data += seed
    weights.mkdir(exist_ok=True)
    encoder.save(weights / "text.safetensors", {"commercial_use": "no", "data_licences": {"MELD": "GPL-3.0"}})
    torch.manual_seed(seed)
    net = GruLmam(Config(text=16, audio=1, dim=16, rank=4))
    prior = Prior(("duration",), (1.0,), (1.0,))
    save_fusion(weights / "fusion.safetensors", net, prior, Temperatures.same(1.0), {"labels": list(LABELS)})


def options(folder: Path, what: str, *more: str) -> list[str]:
    given = {"data": folder, "weights": folder / "weights", "config": folder / "plan.toml"}
    return [
        what,
        *(part for name, path in given.items() for part in (f"--{name}", str(path))),
        "--cache",
        str(folder / "cache"),
        *more,
    ]


def work(folder: Path) -> Work:
    args = parser().parse_args(options(folder, "evaluate"))
    args.argv = ["evaluate"]
    made = Work(args)
    made.frozen = lambda: made.splits  # type: ignore[method-assign]  # MiniLM itself takes a minute
    return made


def test_every_row_is_run_once_and_others_for_other_weights(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "affect.jsonl"
    evaluate(work(folder), Rows(path))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(r["model"], r["seed"]) for r in rows] == [
        ("minilm-ridge", 0),
        ("ridge", 0),
        ("label-map", 0),
        ("head", 0),
        ("head", 1),
    ]
    assert {r["encoders"]["text"] for r in rows} == {digest(folder / "weights" / "text.safetensors")}
    assert rows[1]["test"]["alone"]["valence"] > 0.9
    assert set(rows[3]["dev"]) == {"alone", "misheard"}
    assert rows[3]["mixed"]["0.0"] == pytest.approx(rows[3]["dev"]["alone"], abs=1e-3)
    assert set(rows[2]["map"]) == set(LABELS)
    evaluate(work(folder), Rows(path))
    assert len(path.read_text().splitlines()) == len(rows)
    save(folder / "weights", 1)
    evaluate(work(folder), Rows(path))
    assert len(path.read_text().splitlines()) == 2 * len(rows)


def test_what_may_not_be_learnt_from_is_left_out(folder: Path) -> None:
    assert len(work(folder).splits["train"]) == 60


def test_ship_writes_a_head_for_the_weights_beside_it_with_its_facts(folder: Path) -> None:
    assert main(options(folder, "ship", "--seed", "3")) == 0
    path = folder / "weights" / "affect.safetensors"
    meta = read_meta(path)
    assert meta["seed"] == 3
    assert meta["commercial_use"] == "no"
    assert meta["data_licences"] == {"EmoBank": "CC BY-SA 4.0", "MELD": "GPL-3.0"}
    assert set(meta["metrics"]["test"]) == {"alone", "misheard"}
    assert set(meta["encoders"]) == {"text", "fusion"}
    assert load_affect(path, labels=LABELS).labels == tuple(LABELS)


def test_what_is_missing_is_named(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for change, named in (
        (("--data", str(tmp_path)), "emobank.csv.gz"),
        (("--weights", str(tmp_path)), "text.safetensors"),
        (("--config", str(tmp_path / "x.toml")), "x.toml"),
    ):
        caplog.clear()
        assert main(options(folder, "ship", *change)) == 2
        assert named in caplog.text
