"""The head of valence and arousal: its scale, its file, and whom it refuses to work with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models import checkpoint
from models.checkpoint import WEIGHTS, CheckpointError, digest
from models.encoders.affect import DEFAULT, Affect, AffectNet, Config, load_affect, save_affect
from models.encoders.text import TextEncoder
from models.fusion_weights import load_fusion
from tests.models.encoders.test_text import small_encoder

LABELS = ("joy", "anger")


@pytest.fixture
def net() -> AffectNet:
    torch.manual_seed(0)
    net = AffectNet(Config(text=16, width=4, labels=2)).eval()
    net.mean_D, net.std_D = torch.randn(16), torch.rand(16) + 0.5
    net.map_KA = torch.tensor([[0.5, 0.3], [-0.2, 0.2]])
    return net


@pytest.fixture
def stored(tmp_path: Path, net: AffectNet) -> Path:
    """The head with its text encoder beside it."""
    small_encoder().save(tmp_path / "text.safetensors", {})
    facts = {"labels": list(LABELS), "encoders": {"text": digest(tmp_path / "text.safetensors")}}
    save_affect(tmp_path / "affect.safetensors", net, facts)
    return tmp_path / "affect.safetensors"


def test_what_was_stored_says_the_same(stored: Path, net: AffectNet) -> None:
    head = load_affect(stored, labels=LABELS)
    x_D = torch.randn(16)
    valence, arousal = net(x_D.unsqueeze(0))[0].tolist()
    assert head.of_words(x_D) == pytest.approx((valence, arousal))
    assert head.of_labels((1.0, 0.0)) == pytest.approx((0.5, 0.3))
    assert head.of_labels((0.5, 0.5)) == pytest.approx((0.15, 0.25))
    assert head.labels == LABELS


def test_readings_stay_on_the_scale(net: AffectNet) -> None:
    head = Affect(net, LABELS, {})
    net.map_KA = torch.tensor([[7.0, -7.0], [0.0, 0.0]])
    assert head.of_labels((1.0, 0.0)) == (1.0, -1.0)
    readings = [head.of_words(1000 * torch.randn(16)) for _ in range(20)]
    assert all(-1 <= v <= 1 for pair in readings for v in pair)
    assert any(abs(v) == 1 for pair in readings for v in pair)


def test_the_head_of_another_text_encoder_is_refused(stored: Path) -> None:
    text = stored.with_name("text.safetensors")
    other = small_encoder()
    other.net.word.weight.data += 1
    other.save(text, {})
    with pytest.raises(CheckpointError, match=r"another text encoder than .*models\.train_affect ship"):
        load_affect(stored)
    text.unlink()
    with pytest.raises(CheckpointError, match="another text encoder"):
        load_affect(stored)


def test_the_head_of_other_labels_is_refused(stored: Path) -> None:
    with pytest.raises(CheckpointError, match=r"maps joy, anger, and the fusion tells anger, joy"):
        load_affect(stored, labels=("anger", "joy"))


@pytest.mark.parametrize("change", [{"labels": ["joy"]}, {"config": {"text": 3}}, {"encoders": {}}])
def test_a_file_that_contradicts_itself_is_named(stored: Path, change: dict[str, object]) -> None:
    found = checkpoint.load(stored, "affect")
    checkpoint.save(stored, found.tensors, {**found.meta, **change})
    with pytest.raises(CheckpointError, match=r"affect\.safetensors: "):
        load_affect(stored)


def test_what_ships_fits_what_ships_and_tells_pleasant_from_not() -> None:
    """Words, and the labels by themselves."""
    head = load_affect(labels=load_fusion().labels)
    encoder = TextEncoder.load()
    said = ("I love this, it is wonderful!", "The table is made of wood.", "He was brutally murdered.")
    values = [head.of_words(x_D) for x_D in encoder.encode(said, (0,) * len(said))]
    assert values[0][0] > 0.15 > values[1][0] > -0.15 > values[2][0]
    assert values[0][1] > values[1][1]
    alone = {k: head.of_labels([float(k == j) for j in head.labels]) for k in head.labels}
    assert alone["joy"][0] > 0.2
    assert max(alone[k][0] for k in ("sadness", "anger", "fear", "disgust")) < 0
    assert alone["anger"][1] > alone["sadness"][1]
    assert head.meta["commercial_use"] == "no"
    assert head.meta["data_licences"]["EmoBank"] == "CC BY-SA 4.0"
    assert DEFAULT.parent == WEIGHTS
    assert DEFAULT.stat().st_size < 300_000
