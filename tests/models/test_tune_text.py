"""Any corpus goes through the trainer of the text encoder: anonymous, causal, with labels of its own."""

from __future__ import annotations

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
