"""Corpora of single sentences: read whole, damaged files named."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from models.data import emobank, goemotions
from models.data.corpus import DataError
from models.data.sentences import Sentences
from tests.data import shared_data

EMOBANK = "id,split,V,A,D,text\n"


def write_goemotions(folder: Path, lines: str = "I love it!\t1,0\tx1\nwhat?\t2\tx2\n") -> Path:
    place = folder / "goemotions"
    place.mkdir(parents=True)
    (place / "labels.txt").write_text("joy\nlove\nneutral\n")
    for split in ("train", "dev", "test"):
        with gzip.open(place / f"{split}.tsv.gz", "wt", encoding="utf-8") as file:
            file.write(lines)
    return folder


def write_emobank(folder: Path, lines: str) -> Path:
    place = folder / "emobank"
    place.mkdir(parents=True)
    with gzip.open(place / "emobank.csv.gz", "wt", encoding="utf-8") as file:
        file.write(EMOBANK + lines)
    return folder


def test_several_labels_of_a_comment_are_all_kept(tmp_path: Path) -> None:
    of = goemotions.load(write_goemotions(tmp_path))
    assert of.labels == ("joy", "love", "neutral")
    assert of.splits["dev"].texts == ("I love it!", "what?")
    assert of.splits["dev"].targets_NK.tolist() == [[1, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    "lines", ["fine\t0\tx\nno number\tz\tx\n", "fine\t0\tx\nonly text\n", "a\t0\tx\nb\t3\tx\n"]
)
def test_a_comment_without_a_known_label_is_named(tmp_path: Path, lines: str) -> None:
    with pytest.raises(DataError, match=r"train\.tsv\.gz:2: .*label numbers below 3"):
        goemotions.load(write_goemotions(tmp_path, lines))


def test_annotators_means_become_minus_one_to_one(tmp_path: Path) -> None:
    """And what has no words is left out."""
    of = emobank.load(
        write_emobank(
            tmp_path, 'a,train,1,5,3,"Oh, no."\nb,test,4,3,2,Yes\nc,train,3,3,3,".."\nd,dev,3,3,3,So\n'
        )
    )
    assert of.splits["train"].texts == ("Oh, no.",)
    assert of.splits["train"].targets_NK.tolist() == [[-1, 1, 0]]
    assert of.splits["test"].targets_NK.tolist() == [[0.5, 0, -0.5]]


@pytest.mark.parametrize(
    ("line", "said"), [("a,train,6,3,3,hm\n", r"outside 1\.\.5"), ("a,eval,3,3,3,hm\n", "split 'eval'")]
)
def test_what_is_no_rating_is_refused(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        emobank.load(write_emobank(tmp_path, line))


@pytest.mark.parametrize("load", [goemotions.load, emobank.load])
def test_a_missing_folder_is_named(tmp_path: Path, load: object) -> None:
    with pytest.raises(DataError, match=r"not found; expected"):
        load(tmp_path)  # type: ignore[operator]


def test_the_published_sentences_are_read_whole() -> None:
    """Counts as published, but for EmoBank's few entries without a word; every label is met."""
    sizes = {"goemotions": (43410, 5426, 5427), "emobank": (8056, 999, 1000)}
    for name, load in (("goemotions", goemotions.load), ("emobank", emobank.load)):
        of: Sentences = load(shared_data())
        assert tuple(len(of.splits[s]) for s in ("train", "dev", "test")) == sizes[name]
        rows = of.splits["train"].targets_NK
        assert np.isfinite(rows).all()
        assert (rows != 0).any(0).all()


def test_every_emotion_of_goemotions_has_one_of_ekmans() -> None:
    of = goemotions.load(shared_data())
    grouped = [n for names in goemotions.EKMAN.values() for n in names]
    assert sorted([*grouped, "neutral"]) == sorted(of.labels)
