"""Findings made by hand, and a reader of pages that is stricter than a browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np

from streamer.context import Session
from streamer.inspection.divergence import divergence
from streamer.inspection.findings import Findings, Row
from streamer.inspection.onlookers import BIN, Crop, Wave
from streamer.payloads import EmotionV1, ModalitiesV1, ModalityV1, SpeakerV1
from streamer.types import Alone
from tests.messages import MODEL, estimate

VOID = {"meta", "img", "br", "link", "input", "hr", "path", "image", "use", "rect"}


def crop(time: float, track: int = 0, quality: float = 0.5, size: int = 4) -> Crop:
    return Crop(time, track, quality, bytes(size))


def row(
    number: int = 1,
    *,
    start: float | None = None,
    end: float | None = None,
    probs: tuple[float, ...] = (0.75, 0.25),
    labels: Sequence[str] = MODEL.labels,
    alone: Alone = ((0.75, 0.25), (0.25, 0.75), None),
    speaker: SpeakerV1 | None = None,
    spoken: bool = True,
    abstained: bool = False,
    crops: Sequence[Crop] = (),
    text: str | None = "Hello there.",
) -> Row:
    """An utterance; a modality that says something alone is present."""
    there = [ModalityV1(present=a is not None, quality=0.9, weight=0.5 if a else 0.0) for a in alone]
    e = estimate(number, text=text)
    e = e.model_copy(
        update={
            "start": e.start if start is None else start,
            "end": e.end if end is None else end,
            "speaker": speaker or SpeakerV1(id="s0"),
            "emotion": EmotionV1(
                label=labels[probs.index(max(probs))],
                confidence=max(probs),
                abstained=abstained,
                probabilities=dict(zip(labels, probs, strict=True)),
            ),
            "modalities": ModalitiesV1(text=there[0], audio=there[1], visual=there[2]),
        }
    )
    apart = [None if a is None else divergence(a, probs) for a in alone]
    return Row(e, spoken, alone, (apart[0], apart[1], apart[2]), tuple(crops))


def findings(*rows: Row, duration: float = 20.0, **changes: Any) -> Findings:
    bins = np.full(round(duration / BIN), 0.5, np.float32)
    made = Findings(
        name="talk.mp4",
        session=Session(conversation="c1", purpose="demo", publish_text=True),
        model=MODEL,
        duration=duration,
        read=duration,
        tracks=frozenset({"audio", "video"}),
        rows=rows,
        waves={0: Wave(BIN, bins, bins / 2)},
        faces=(),
        problems=(),
        pictured=sum(bool(r.crops) for r in rows),
        faced=sum(bool(r.crops) for r in rows),
    )
    return replace(made, **changes)


class Page(HTMLParser):
    """A page: its tags in order, ids, links and text. Raises AssertionError where a tag is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {k: v or "" for k, v in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {k: v or "" for k, v in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, tag
        assert self._open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).replace("\u00a0", " ").split())

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.tags if "id" in attributes]

    def all(self, tag: str, kind: str | None = None) -> list[dict[str, str]]:
        """Attributes of every ``tag`` (with a class)."""
        return [a for t, a in self.tags if t == tag and (kind is None or kind in a.get("class", "").split())]


def check(html: str) -> Page:
    """One file that fetches nothing and runs nothing, every link in it leads somewhere."""
    page = Page(html)
    assert len(page.ids) == len(set(page.ids))
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form"}
        assert not any(name.startswith("on") for name in attributes), attributes
        assert not {"src", "srcset", "action", "background"} & attributes.keys()
        href = attributes.get("href", "#")
        assert href.startswith("data:image/jpeg;base64,") or href == "#" or href[1:] in page.ids, href
        assert "url(" not in attributes.get("style", "")
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "://" not in html
    return page
