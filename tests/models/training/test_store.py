"""A checkpoint gives back the model and all that its numbers mean."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from models import checkpoint
from models.checkpoint import CheckpointError
from models.training import store
from models.training.fit import Fit, predict
from models.training.run import finish, prepare
from models.training.tensors import tensors
from tests.models.training.corpora import LABELS, config, corpus


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    prepared = prepare(config(), corpus())
    fit = Fit(config(), prepared.tensors, 3)
    list(fit.epochs())
    out = tmp_path_factory.mktemp("store") / "model.safetensors"
    store.save(out, fit.model, config(), prepared, finish(config(), prepared, 3, fit, seconds=0))
    return out


def test_the_model_comes_back_with_its_facts(path: Path) -> None:
    trained = store.load(path)
    assert trained.labels == LABELS
    assert trained.config == config()
    assert trained.meta["seed"] == 3
    assert trained.meta["data_licences"] == {"toy": "ours"}
    assert trained.meta["data_digest"] == prepare(config(), corpus()).digest
    assert trained.meta["metrics"]["test"]["weighted_f1"] > 0
    assert 0.2 <= trained.temperature <= 5
    assert not trained.model.training


def test_an_encoder_of_somebody_else_makes_commercial_use_unclear(tmp_path: Path) -> None:
    """Even of a corpus that allows it: its publisher's licence is for the user to read."""
    named = config(**{"data.text": "hf:./roberta"})
    prepared = prepare(named, corpus())
    fit = Fit(named, prepared.tensors, 0)
    next(iter(fit.epochs()))
    store.save(tmp_path / "m", fit.model, named, prepared, finish(named, prepared, 0, fit, seconds=0))
    meta = store.load(tmp_path / "m").meta
    assert meta["commercial_use"] == "unclear"
    assert meta["data_licences"] == {"toy": "ours", "hf:./roberta": "that of its publisher"}


def test_it_says_what_its_header_says(path: Path) -> None:
    """Inputs scaled by the stored scales give the scores of the header."""
    trained = store.load(path)
    read = tensors(corpus(), trained.config.data.modalities, trained.scales)
    test = read.splits["test"]
    right = predict(trained.model, test).argmax(1) == test.label_U[:-1]
    accuracy = trained.meta["metrics"]["test"]["accuracy"]
    assert float(100 * right.double().mean()) == pytest.approx(accuracy, abs=1e-3)


def test_the_temperature_is_that_of_dev(path: Path) -> None:
    """The least cross-entropy of dev: a fifth warmer or colder is worse."""
    trained = store.load(path)
    dev = tensors(corpus(), trained.config.data.modalities, trained.scales).splits["dev"]
    logits_UC, label_U = predict(trained.model, dev), dev.label_U[:-1]
    best, *others = (F.cross_entropy(logits_UC / (trained.temperature * k), label_U) for k in (1, 0.8, 1.25))
    assert best < min(others)


def test_it_can_be_stepped(path: Path) -> None:
    model = store.load(path).model
    read = tensors(corpus(), ("text", "audio", "visual"), store.load(path).scales)
    dialogue, _ = read.splits["test"].batch(torch.tensor([0]))
    logits, _ = model.step(dialogue.turn(0), model.init_state(1))
    torch.testing.assert_close(logits, model(dialogue)[:, 0], atol=1e-5, rtol=0)


def test_another_kind_and_a_broken_file_are_named(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    checkpoint.save(other, {}, {"kind": "text-encoder", "config": {}})
    with pytest.raises(CheckpointError, match="expected 'conversation-model'"):
        store.load(other)
    bare = tmp_path / "bare.safetensors"
    checkpoint.save(
        bare, {}, {"kind": store.KIND, "config": {"span": {}, "sizes": {"text": 2}, "classes": 2}}
    )
    with pytest.raises(CheckpointError, match="does not fit this version"):
        store.load(bare)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="truncated"):
        store.load(cut)
