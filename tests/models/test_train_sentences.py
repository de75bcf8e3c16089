"""First stage of the text encoder: no leaks, a head for each corpus, and a run that can be interrupted."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models import train_sentences as stage
from models.data.corpus import Corpus, DataError
from models.data.sentences import ANY_OF, MEASURES, ONE_OF, Part, Sentences
from models.encoders.text import TextEncoder
from tests.models.data.made import corpus, talk
from tests.models.encoders.test_text import small_encoder

SAID = "this very line stands in the test part"
OTHER = "and that other line stands only in train"
RECIPE = replace(stage.read(stage.CONFIG)[1], epochs=2, batch=2)


def judge() -> Corpus:
    return corpus([talk("a", OTHER, SAID, labels=[1, 0])], [talk("b", "hm")], [talk("c", SAID)], name="meld")


def sentences(kind: str = ANY_OF) -> Sentences:
    said = (SAID, OTHER, "a third", OTHER + "!")
    train = Part(said, (0,) * 4, np.array([[1, 0], [0, 1], [1, 1], [0, 1]], np.float32))
    said_in_dev = ("and that other line, stands only in train", "x")
    dev = Part(said_in_dev, (0,) * 2, np.array([[1, 0], [0, 1]], np.float32))
    return Sentences("toy", kind, ("p", "q"), {"train": train, "dev": dev, "test": dev}, "ours", "yes")


def lines(n: int, k: int = 2) -> Part:
    targets = np.eye(k, dtype=np.float32)[np.arange(n) % k]
    words = ("love this", "hate that", "on the table")
    return Part(tuple(f"{words[i % 3]} {i}" for i in range(n)), (0,) * n, targets)


def task(kind: str = ONE_OF, name: str = "toy", n: int = 5) -> Sentences:
    return Sentences(name, kind, ("p", "q"), {s: lines(n) for s in ("train", "dev", "test")}, "ours", "yes")


def test_what_stands_in_dev_or_test_of_either_corpus_is_not_learnt() -> None:
    """A sentence of MELD's test, and one of the corpus's own dev under other punctuation."""
    work = stage.without_leaks(sentences(), judge())
    assert work.splits["train"].texts == ("a third",)
    assert work.splits["train"].targets_NK.tolist() == [[1, 1]]


def test_labels_of_dialogues_that_stand_in_test_are_not_learnt() -> None:
    work = stage.sentences_of(judge(), judge(), 9.0, random.Random(0))
    assert work.splits["train"].texts == (OTHER,)


def test_neutral_lines_are_thinned_and_others_kept() -> None:
    some = stage._thinned(lines(100, 4), neutral=0.2, random_=random.Random(0))
    assert (some.targets_NK[:, 0] > 0).sum() == 15  # of 25, beside 75 others
    assert len(some) == 90


def test_speakers_are_letters_by_first_appearance() -> None:
    found = stage._labelled([talk("a", "one", "two", "three", who="ZAZ", labels=[0, 1, -1])], 2)
    assert found.speakers == (0, 1)
    assert found.texts == ("one", "two")


@pytest.mark.parametrize("kind", [ONE_OF, ANY_OF, MEASURES])
def test_the_loss_is_least_where_the_targets_are_met(kind: str) -> None:
    """For every kind of target."""
    work = task(kind)
    targets, loss = torch.from_numpy(work.splits["train"].targets_NK), stage.loss_of(work, 0.0)
    right = targets if kind == MEASURES else 20 * targets - 10
    assert loss(right, targets) < 1e-3
    assert loss(-right, targets) > 1


def test_figures_are_those_of_the_outputs() -> None:
    targets = torch.tensor([[1.0, 0], [0, 1], [0, 1]])
    assert stage.measured(task(ONE_OF), 2 * targets, targets) == {"weighted_f1": 1, "macro_f1": 1}
    assert stage.measured(task(ANY_OF), 2 * targets - 1, targets)["macro_f1"] == 1
    assert stage.measured(task(ANY_OF), -torch.ones(3, 2), targets)["macro_f1"] == 0
    assert stage.measured(task(MEASURES), 3 * targets + 1, targets) == pytest.approx({"p": 1, "q": 1})
    assert stage.measured(task(MEASURES), -targets, targets) == pytest.approx({"p": -1, "q": -1})


def trainer(folder: Path) -> stage.Trainer:
    torch.manual_seed(3)
    return stage.Trainer(small_encoder(), [task(), task(ANY_OF, "other")], RECIPE, 0, folder)


def test_an_interrupted_run_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    """Bit for bit: weights, heads and figures."""
    whole = trainer(tmp_path / "whole")
    said = list(whole.run(keep=1))
    assert len(said) == whole.total == 12
    assert sum(map(bool, said)) == RECIPE.epochs
    broken = trainer(tmp_path / "broken")
    steps = broken.run(keep=1)
    for _ in range(7):  # in the middle of the second epoch
        next(steps)
    again = trainer(tmp_path / "broken")
    list(again.run(keep=1))
    assert again.step == whole.step
    for mine, theirs in zip(again.encoder.net.parameters(), whole.encoder.net.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert again.finish() == whole.finish()


def test_the_encoder_is_written_with_its_facts(tmp_path: Path) -> None:
    """Not rounded: a second stage goes on from it."""
    work = trainer(tmp_path)
    list(work.run())
    work.finish()
    stored = TextEncoder.load(tmp_path / "text.safetensors")
    assert torch.equal(stored.net.layers[0].up.weight, work.encoder.net.layers[0].up.weight)  # type: ignore[union-attr,arg-type]
    assert stored.meta["data_licences"] == {"all-MiniLM-L6-v2": "Apache-2.0", "toy": "ours", "other": "ours"}
    assert stored.meta["commercial_use"] == "yes"


def test_a_state_of_other_corpora_is_refused(tmp_path: Path) -> None:
    list(trainer(tmp_path).run())
    other = stage.Trainer(small_encoder(), [task()], RECIPE, 0, tmp_path)
    with pytest.raises(ValueError, match="a run over toy, other; give another --out"):
        next(other.run())


def test_an_unknown_corpus_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no corpus 'imdb'; there are meld"):
        stage.tasks(["imdb"], tmp_path, RECIPE, 0)


@pytest.mark.parametrize("argv", [["--corpora", "imdb"], ["--config", "absent.toml"], []])
def test_wrong_input_ends_with_two(tmp_path: Path, argv: list[str]) -> None:
    assert stage.main(["--data", str(tmp_path), "--out", str(tmp_path / "out"), *argv]) == 2
