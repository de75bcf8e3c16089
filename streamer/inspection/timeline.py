"""The chart: the file cut into strips of equal length, each with sound, faces and a lane for each speaker.

Boxes stand at percentages of a strip, so a strip fits any width; only the envelope and the bars are SVG.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ..types import Span
from ..view import minutes
from .findings import MODALITIES, Findings, Row
from .markup import (
    account,
    again,
    bar_name,
    disagrees,
    face,
    interval,
    number,
    said,
    swatch,
    text,
    top,
    verdict,
)
from .onlookers import Crop, Wave

STRIP = 30.0  # seconds of a strip at most
LONG, LONG_STRIP = 1200.0, 60.0  # of a file that is longer than this
ROUND = 5.0  # seconds
STEPS = (0.5, 1.0, 2.0, 5.0, 10.0)  # seconds between the marks of the axis
JUMPS = 12  # times in the overview at most
APART = 0.05  # of a strip: pictures do not stand closer
FINEST = 1200  # points of the envelope in a row
LOUD = 0.1  # the height stands for at least this amplitude: silence stays flat


def strips(duration: float) -> list[Span]:
    """Equal pieces that cover the file, at least one: what is short is one piece, else they last `ROUND`s."""
    most = LONG_STRIP if duration > LONG else STRIP
    count = max(1, math.ceil(duration / most - 1e-9))
    if count == 1:
        return [Span(0.0, max(1.0, math.ceil(duration * 10 - 1e-6) / 10))]
    length = math.ceil(duration / count / ROUND - 1e-9) * ROUND
    return [Span(i * length, (i + 1) * length) for i in range(math.ceil(duration / length - 1e-9))]


def timeline(f: Findings) -> str:
    """All strips."""
    return "".join(_strip(f, i, span) for i, span in enumerate(strips(f.duration)))


def overview(f: Findings) -> str:
    """The whole file in one picture: a line for each speaker, coloured by the most probable label."""
    whole = Span(0.0, max(f.duration, 1e-3))
    lanes = []
    for speaker, name in f.speakers.items():
        parts = "".join(
            f'<path class="l{top(r.probs)}" d="M{1000 * r.span.start / whole.duration:.1f} .5'
            f'h{max(1.0, 1000 * r.span.duration / whole.duration):.1f}"/>'
            for r in f.rows
            if r.estimate.speaker.id == speaker and not r.estimate.emotion.abstained
        )
        lanes.append(_lane("course", text(name), _drawing("bar", "0 0 1000 1", parts)))
    rows = [_lane("axis jumps", "", _jumps(f, whole)), *_sound(f, whole), *lanes]
    return f'<div class="whole">{"".join(rows)}</div>'


def _jumps(f: Findings, whole: Span) -> str:
    """A link to each strip; where there are many, only some show their time."""
    pieces = strips(f.duration)
    every = math.ceil(len(pieces) / JUMPS)
    return "".join(
        f'<a href="#s{i}" style="{_place(piece, whole)}" title="to {_mark(piece.start, 1.0)}">'
        f"{'' if i % every else _mark(piece.start, 1.0)}</a>"
        for i, piece in enumerate(pieces)
    )


def _strip(f: Findings, index: int, span: Span) -> str:
    inside = [r for r in f.rows if r.span.start < span.end and r.span.end > span.start]
    rows = [_axis(span, f.duration), *_sound(f, span)]
    if "video" in f.tracks:
        rows.append(_faces(f, inside, span))
    for speaker, name in f.speakers.items():
        theirs = [r for r in inside if r.estimate.speaker.id == speaker]
        if theirs:
            blocks = "".join(_block(f, r, span) for r in theirs)
            parts = "".join(f"<span>{part}</span>" for part in ("together", *MODALITIES))
            rows.append(_lane("voice", f"<b>{text(name)}</b>{parts}", blocks))
    if not inside:
        rows.append(_lane("none", "", "<p>nobody was heard speaking, and no face was seen</p>"))
    step = _step(span)
    style = f"--tick:{number(100 * step / span.duration)}%"
    unread = ""
    if f.read < min(span.end, f.duration):
        gap = Span(max(span.start, f.read), min(span.end, f.duration))
        unread = _lane("unread", "", f'<i style="{_place(gap, span)}">not read</i>')
    title = f"Strip {index + 1}: {interval(span.start, min(span.end, f.duration))}"
    return (
        f'<section class="strip" id="s{index}" style="{style}" aria-label="{title}">'
        f"{''.join(rows)}{unread}</section>"
    )


def _lane(kind: str, name: str, content: str) -> str:
    return f'<div class="row {kind}"><div class="name">{name}</div><div class="lane">{content}</div></div>'


def _place(part: Span, whole: Span) -> str:
    """Where ``part`` stands in ``whole``, cut at its borders."""
    start, end = max(part.start, whole.start), min(part.end, whole.end)
    left = 100 * (start - whole.start) / whole.duration
    return f"left:{number(left)}%;width:{number(max(0.0, 100 * (end - start) / whole.duration))}%"


def _step(span: Span) -> float:
    return next((s for s in STEPS if span.duration / s <= 12), STEPS[-1])


def _axis(span: Span, duration: float) -> str:
    """Marks of time, and where the file ends."""
    step = _step(span)
    marks = [span.start + i * step for i in range(math.ceil(span.duration / step - 1e-9))]
    content = "".join(
        f'<span style="left:{number(100 * (m - span.start) / span.duration)}%">{_mark(m, step)}</span>'
        for m in marks
        if m <= duration
    )
    if span.start < duration < span.end:
        content += f'<i class="end" style="{_place(Span(duration, span.end), span)}" title="the end"></i>'
    return _lane("axis", "", content)


def _mark(moment: float, step: float) -> str:
    return minutes(moment) if step < 1 or moment >= 3600 else minutes(moment).removesuffix(".0")


def _sound(f: Findings, span: Span) -> Iterator[str]:
    """A row for each channel of sound: the envelope, and behind it where speech was found."""
    if "audio" not in f.tracks:
        yield _lane("none", "sound", "<p>no sound track</p>")
        return
    spoken = (r.span for r in f.rows if r.spoken and r.span.start < span.end and r.span.end > span.start)
    speech = "".join(f'<i class="speech" style="{_place(s, span)}"></i>' for s in spoken)
    for channel, whole in f.waves.items():
        wave = whole.coarser(int(span.duration / whole.bin / FINEST))
        name = "sound" if len(f.waves) == 1 else f"sound {channel}"
        yield _lane("sound", name, speech + _envelope(wave, span))
    if not f.waves:
        yield _lane("none", "sound", "<p>no sound in it</p>")


def _envelope(wave: Wave, span: Span) -> str:
    loudest = max(float(np.quantile(wave.peak, 0.995)), LOUD)
    first, last = round(span.start / wave.bin), round(span.end / wave.bin)
    paths = []
    for kind, values in (("peak", wave.peak), ("rms", wave.rms)):
        heights = [min(100, max(1, round(100 * float(v) / loudest))) for v in values[first:last]]
        paths.append(f'<path class="{kind}" d="{_half(heights, -1)}{_half(heights, 1)}"/>')
    box = f"0 -100 {max(1, last - first)} 200"
    return _drawing("wave", box, "".join(paths))


def _drawing(kind: str, box: str, content: str) -> str:
    return (
        f'<svg class="{kind}" viewBox="{box}" preserveAspectRatio="none" aria-hidden="true">{content}</svg>'
    )


def _half(heights: list[int], way: int) -> str:
    """The area between the middle line and ``heights``, in steps one wide; ``way`` -1 is upwards."""
    steps, at = [], 0
    for height in heights:
        steps.append("h1" if height == at else f"v{way * (height - at)}h1")
        at = height
    return f"M0 0{''.join(steps)}V0z"


def _faces(f: Findings, rows: list[Row], span: Span) -> str:
    """Cuttings where they were seen, and a line while each face was in view."""
    lines = "".join(
        f'<i class="view" style="{_place(p.span, span)};--n:{p.track % 3}" title="face {p.track} in view,'
        f' {interval(p.span.start, p.span.end)}"></i>'
        for p in f.faces
        if p.span.start < span.end and p.span.end > span.start
    )
    pictures = "".join(_picture(crop, span) for crop in _spaced(rows, span))
    return _lane("faces", "faces", lines + pictures)


def _spaced(rows: list[Row], span: Span) -> Iterator[Crop]:
    """The pictures that lie in the strip, without those that would cover the one before."""
    last = -math.inf
    for crop in sorted((c for r in rows for c in r.crops), key=lambda c: c.time):
        if span.start <= crop.time < span.end and crop.time - last >= APART * span.duration:
            last = crop.time
            yield crop


def _picture(crop: Crop, span: Span) -> str:
    centre = 100 * (crop.time - span.start) / span.duration
    edge = 50 * APART
    left = min(max(centre, edge), 100 - edge)
    return f'<span class="crop" style="left:{number(left)}%">{face(crop)}</span>'


def _block(f: Findings, row: Row, span: Span) -> str:
    """One utterance in its lane: words, label, the fused bar, and a bar for each modality alone."""
    here = span.start <= (row.span.start + row.span.end) / 2 < span.end  # true in one strip
    e = row.estimate
    mine = top(row.probs)
    own = "".join(_own(row, m) for m in range(len(MODALITIES)))
    words = said(row) if here else "…"
    title = f"{interval(e.start, e.end)}, {verdict(row)}&#10;{account(row, f.labels)}"
    kind = "u abstained" if e.emotion.abstained else "u"
    name = f' id="t{e.sequence}"' if here else ""
    return (
        f'<a class="{kind}"{name} href="#u{e.sequence}" style="{_place(row.span, span)}" title="{title}">'
        f'<span class="said">{words}</span><span class="label">{swatch(mine)}{verdict(row)}</span>'
        f'<span class="mix">{again(bar_name(row))}</span>{own}</a>'
    )


def _own(row: Row, modality: int) -> str:
    alone = row.alone[modality]
    if alone is None:
        return '<span class="own absent"></span>'
    kind = "own differs" if disagrees(row, modality) else "own"
    return f'<span class="{kind}">{again(bar_name(row, modality))}</span>'
