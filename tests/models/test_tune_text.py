"""Any corpus goes through the trainer of the text encoder: anonymous, causal, with labels of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models import tune_text
from models.data.corpus import Conversation, Corpus
from tests.models.encoders.test_text import small_encoder

WORDS = ("I love it, this is so wonderful!", "Get out of here, I hate you!", "It is on the table.")


def conversation(n: int) -> Conversation:
    voice = np.array([[1.0, 200.0 + n], [2.0, np.nan], [np.nan, np.nan]], np.float32)
    return Conversation(
        f"d{n}", ("a", "b", "c"), ("Zoe", "Al", "Zoe"), np.array([2, 0, 1]), WORDS, {"audio": voice}
    )


def corpus() -> Corpus:
    splits = {s: tuple(conversation(n) for n in range(3)) for s in ("train", "dev", "test")}
    return Corpus("toy", ("x", "y", "z"), splits, "ours", "yes", {"audio": ("duration", "avg_pitch")})


def test_speakers_are_anonymous_and_missing_voices_are_marked() -> None:
    e = tune_text.prepare(corpus()).train[0]
    assert e.speakers == (0, 1, 0)
    assert e.heard_N.tolist() == [True, True, False]
    assert torch.isfinite(e.audio_NA).all()


def test_utterances_without_a_label_are_context_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In train, where labels that stand in test are hidden, in dev and in test; a whole batch of them too."""
    recipe = tune_text.Setup.read(tune_text.ROOT / "configs" / "models" / "meld.toml")
    small = replace(recipe, net={**recipe.net, "text": 16, "dim": 16, "rank": 4})
    monkeypatch.setattr(tune_text.Setup, "read", lambda path: small)
    monkeypatch.setattr(tune_text, "pretrained", small_encoder)
    monkeypatch.setattr(tune_text, "EPOCHS", 1)
    monkeypatch.setattr(tune_text, "UTTERANCES", 3)
    toy = corpus()
    bare = replace(toy.splits["train"][0], labels_N=np.full(3, -1))
    part = replace(toy.splits["train"][1], labels_N=np.array([2, -1, 1]))
    splits = {"train": (bare, part, toy.splits["train"][2]), "dev": (part,), "test": (part,)}
    work = tune_text.trainer(replace(toy, splits=splits), tmp_path, seed=0)
    assert work.total == 3
    list(work.run())
    assert all(torch.isfinite(p).all() for p in work.net.parameters())
    logits_NC, labels_N = work.predict(work.corpus.dev)
    assert labels_N.tolist() == [2, 1]
    assert logits_NC.shape == (2, 3)


def test_a_tuned_encoder_is_kept_and_named_after_its_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained once, found again; its facts name the corpus, the labels and the licence."""
    monkeypatch.setattr(tune_text, "pretrained", small_encoder)
    monkeypatch.setattr(tune_text, "EPOCHS", 1)
    work = tune_text.trainer(corpus(), tmp_path, seed=0)
    assert work.net.config.classes == 3
    assert work.about["data_licences"]["toy"] == "ours"
    monkeypatch.setattr(tune_text, "trainer", lambda *_: pytest.fail("trained again"))
    (tmp_path / "text.safetensors").touch()
    (tmp_path / "fusion.pt").touch()
    assert tune_text.tuned(corpus(), tmp_path) == tmp_path / "text.safetensors"


def test_a_tuned_encoder_is_named_by_how_it_is_tuned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by its bytes, which each machine makes otherwise: rows of two machines are of the same data."""
    name = tune_text.name(corpus())
    assert name == tune_text.name(corpus())
    assert tune_text.home(corpus(), tmp_path) == tmp_path / f"toy-{name}"
    others = {name, tune_text.name(corpus(), seed=1), tune_text.name(replace(corpus(), name="other"))}
    monkeypatch.setattr(tune_text, "EPOCHS", 1)
    others.add(tune_text.name(corpus()))
    assert len(others) == 4


def test_labels_whose_words_stand_in_test_are_hidden_from_the_tuner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command as by `lmam train`, so that both tune the same encoder."""
    seen: list[Corpus] = []

    def tuned(read: Corpus, folder: Path, seed: int) -> Path:
        seen.append(read)
        return folder

    monkeypatch.setattr("models.data.load", lambda name, folder: corpus())
    monkeypatch.setattr(tune_text, "tuned", tuned)
    assert tune_text.main(["iemocap6", "--data", str(tmp_path), "--out", str(tmp_path)]) == 0
    shown = [int(n) for c in seen[0].splits["train"] for n in c.labels_N if n >= 0]
    assert shown == []  # every dialogue of train is one of test
