"""The page: whole, self-contained, honest about what it holds, and of bounded size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamer.context import Session
from streamer.conversations import report_mark
from streamer.inspection.findings import _thinned
from streamer.inspection.onlookers import Presence, Wave
from streamer.inspection.page import page
from streamer.payloads import ModelV1, SpeakerV1
from streamer.types import Span
from streamer.view import label_colours
from tests.streamer.inspection.made import check, crop, findings, row

EVIL = "</style></title><script>alert(1)</script>\"'><img src=x onerror=y> $name &amp;"


def test_the_page_holds_everything_and_fetches_nothing() -> None:
    f = findings(
        row(1, crops=[crop(2.5)]),
        row(2, abstained=True),
        row(3, speaker=SpeakerV1(id="unheard"), spoken=False, text=None, alone=(None, None, (0.5, 0.5))),
        faces=(Presence(0, Span(2, 4)),),
        problems=("media: talk.mp4: ends after 3.0 of 9.0 s: cut off?",),
    )
    read = check(page(f))
    assert {"s0", "t1", "u1", "u2", "u3"} <= set(read.ids)
    for words in (
        "talk.mp4",
        "2 utterances · 1 speaker · 1 silent stretch with a face · 1 abstained",
        "Observed expression: an observer's reading, never what anyone feels.",
        "holds the course of the sound, the words and pictures of the faces of the people recorded.",
        "purpose: demo",
        "lmam purge c1",
        "ends after 3.0 of 9.0 s",
        "Jensen-Shannon divergence",
        "with only that modality present",
        "lmam, version 1",
    ):
        assert words in read.text, words
    assert [h for h, _ in read.tags if h in ("h1", "h2")] == ["h1", *["h2"] * 6]


def test_nothing_from_outside_becomes_markup() -> None:
    model = ModelV1(name=EVIL, version=EVIL, transcriber=EVIL, labels=["joy", "neutral"])
    made = row(1, text=EVIL, speaker=SpeakerV1(id="s0", label=EVIL))
    made = replace(made, estimate=made.estimate.model_copy(update={"language": EVIL}))
    f = findings(made, name=EVIL, model=model, problems=(EVIL,))
    read = check(page(f))
    assert not read.all("img")
    assert read.text.count("<script>alert(1)</script>") >= 6
    assert read.text.count("$name") >= 6


def test_labels_of_a_model_are_escaped_and_have_colours() -> None:
    labels = ["<joy>", "b"]
    model = ModelV1(name="m", version="1", transcriber="t", labels=labels)
    html = page(findings(row(1, labels=labels), model=model))
    check(html)
    assert "<joy>" not in html
    for colour in label_colours("<joy>", labels):
        assert f"--l0:{colour}" in html


def test_the_head_says_whose_report_it_is() -> None:
    html = page(findings(row(1)))
    assert report_mark("c1").encode() in html.encode()[:4096]


def test_only_what_is_there_is_said_to_be_there() -> None:
    silent = page(findings(tracks=frozenset({"audio"}), waves={}))
    assert "This file holds the course of the sound of the people recorded." in check(silent).text
    assert "Nobody was heard, and no face was seen." in silent
    unpublished = findings(row(1, text=None), session=Session(conversation="c1", purpose="other"))
    assert "This file holds the course of the sound of" in check(page(unpublished)).text
    assert "(words not published)" in page(unpublished)


def test_an_exemption_is_told() -> None:
    session = Session(conversation="c1", purpose="workplace", exemption="safety")
    assert "purpose: workplace, exemption safety" in check(page(findings(session=session))).text


def test_the_same_findings_give_the_same_bytes() -> None:
    f = findings(row(1, crops=[crop(2.0)]), row(2))
    assert page(f) == page(replace(f))


@pytest.mark.timeout(60)
def test_an_hour_is_a_few_megabytes() -> None:
    """A thousand utterances of seven labels, sound without a pause, a face all the time."""
    made = np.random.default_rng(0)
    labels = ["neutral", "joy", "sadness", "anger", "surprise", "fear", "disgust"]

    def spread() -> tuple[float, ...]:
        return tuple(made.dirichlet(np.full(7, 0.7)).tolist())

    rows = [
        row(
            i + 1,
            start=3.6 * i,
            end=3.6 * i + 3.2,
            probs=spread(),
            labels=labels,
            alone=(spread(), spread(), spread()),
            crops=[crop(3.6 * i + k / 2, size=1800) for k in range(6)],
            text="It is what one says in about three seconds of talk.",
        )
        for i in range(1000)
    ]
    noise = made.uniform(0, 1, 36_000).astype(np.float32)
    f = findings(
        *_thinned(rows),
        duration=3600.0,
        model=ModelV1(name="m", version="1", transcriber="t", labels=labels),
        waves={0: Wave(0.1, noise, noise / 2)},
        pictured=500,
        faced=1000,
    )
    html = page(f)
    assert len(html) < 7e6
    assert "500 of 1000 utterances with a face have a picture" in html
