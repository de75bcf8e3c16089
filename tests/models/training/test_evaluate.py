"""Evaluation: figures against hand counts, modalities taken away, and what does not fit is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models import data
from models.data.corpus import Corpus
from models.training import store
from models.training.config import TrainingError
from models.training.evaluate import bins, confusion, evaluate, per_class, read_data
from models.training.features import open_data
from models.training.fit import Fit
from models.training.pictures import draw
from models.training.run import finish, prepare
from tests.models.training.corpora import LABELS, config, corpus


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> store.Trained:
    run = config(**{"train.epochs": 10})
    prepared = prepare(run, corpus(train=24))
    fit = Fit(run, prepared.tensors, 0)
    list(fit.epochs())
    path = tmp_path_factory.mktemp("evaluate") / "model.safetensors"
    store.save(path, fit.model, run, prepared, finish(run, prepared, 0, fit, seconds=0))
    return store.load(path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(data.CORPORA, "toy", lambda folder: corpus(train=24))
    return tmp_path


def test_the_figures_are_those_of_training(trained: store.Trained, folder: Path) -> None:
    for split in ("dev", "test"):
        found = evaluate(trained, read_data(trained, folder, split=split), split)
        want = trained.meta["metrics"][split]
        assert found.scores == pytest.approx({k: want[k] for k in found.scores}, abs=1e-3)
        assert found.utterances == sum(c.n for c in found.classes) == sum(map(sum, found.confusion))
        assert found.scores["macro_f1"] == pytest.approx(np.mean([c.f1 for c in found.classes]))
        assert found.as_json()["classes"][0]["label"] == LABELS[0]


def test_each_class_is_counted() -> None:
    label, guess = torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([0, 0, 1, 1, 0, 0])
    cells = confusion(guess, label, 3)
    assert cells.tolist() == [[2, 1, 0], [1, 1, 0], [1, 0, 0]]
    a, b, c = per_class(cells, ("a", "b", "c"))
    assert a.recall == pytest.approx(200 / 3)
    assert (a.precision, a.n) == (50, 3)
    assert (b.precision, b.recall, b.f1) == (50, 50, 50)
    assert (c.precision, c.recall, c.f1, c.n) == (0, 0, 0, 1)


def test_bins_hold_the_calibration_error() -> None:
    from models.metrics import expected_calibration_error

    probs = torch.randn(500, 4, generator=torch.Generator().manual_seed(0)).mul(2).softmax(1)
    label = torch.randint(0, 4, (500,), generator=torch.Generator().manual_seed(1))
    found = bins(probs, label)
    error = sum(b.n * abs(b.accuracy - b.confidence) for b in found) / 500
    assert error == pytest.approx(expected_calibration_error(probs, label), abs=1e-9)
    assert all(b.low - 1e-6 <= b.confidence <= b.high + 1e-6 for b in found)


def test_a_modality_can_be_missing(trained: store.Trained, folder: Path) -> None:
    read = read_data(trained, folder, split="test")
    whole, less = evaluate(trained, read, "test"), evaluate(trained, read, "test", ["text", "audio"])
    assert less.without == ("text", "audio")
    assert less.scores["weighted_f1"] < whole.scores["weighted_f1"]
    with pytest.raises(TrainingError, match="no modality is left"):
        evaluate(trained, read, "test", ["text", "audio", "visual"])
    with pytest.raises(TrainingError, match="--without smell: the model reads text"):
        evaluate(trained, read, "test", ["smell"])


def test_data_that_does_not_fit_the_model_is_refused(
    trained: store.Trained, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(corpus: Corpus, split: str = "test") -> None:
        monkeypatch.setitem(data.CORPORA, "toy", lambda folder: corpus)
        read_data(trained, folder, split=split)

    toy = corpus()
    with pytest.raises(TrainingError, match="labels"):
        opened(replace(toy, labels=("x", "y", "z")))
    with pytest.raises(TrainingError, match="no split 'valid'"):
        opened(toy, "valid")
    wide = {
        s: tuple(c.with_features(text=np.ones((len(c), 400), np.float32)) for c in g)
        for s, g in toy.splits.items()
    }
    less = replace(trained, scales={k: v for k, v in trained.scales.items() if k != "text"})
    monkeypatch.setitem(data.CORPORA, "toy", lambda folder: replace(toy, splits=wide))
    with pytest.raises(TrainingError, match="the model reads"):
        read_data(less, folder, split="test")
    with pytest.raises(TrainingError, match="word errors are made in test"):
        read_data(trained, folder, split="dev", word_errors=0.1)
    with pytest.raises(TrainingError, match="word errors need a model that reads words"):
        read_data(trained, folder, split="test", word_errors=0.1)


def test_other_data_than_that_of_training_is_said(
    trained: store.Trained, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its words may have gone through another encoder: the figures would mean little."""
    opened = open_data(trained.config, folder).digest
    trained = replace(trained, meta={**trained.meta, "data_digest": opened})
    read_data(trained, folder, split="dev")
    assert not caplog.records
    monkeypatch.setitem(data.CORPORA, "toy", lambda folder: corpus(train=24, seed=1))
    read_data(trained, folder, split="dev")
    assert "is not what the model was trained on" in caplog.text
    assert opened in caplog.text


def test_it_can_be_drawn(trained: store.Trained, folder: Path, tmp_path: Path) -> None:
    """Two pictures, and no display is asked for."""
    pytest.importorskip("matplotlib", reason="needs the extra 'train'")
    found = evaluate(trained, read_data(trained, folder, split="test"), "test")
    for path in draw(found, tmp_path / "pictures", "toy, test"):
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert path.stat().st_size > 5000
