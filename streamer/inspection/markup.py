"""Small pieces of HTML and SVG. Whatever comes from outside goes through `text`."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

from ..view import minutes
from .findings import MODALITIES, Row
from .onlookers import SIDE, Crop

FINE = 200  # steps of a bar
HAIR = 1  # steps below which a part of a bar is not drawn
SPACE = "\u00a0"  # that does not break a line
JOINERS = "\u200c\u200d"  # of letters and of emoji: not printable, and part of words


def text(value: str) -> str:
    """``value`` as text that is safe between tags and inside a quoted attribute."""
    return html.escape("".join(c if c.isprintable() or c in JOINERS else " " for c in value))


def percent(share: float) -> str:
    return f"{round(100 * share)}{SPACE}%"


def number(value: float) -> str:
    """At most two digits after the point, none where they are zero: for places in percent."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def interval(start: float, end: float) -> str:
    return f"{minutes(start)} to {minutes(end)}"


def spread(labels: Sequence[str], probs: Sequence[float]) -> str:
    """The distribution in words, largest first: ``joy 62 %, neutral 20 %``; what is below 1 % is left out."""
    ranked = sorted(zip(probs, labels, strict=True), key=lambda pair: -pair[0])
    return ", ".join(f"{text(label)} {percent(p)}" for p, label in ranked if p >= 0.01)


def top(probs: Sequence[float]) -> int:
    """Index of the most probable label, the first of several."""
    return max(range(len(probs)), key=lambda i: probs[i])


def bar(probs: Sequence[float], title: str, name: str = "") -> str:
    """A stacked bar that fills its box from left to right: a picture with a (safe) title.

    Under ``name`` it can be drawn `again`.
    """
    parts = []
    drawn, total = 0, 0.0
    for i, p in enumerate(probs):
        total += p
        edge = FINE if i == len(probs) - 1 else round(FINE * total)
        if edge - drawn >= HAIR:
            parts.append(f'<path class="l{i}" d="M{drawn} .5H{edge}"/>')
            drawn = edge
    drawing = "".join(parts)
    if name:
        drawing = f'<g id="{name}">{drawing}</g>'
    return (
        f'<svg class="bar" viewBox="0 0 {FINE} 1" preserveAspectRatio="none" role="img">'
        f"<title>{title}</title>{drawing}</svg>"
    )


def again(name: str) -> str:
    """The bar of that name from the bottom up, without a title: what it says is said elsewhere."""
    return (
        f'<svg class="bar" viewBox="0 -{FINE} 1 {FINE}" preserveAspectRatio="none" aria-hidden="true">'
        f'<use href="#{name}" transform="rotate(-90)"/></svg>'
    )


def bar_name(row: Row, modality: int | None = None) -> str:
    """What the bar of the fused reading, or of one modality, is called."""
    return f"b{row.estimate.sequence}" + ("" if modality is None else MODALITIES[modality][0])


def swatch(label: int) -> str:
    return f'<i class="dot b{label}"></i>'


def store(rows: Iterable[Row]) -> str:
    """Every picture once, unseen; `face` draws them."""
    crops = {_crop_name(crop): crop for row in rows for crop in row.crops}
    images = (
        f'<image id="{name}" href="data:image/jpeg;base64,{base64.b64encode(crop.jpeg).decode()}"'
        f' width="{SIDE}" height="{SIDE}"/>'
        for name, crop in crops.items()
    )
    return f'<svg class="store" width="0" height="0" aria-hidden="true"><defs>{"".join(images)}</defs></svg>'


def face(crop: Crop) -> str:
    """The picture of a face, from the `store`."""
    return (
        f'<svg class="face" viewBox="0 0 {SIDE} {SIDE}" role="img"><title>{saw(crop)}</title>'
        f'<use href="#{_crop_name(crop)}"/></svg>'
    )


def _crop_name(crop: Crop) -> str:
    return f"f{crop.track}-{round(crop.time * 1000)}"


def saw(crop: Crop) -> str:
    """What a picture shows, in words."""
    return f"face {crop.track} at {minutes(crop.time)}, quality {percent(crop.quality)}"


def verdict(row: Row) -> str:
    e = row.estimate.emotion
    reading = f"{text(e.label)} {percent(e.confidence)}"
    return f"abstained ({reading})" if e.abstained else reading


def said(row: Row) -> str:
    """The words, or why there are none."""
    e = row.estimate
    if e.text is not None:
        language = f' lang="{text(e.language)}"' if e.language else ""
        return f'<span dir="auto"{language}>{text(e.text)}</span>'
    if not row.spoken:
        return "<em>(a face, no voice)</em>"
    return "<em>(words not published)</em>" if e.modalities.text.present else "<em>(no words)</em>"


def disagrees(row: Row, modality: int) -> bool:
    """Whether the modality by itself says another label than all of them together."""
    alone = row.alone[modality]
    return alone is not None and top(alone) != top(row.probs)


def account(row: Row, labels: Sequence[str]) -> str:
    """All readings of an utterance as lines of plain text."""
    lines = [f"together: {spread(labels, row.probs)}"]
    for name, alone in zip(MODALITIES, row.alone, strict=True):
        lines.append(f"{name} alone: {spread(labels, alone) if alone else 'absent'}")
    return "&#10;".join(lines)
