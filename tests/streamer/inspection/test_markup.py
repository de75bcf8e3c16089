"""Pieces of the page: nothing from outside is ever markup, and bars tell the truth."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.inspection.markup import (
    FINE,
    account,
    again,
    bar,
    bar_name,
    disagrees,
    face,
    number,
    said,
    spread,
    store,
    text,
    top,
    verdict,
)
from tests.streamer.inspection.made import Page, crop, row

PART = re.compile(r'<path class="l(\d)" d="M(\d+) \.5H(\d+)"/>')


@given(st.text())
def test_no_text_becomes_markup(value: str) -> None:
    safe = text(value)
    assert not set(safe) & set("<>\"'")
    page = Page(f'<p title="{safe}">{safe}</p>')
    assert page.tags[0][0] == "p"
    assert len(page.tags) == 1
    assert page.tags[0][1]["title"] == "".join(page.words)


def test_control_characters_are_blanks_and_joined_letters_stay() -> None:
    assert text("a\x00b\u202ec\nd\udc80") == "a b c d "
    assert text("می\u200cخواهم 👩\u200d🔬") == "می\u200cخواهم 👩\u200d🔬"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9).filter(lambda x: sum(x) > 0.01))
def test_a_bar_is_full_and_each_part_as_long_as_its_label_is_probable(weights: list[float]) -> None:
    probs = [w / sum(weights) for w in weights]
    parts = [(int(i), int(a), int(b)) for i, a, b in PART.findall(bar(probs, "t"))]
    assert [p[1] for p in parts] == [0, *(p[2] for p in parts[:-1])]
    assert parts[-1][2] == FINE
    drawn = {i: (b - a) / FINE for i, a, b in parts}
    for i, p in enumerate(probs):
        assert drawn.get(i, 0.0) == pytest.approx(p, abs=1.5 / FINE)


def test_a_bar_is_a_picture_with_a_name_and_can_be_drawn_again() -> None:
    page = Page(bar([0.3, 0.7], "joy 30 %", "b1") + again("b1"))
    first, second = page.all("svg")
    assert first["role"] == "img"
    assert "joy 30 %" in page.text
    assert second["aria-hidden"] == "true"
    assert page.all("use")[0]["href"] == "#b1"
    assert page.ids == ["b1"]


def test_readings_of_an_utterance_have_names_of_their_own() -> None:
    names = [bar_name(r, m) for r in (row(1), row(11)) for m in (None, 0, 1, 2)]
    assert len(set(names)) == 8


def test_a_spread_is_ranked_and_leaves_out_what_is_hardly_there() -> None:
    assert spread(["a", "<b>", "c"], [0.2, 0.795, 0.005]) == "&lt;b&gt; 80\u00a0%, a 20\u00a0%"


def test_a_picture_is_stored_once_and_drawn_where_it_is_wanted() -> None:
    shared = crop(1.5, track=2, quality=0.83)
    page = Page(store([row(1, crops=[shared]), row(2, crops=[shared, crop(9)])]) + face(shared) * 2)
    images = page.all("image")
    assert [i["id"] for i in images] == ["f2-1500", "f0-9000"]
    assert images[0]["href"] == "data:image/jpeg;base64,AAAAAA=="
    assert [u["href"] for u in page.all("use")] == ["#f2-1500"] * 2
    assert page.text.count("face 2 at 0:01.5, quality 83 %") == 2


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (row(text="<b>Hi</b>"), '<span dir="auto" lang="en">&lt;b&gt;Hi&lt;/b&gt;</span>'),
        (row(text=None, alone=(None, (0.5, 0.5), None)), "<em>(no words)</em>"),
        (row(text=None), "<em>(words not published)</em>"),
        (row(text=None, spoken=False, alone=(None, None, (0.5, 0.5))), "<em>(a face, no voice)</em>"),
    ],
)
def test_the_words_or_why_there_are_none(made: object, words: str) -> None:
    assert said(made) == words  # type: ignore[arg-type]


def test_an_abstention_says_so() -> None:
    assert verdict(row()) == "joy 75\u00a0%"
    assert verdict(row(abstained=True)) == "abstained (joy 75\u00a0%)"


def test_a_modality_disagrees_where_its_label_is_another() -> None:
    assert [disagrees(row(), m) for m in range(3)] == [False, True, False]
    assert top([0.5, 0.5]) == 0


def test_an_account_names_every_reading() -> None:
    lines = account(row(), ["joy", "neutral"]).replace("\u00a0", " ").split("&#10;")
    assert lines == [
        "together: joy 75 %, neutral 25 %",
        "words alone: joy 75 %, neutral 25 %",
        "voice alone: neutral 75 %, joy 25 %",
        "face alone: absent",
    ]


@pytest.mark.parametrize(("value", "shown"), [(0, "0"), (100, "100"), (12.5, "12.5"), (33.333, "33.33")])
def test_numbers_of_places_are_short(value: float, shown: str) -> None:
    assert number(value) == shown
