"""Word errors happen at the rate asked for, with training words, reproducibly."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import replace

import pytest

from models.asr_noise import Noise, WordErrors, plain

TEXTS = ["Well, I'm not so sure about that!", "You know what? I think we should go there now."] * 20


@pytest.fixture
def errors() -> WordErrors:
    return WordErrors(TEXTS)


def test_plain_has_no_capitals_and_no_punctuation() -> None:
    """Apostrophes within words stay: a recogniser writes them."""
    assert plain("Oh-- I’m SURE it's 5 o'clock!?") == "oh i'm sure it's 5 o'clock"


def test_the_rate_is_kept(errors: WordErrors) -> None:
    """Over many words the share of errors (edit distance) is the rate, within three standard deviations."""
    random_, wrong, total = random.Random(0), 0, 0
    for text in TEXTS * 25:
        before, after = plain(text).split(), errors.corrupt(text, 0.3, random_).split()
        wrong += edit_distance(before, after)
        total += len(before)
    spread = 3 * (0.3 * 0.7 / total) ** 0.5
    assert 0.3 - spread - 0.02 < wrong / total < 0.3 + spread  # neighbours may cancel, by a little


def test_no_errors_is_plain_and_the_seed_decides(errors: WordErrors) -> None:
    """Rate 0 changes nothing but case and punctuation; one seed, one outcome."""
    assert errors.corrupt(TEXTS[0], 0.0, random.Random(1)) == plain(TEXTS[0])
    assert errors.corrupt(TEXTS[1], 0.5, random.Random(2)) == errors.corrupt(TEXTS[1], 0.5, random.Random(2))


def test_something_is_always_left(errors: WordErrors) -> None:
    """Even at rate 1 words are not all deleted; what had no words stays empty."""
    assert all(errors.corrupt("now", 1.0, random.Random(i)) for i in range(30))
    assert errors.corrupt("...", 1.0, random.Random(0)) == ""


def test_new_words_come_from_training(errors: WordErrors) -> None:
    """Nothing is invented outside the vocabulary."""
    known = set(plain(" ".join(TEXTS)).split())
    assert set(errors.corrupt(" ".join(TEXTS), 0.9, random.Random(0)).split()) <= known


@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_an_impossible_rate_is_refused(errors: WordErrors, rate: float) -> None:
    """Rates are shares."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        errors.corrupt("now", rate, random.Random(0))


def test_a_large_recogniser_keeps_capitals_and_punctuation(errors: WordErrors) -> None:
    """Without errors nothing changes; with them only words do, each as large as the one it stands for."""
    text = "Well -- I'm NOT so sure, Ross!"
    assert errors.corrupt(text, 0.0, random.Random(0), punctuated=True) == text
    for seed in range(40):
        out = errors.corrupt(text, 0.6, random.Random(seed), punctuated=True)
        assert re.sub(r"[A-Za-z']", "", out).replace(" ", "") == "--,!"
        assert plain(out)
        assert set(plain(out).split()) <= {*plain(text).split(), *plain(" ".join(TEXTS)).split()}


def test_errors_are_as_many_with_punctuation_as_without(errors: WordErrors) -> None:
    """Over many words, of the words alone."""
    random_, wrong, total = random.Random(0), 0, 0
    for text in TEXTS * 25:
        before = plain(text).split()
        wrong += edit_distance(before, plain(errors.corrupt(text, 0.3, random_, punctuated=True)).split())
        total += len(before)
    spread = 3 * (0.3 * 0.7 / total) ** 0.5
    assert 0.3 - spread - 0.02 < wrong / total < 0.3 + spread


def test_training_text_is_spoilt_in_the_shares_asked_for(errors: WordErrors) -> None:
    """Plain, heard and left as it is, each about as often as said."""
    noise = Noise(plain_share=0.3, error_share=0.0, error_rates=(0.1, 0.2), heard_share=0.2)
    random_, said = random.Random(0), "Now, then."
    out = Counter(errors.sometimes(said, random_, noise, {said: "no than"}) for _ in range(3000))
    assert out.keys() == {"Now, then.", "now then", "no than"}
    assert out["now then"] / 3000 == pytest.approx(0.3, abs=0.03)
    assert out["no than"] / 3000 == pytest.approx(0.2, abs=0.03)
    assert errors.sometimes("Unheard!", random.Random(1), replace(noise, plain_share=0.0), {}) == "Unheard!"


def test_a_misspelt_share_is_refused() -> None:
    with pytest.raises(TypeError, match="plian_share"):
        Noise.read({"plian_share": 0.3, "error_share": 0.0, "error_rates": [0.1, 0.2]})


def edit_distance(a: list[str], b: list[str]) -> int:
    """Levenshtein distance in words."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]
