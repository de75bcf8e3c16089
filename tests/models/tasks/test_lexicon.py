"""What the lexicon and the punctuation say of a turn."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest

from models.data.corpus import DataError
from models.tasks.lexicon import NAMES, Lexicon
from tests.data import shared_data

SMALL = Lexicon({"good": 2.0, "bad": -2.5, "great": 3.0})


def column(texts: list[str], name: str) -> list[float]:
    rows: list[float] = SMALL.rows(texts)[:, NAMES.index(name)].tolist()
    return rows


def test_the_compound_is_the_normalised_sum_of_valences() -> None:
    assert SMALL.compound("a good, GREAT thing") == pytest.approx(5 / math.sqrt(25 + 15))
    assert SMALL.compound("nothing to see") == 0


@pytest.mark.parametrize(
    ("text", "valence"),
    [
        ("good", 2.0),
        ("not good", -0.74 * 2.0),
        ("isn't very good", -0.74 * 2.293),
        ("isn’t good", -0.74 * 2.0),
        ("really good", 2.293),
        ("really bad", -2.793),
        ("not one of all the good", 2.0),
    ],
)
def test_negations_turn_and_boosters_raise_within_three_words(text: str, valence: float) -> None:
    assert SMALL.valences(text) == pytest.approx([valence])


def test_punctuation_and_letters_are_counted() -> None:
    text = ['Oh... "good" job!! WHAT?']
    found = {name: column(text, name)[0] for name in NAMES}
    assert found["exclamation"] == 2
    assert found["question"] == 1
    assert found["ellipsis"] == 1
    assert found["quotes"] == 1
    assert found["capitals"] == pytest.approx(1 / 4)
    assert found["words"] == pytest.approx(math.log(5))
    assert found["positive"] == pytest.approx(1 / 4)


def test_context_is_the_turns_before_and_never_those_after() -> None:
    texts = ["good", "plain", "bad"]
    good, bad = SMALL.compound("good"), SMALL.compound("bad")
    assert column(texts, "context") == pytest.approx([0, good, good / 2])
    assert column(texts, "contrast") == pytest.approx([good, -good, bad - good / 2])
    np.testing.assert_array_equal(SMALL.rows(texts)[:2], SMALL.rows([*texts[:2], "great great"])[:2])


def test_an_empty_turn_and_an_empty_scene_have_finite_rows() -> None:
    assert np.isfinite(SMALL.rows([""])).all()
    assert SMALL.rows([]).shape == (0, len(NAMES))


def test_vaders_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "lexicon.gz"
    path.write_bytes(gzip.compress(b"fine\t0.8\t0.6\t[1, 0]\nawful\t-2.0\t0.9\t[-2, -2]\n"))
    assert Lexicon.read(path).valence == {"fine": 0.8, "awful": -2.0}


@pytest.mark.parametrize("content", [b"not gzip", gzip.compress(b"word only\n")])
def test_another_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "lexicon.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"lexicon\.gz: not VADER's lexicon"):
        Lexicon.read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such lexicon"):
        Lexicon.read(tmp_path / "lexicon.gz")


def test_the_real_lexicon_knows_good_from_bad() -> None:
    real = Lexicon.read(shared_data("lexicons", "vader_lexicon.txt.gz"))
    assert real.compound("What a wonderful, happy day!") > 0.5
    assert real.compound("This is a horrible disaster.") < -0.5
