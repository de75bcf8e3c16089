"""Shipping copies tensors bit by bit, and evaluation refuses files that do not belong together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from models import calibrate, checkpoint
from models.batches import Example
from models.calibration import Temperatures
from models.checkpoint import digest
from models.encoders.face import FaceNet
from models.encoders.voice import Config as VoiceConfig
from models.encoders.voice import VoiceNet
from models.evaluate import Shipped, abstentions, evaluate, main, table
from models.fusion_data import Bank
from models.fusion_weights import load_fusion, save_fusion
from models.hosts.gru import Config, GruLmam
from models.meld import LABELS
from models.normalise import Prior
from models.ship import copy, ship, ship_fusion
from tests.models.encoders.test_text import small_encoder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run of seed 3: encoder, tokenizer and fusion."""
    folder = tmp_path / "run"
    folder.mkdir()
    small_encoder().save(folder / "text.safetensors", {})
    torch.manual_seed(0)
    net = GruLmam(Config(text=16, audio=1, dim=16, rank=4))
    facts = {"labels": list(LABELS), "encoders": {"text": digest(folder / "text.safetensors"), "face": "?"}}
    prior = Prior(("duration",), (1.0,), (1.0,))
    save_fusion(folder / "fusion.safetensors", net, prior, Temperatures.same(1.0), facts)
    return folder


def test_what_ships_has_the_same_tensors_and_more_facts(run: Path, tmp_path: Path) -> None:
    """The header gains seed, figures, data and licences; the digest of the tensors stays."""
    results, weights = tmp_path / "meld.jsonl", tmp_path / "weights"
    row = {
        "experiment": "meld",
        "variant": "full",
        "seed": 3,
        "dev": {},
        "test": {"weighted_f1": 61.0},
        "test_noisy": {},
    }
    results.write_text(json.dumps(row) + "\n")
    ship(run, 3, results, weights)
    meta = checkpoint.read_meta(weights / "text.safetensors")
    assert (meta["seed"], meta["metrics"]["test"]["weighted_f1"]) == (3, 61.0)
    assert meta["commercial_use"] == "no"
    assert digest(weights / "text.safetensors") == digest(run / "text.safetensors")
    before = checkpoint.load(run / "text.safetensors", "text-encoder").tensors
    after = checkpoint.load(weights / "text.safetensors", "text-encoder").tensors
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert (weights / "text.tokenizer.json").exists()
    assert (weights / "fusion.safetensors").exists()


def test_a_fusion_ships_alone_beside_the_encoder_it_was_trained_with(run: Path, tmp_path: Path) -> None:
    """Beside another one it is refused, and what was there stays."""
    weights = tmp_path / "weights"
    weights.mkdir()
    copy(run / "text.safetensors", weights / "text.safetensors", {"seed": 0})
    ship_fusion(run, weights)
    assert digest(weights / "fusion.safetensors") == digest(run / "fusion.safetensors")
    (weights / "fusion.safetensors").unlink()
    other = small_encoder()
    with torch.no_grad():
        other.net.word.weight.mul_(2)
    other.save(weights / "text.safetensors", {})
    with pytest.raises(ValueError, match="trained beside the text encoder"):
        ship_fusion(run, weights)
    assert not (weights / "fusion.safetensors").exists()


def test_a_digest_sees_a_changed_weight(run: Path) -> None:
    """Facts do not change it, tensors do."""
    path = run / "fusion.safetensors"
    before = digest(path)
    copy(path, path, {"note": "more"})
    assert digest(path) == before
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    assert digest(path) != before


def test_a_fusion_of_other_encoders_is_refused(run: Path) -> None:
    """The face network beside it is not the one it was trained with: evaluation says which file and stops."""
    FaceNet().save(run / "face.safetensors", {})
    with pytest.raises(ValueError, match=r"face\.safetensors: not the encoder"):
        evaluate(run.parent, run)


def test_a_fusion_that_reads_another_voice_network_is_refused(run: Path) -> None:
    """One that reads none is not asked for it: its face network alone is compared."""
    FaceNet().save(run / "face.safetensors", {})
    VoiceNet(VoiceConfig(width=8, embedding=4)).save(run / "voice.safetensors", {})
    path = run / "fusion.safetensors"
    marks = {name: digest(run / f"{name}.safetensors") for name in ("text", "face")}
    facts = {"labels": list(LABELS), "encoders": {**marks, "voice": "?"}}
    net = GruLmam(Config(text=16, audio=1, dim=16, rank=4, voice=4))
    save_fusion(path, net, Prior(("duration",), (1.0,), (1.0,)), Temperatures.same(1.0), facts)
    with pytest.raises(ValueError, match=r"voice\.safetensors: not the encoder"):
        evaluate(run.parent, run)
    copy(path, path, {"encoders": {**marks, "voice": digest(run / "voice.safetensors")}})
    with pytest.raises(ValueError, match=r"meld"):  # the next thing that is missing: the data
        evaluate(run.parent, run)


def test_new_temperatures_leave_the_weights_alone(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is fitted, kept in the header, and read from there."""
    path = run / "fusion.safetensors"
    before, old = digest(path), load_fusion(path)
    voice = torch.randn(40, 1, generator=torch.Generator().manual_seed(0))
    labels = (voice[:, 0] > 0).long()
    heard = torch.ones(40, dtype=torch.bool)
    example = Example(("x",) * 40, (0,) * 40, labels, voice, heard)
    bank = Bank([example], [torch.randn(40, 16)], [torch.randn(40, 16)])
    faces = [torch.randn(40, old.net.config.visual)]
    monkeypatch.setattr(calibrate, "shipped", lambda *_: Shipped(old, bank, faces))
    found = calibrate.calibrate(run.parent, run)
    assert found != Temperatures.same(1.0)
    again = load_fusion(path)
    assert again.temperatures == found
    assert digest(path) == before
    assert {**again.meta, "config": 0} == {**old.meta, "config": 0}


def test_abstaining_is_told_by_threshold(capsys: pytest.CaptureFixture[str]) -> None:
    gold = {"0.00": {"coverage": 100.0, "accuracy": 63.84}, "0.50": {"coverage": 80.0, "accuracy": 70.0}}
    Console(width=120).print(abstentions({"gold": gold, "noisy": gold}, "test"))
    out = capsys.readouterr().out
    assert "63.8" in out
    assert "noisy: coverage" in out


def test_missing_weights_end_the_command_with_2(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The message names the file."""
    for command in (main, calibrate.main):
        caplog.clear()
        assert command(["--data", str(tmp_path), "--weights", str(tmp_path)]) == 2
        assert "fusion.safetensors" in caplog.text


def test_the_table_has_every_subset(capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each subset, percent with one digit and ECE with three."""
    row = {"weighted_f1": 61.04, "macro_f1": 38.0, "accuracy": 63.9, "ece": 0.0215}
    Console(width=120).print(table({"text+voice": row, "text": row}, "test"))
    out = capsys.readouterr().out
    assert "61.0" in out
    assert "0.021" in out or "0.022" in out
    assert "synthetic" in out
