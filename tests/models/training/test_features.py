"""Words as features: encoded once, in order, misheard as asked; leaks go before anything is learnt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import data
from models.data.corpus import Corpus, DataError
from models.encoders.hub.spec import parse
from models.encoders.hub.text import HubText
from models.encoders.text import TextEncoder
from models.training import features
from models.training.config import Data, TrainingError
from models.training.features import clean, encoded, encoder, noisy, open_data
from models.training.run import run
from tests.models.encoders.hub import checkpoints
from tests.models.encoders.test_text import small_encoder
from tests.models.training.corpora import config, corpus

MORE = "what a long and winding sentence number"


def opener(calls: list[int]) -> Callable[[], TextEncoder]:
    def open_encoder() -> TextEncoder:
        calls.append(1)
        return small_encoder()

    return open_encoder


def test_each_utterance_has_the_features_of_its_own_words(tmp_path: Path) -> None:
    """Encoded in order of length, kept in order of the conversation, behind the speaker's letter."""
    calls: list[int] = []
    toy = encoded(corpus(), "small", opener(calls), tmp_path)
    c = toy.splits["dev"][2]
    want = small_encoder().encode(c.texts, c.order_of_appearance()).numpy()
    np.testing.assert_allclose(c.features["text"], want, atol=1e-6)
    assert c.features["audio"].shape[1] == 4
    assert calls == [1]


def test_features_are_kept_on_disk_by_encoder_and_words(tmp_path: Path) -> None:
    calls: list[int] = []
    first = encoded(corpus(), "small", opener(calls), tmp_path)
    again = encoded(corpus(), "small", opener(calls), tmp_path)
    assert calls == [1]
    assert np.array_equal(first.splits["test"][0].features["text"], again.splits["test"][0].features["text"])
    encoded(corpus(), "other", opener(calls), tmp_path)
    encoded(corpus(seed=1), "small", opener(calls), tmp_path)
    assert calls == [1, 1, 1]
    assert not list(tmp_path.glob("*.part"))


def test_an_utterance_without_words_has_no_text(tmp_path: Path) -> None:
    toy = corpus()
    c = toy.splits["dev"][0]
    silent = replace(c, texts=("", *c.texts[1:]))
    toy = replace(toy, splits={**toy.splits, "dev": (silent, *toy.splits["dev"][1:])})
    rows_ND = encoded(toy, "small", small_encoder, tmp_path).splits["dev"][0].features["text"]
    assert np.isnan(rows_ND[0]).all()
    assert np.isfinite(rows_ND[1:]).all()


def test_progress_is_told_to_the_end(tmp_path: Path) -> None:
    said: list[tuple[str, int, int]] = []
    encoded(corpus(), "small", small_encoder, tmp_path, lambda *a: said.append(a))
    assert {what for what, *_ in said} == {"toy train", "toy dev", "toy test"}
    assert all(done == total for what, done, total in said if (what, done, total) == said[-1])


def test_a_corpus_without_words_is_refused(tmp_path: Path) -> None:
    toy = corpus()
    mute = replace(toy, splits={"train": tuple(replace(c, texts=()) for c in toy.splits["train"])})
    with pytest.raises(TrainingError, match="train has no words"):
        encoded(mute, "small", small_encoder, tmp_path)


def test_word_errors_are_made_in_the_splits_that_are_named() -> None:
    def words(of: Corpus, split: str) -> list[str]:
        return [t for c in of.splits[split] for t in c.texts]

    toy = corpus()
    out = noisy(toy, Data(corpus="toy", text="frozen", word_errors=(0.1, 0.5)))
    assert set(out.splits) == {"train", "dev", "test", "test@0.1", "test@0.5"}
    assert all(words(out, s) == words(toy, s) for s in ("train", "dev", "test"))
    wrong = {
        r: sum(a != b for a, b in zip(words(out, f"test@{r}"), words(toy, "test"), strict=True))
        for r in ("0.1", "0.5")
    }
    assert 0 < wrong["0.1"] < wrong["0.5"]
    out = noisy(toy, Data(corpus="toy", text="frozen", train_word_errors=0.3))
    assert words(out, "train") != words(toy, "train")
    assert words(out, "dev") != words(toy, "dev")
    assert words(out, "test") == words(toy, "test")
    assert (
        noisy(toy, Data(corpus="toy", text="frozen", train_word_errors=0.3)).splits.keys()
        == toy.splits.keys()
    )


def test_labels_whose_words_stand_in_test_are_hidden_and_counted() -> None:
    toy = corpus()
    c, t = toy.splits["train"][0], toy.splits["test"][0]
    leak = replace(c, texts=(f"{MORE} one", *c.texts[1:]))
    seen = replace(t, texts=(f"{MORE}, one!", *t.texts[1:]))
    splits = {
        **toy.splits,
        "train": (leak, *toy.splits["train"][1:]),
        "test": (seen, *toy.splits["test"][1:]),
    }
    toy = replace(toy, splits=splits)
    out, notes = clean(toy, Data(corpus="toy"))
    assert out.splits["train"][0].labels_N[0] == -1
    assert len(notes) == 1
    assert "1 labels dropped" in notes[0]
    assert clean(toy, Data(corpus="toy", leaks="keep")) == (toy, ())


def test_a_train_split_that_stands_in_test_as_a_whole_is_refused(tmp_path: Path) -> None:
    toy = corpus()
    copied = replace(toy, splits={**toy.splits, "test": toy.splits["train"]})
    with pytest.raises(TrainingError, match="leaves nothing to train on: is one split of toy a copy"):
        clean(copied, Data(corpus="toy"))
    bare = replace(toy, splits={**toy.splits, "train": ()})
    assert encoded(bare, "small", small_encoder, tmp_path).splits["train"] == ()


def test_options_go_to_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(data.CORPORA, "toy", lambda folder, fold=0: corpus(seed=fold))
    digests = {open_data(config(**{"data.options": {"fold": n}}), tmp_path).digest for n in (0, 1)}
    assert len(digests) == 2
    with pytest.raises(DataError, match="unexpected keyword"):
        open_data(config(**{"data.options": {"folds": 1}}), tmp_path)


def test_a_corpus_is_opened_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of two machines are one: where words are encoded, the digest is of words and encoder."""
    monkeypatch.setitem(data.CORPORA, "toy", lambda folder: corpus())
    monkeypatch.setattr(features, "pretrained", small_encoder)
    monkeypatch.setattr(features, "LAYERS", 2)
    packaged = open_data(config(), tmp_path, tmp_path)
    assert packaged.tensors.sizes == {"text": 6, "audio": 4, "visual": 5}
    frozen = open_data(config(**{"data.text": "frozen"}), tmp_path, tmp_path)
    assert frozen.tensors.sizes["text"] == 16
    layers = open_data(config(**{"data.text": "frozen-layers"}), tmp_path, tmp_path)
    assert layers.tensors.sizes["text"] == 2 * 16
    assert layers.digest != frozen.digest
    for path in (tmp_path / "features").iterdir():
        np.save(path, np.load(path) + 1e-6)
    again = open_data(config(**{"data.text": "frozen"}), tmp_path, tmp_path)
    assert again.digest == frozen.digest != packaged.digest
    misheard: dict[str, Any] = {"data.text": "frozen", "data.word_errors": [0.2]}
    others = [
        open_data(config(**c), tmp_path, tmp_path).digest
        for c in (misheard, {**misheard, "data.train_word_errors": 0.2})
    ]
    assert len({frozen.digest, *others}) == 3, "other words are other data"
    heard = open_data(config(**{"data.text": "frozen", "data.modalities": ["audio"]}), tmp_path, tmp_path)
    assert heard.tensors.sizes == {"text": 0, "audio": 4, "visual": 0}


def test_an_encoder_file_can_be_named_and_a_missing_one_is(tmp_path: Path) -> None:
    path = tmp_path / "text.safetensors"
    small_encoder().save(path, {"name": "small"})
    name, open_encoder = encoder(Data(corpus="toy", text=str(path)), corpus(), tmp_path)
    assert open_encoder().dim == 16
    assert len(name) == 16
    with pytest.raises(TrainingError, match=r'data\.text = "nowhere"'):
        encoder(Data(corpus="toy", text="nowhere"), corpus(), tmp_path)


def test_a_big_encoder_is_named_by_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its width is read off; other files or another pooling are other data; and a model learns of it."""
    monkeypatch.setitem(data.CORPORA, "toy", lambda folder: corpus())
    folder = checkpoints.text(tmp_path / "roberta")
    asked = config(**{"data.text": f"hf:{folder}?device=cpu"})
    prepared = open_data(asked, tmp_path, tmp_path)
    assert prepared.tensors.sizes == {"text": 32, "audio": 4, "visual": 5}
    c = prepared.corpus.splits["test"][1]
    want = HubText(parse(asked.data.text, "text")).encode(c.texts, c.order_of_appearance()).numpy()
    np.testing.assert_allclose(c.features["text"], want, atol=1e-5)
    other = checkpoints.text(tmp_path / "other", seed=1)
    digests = {prepared.digest}
    for text in (f"hf:{folder}?pool=cls", f"hf:{other}"):
        digests.add(open_data(config(**{"data.text": text}), tmp_path, tmp_path).digest)
    assert len(digests) == 3
    row = run(config(**{"data.text": f"hf:{folder}", "data.modalities": ["text"]}), prepared, 0)
    assert row["test"]["weighted_f1"] > 50, "three kinds of words, three labels"


def test_a_big_encoder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"data\.text: hf:.*nowhere is no directory; expected one with"):
        encoder(Data(corpus="toy", text=f"hf:{tmp_path}/nowhere"), corpus(), tmp_path)


def test_an_interrupted_encoding_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Part by part; the parts go once they are one, and the progress counts what was there."""
    monkeypatch.setattr(features, "PART", 20)

    def stop_after(utterances: int) -> Callable[[str, int, int], None]:
        def say(what: str, done: int, total: int) -> None:
            said.append((what, done, total))
            if done > utterances:
                raise KeyboardInterrupt

        return say

    said: list[tuple[str, int, int]] = []
    with pytest.raises(KeyboardInterrupt):
        encoded(corpus(), "small", small_encoder, tmp_path, stop_after(25))
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.parts/*.npy")}
    assert [path.name for path in kept] == ["0.npy"]
    said.clear()
    toy = encoded(corpus(), "small", small_encoder, tmp_path, stop_after(10_000))
    assert said[0][:2] == ("toy train", 21), "the first part was there"
    assert not list(tmp_path.glob("*.parts"))
    whole = encoded(corpus(), "small", small_encoder, tmp_path / "whole")
    for split, group in whole.splits.items():
        for one, other in zip(group, toy.splits[split], strict=True):
            np.testing.assert_allclose(one.features["text"], other.features["text"], atol=1e-6)


def test_a_tuned_encoder_is_one_on_every_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its bytes; made where its name says, so that another recipe never finds it."""
    voiced = replace(corpus(), measures={"audio": tuple("abcd")})

    def tuned(of: Corpus, folder: Path) -> Path:
        folder.mkdir(parents=True)
        small_encoder().save(folder / "text.safetensors", {"made in": str(folder)})
        return folder / "text.safetensors"

    monkeypatch.setattr(features.tune_text, "tuned", tuned)
    asked = Data(corpus="toy", text="tuned")
    here, there = (encoder(asked, voiced, tmp_path / where) for where in ("here", "there"))
    assert here[0] == there[0]
    assert here[1]().dim == 16
    assert [p.parent for p in sorted(tmp_path.glob("*/*/*.safetensors"))] == [
        tmp_path / where / f"toy-{here[0]}" for where in ("here", "there")
    ]


def test_what_cannot_be_tuned_on_is_named(tmp_path: Path) -> None:
    """Words without voice measures, or without a test split."""
    d, voiced = Data(corpus="toy", text="tuned"), replace(corpus(), measures={"audio": tuple("abcd")})
    less = {s: voiced.splits[s] for s in ("train", "dev")}
    for toy in (corpus(), replace(voiced, splits=less)):
        with pytest.raises(TrainingError, match=r'data\.text = "tuned" tunes on .*toy lacks'):
            encoder(d, toy, tmp_path)


def test_the_tuned_encoder_of_meld_is_the_one_that_ships(tmp_path: Path) -> None:
    _, open_encoder = encoder(Data(corpus="meld", text="tuned"), replace(corpus(), name="meld"), tmp_path)
    assert open_encoder().meta["name"] == "lmam-text"
