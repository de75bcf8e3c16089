"""What the report says beside the chart: strongest disagreements, speakers, every utterance."""

from __future__ import annotations

from collections.abc import Sequence

from ..view import minutes
from .findings import MODALITIES, SILENT, Findings, Row
from .markup import (
    bar,
    bar_name,
    disagrees,
    face,
    percent,
    said,
    spread,
    swatch,
    text,
    top,
    verdict,
)

STRONGEST = 6  # disagreements at the top of the report
LEAST = 0.05  # bits of divergence from which one is worth a place there


def strongest(rows: Sequence[Row]) -> list[tuple[Row, int]]:
    """The utterances, and the modality of each, whose reading is farthest from the fused one."""
    ranked = sorted(rows, key=lambda r: (-r.farthest[0], r.estimate.start))
    return [(r, r.farthest[1]) for r in ranked[:STRONGEST] if r.farthest[0] >= LEAST]


def disagreements(f: Findings) -> str:
    found = strongest(f.rows)
    if not found:
        return "<p>None: nowhere is a modality's own reading far from the fused one.</p>"
    return f'<ol class="apart">{"".join(_card(f, row, m) for row, m in found)}</ol>'


def _card(f: Findings, row: Row, modality: int) -> str:
    e, alone = row.estimate, row.alone[modality]
    assert alone is not None
    name, mine = MODALITIES[modality], top(alone)
    pictures = "".join(face(c) for c in row.crops[:1])
    return (
        f'<li><div class="head"><a href="#u{e.sequence}">{minutes(e.start)}</a> <b>{_who(row)}</b>'
        f'<span class="far" title="Jensen-Shannon divergence">{row.divergence[modality]:.2f}</span></div>'
        f'<div class="what">{pictures}<q>{said(row)}</q></div>'
        f'<div class="pair"><span>{name} alone</span>{bar(alone, spread(f.labels, alone))}'
        f"<span>{_label(f, alone, mine)}</span>"
        f"<span>together</span>{bar(row.probs, spread(f.labels, row.probs))}"
        f"<span>{swatch(top(row.probs))}{verdict(row)}</span></div>"
        f'<div class="note">{_part(row, modality)}</div></li>'
    )


def _part(row: Row, modality: int) -> str:
    m = row.modalities[modality]
    return f"{MODALITIES[modality]}: weight {percent(m.weight)}, quality {percent(m.quality)}"


def speakers(f: Findings) -> str:
    """How each speaker's expression was read on the whole, by the seconds of their utterances."""
    rows = "".join(_speaker(f, speaker, name) for speaker, name in f.speakers.items())
    return (
        '<div class="wide"><table><caption>Means over the seconds of all utterances</caption><thead><tr>'
        '<th scope="col">speaker</th><th scope="col">utterances</th><th scope="col">seconds</th>'
        '<th scope="col">mean reading</th><th scope="col">mean weight of words / voice / face</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _speaker(f: Findings, speaker: str, name: str) -> str:
    theirs = [r for r in f.rows if r.estimate.speaker.id == speaker]
    seconds = sum(r.span.duration for r in theirs)

    def mean(values: Sequence[float]) -> float:
        return sum(v * r.span.duration for v, r in zip(values, theirs, strict=True)) / max(seconds, 1e-9)

    probs = [mean([r.probs[i] for r in theirs]) for i in range(len(f.labels))]
    weights = [percent(mean([r.modalities[m].weight for r in theirs])) for m in range(len(MODALITIES))]
    return (
        f'<tr><th scope="row">{text(name)}</th><td class="n">{len(theirs)}</td>'
        f'<td class="n">{seconds:.1f}</td>'
        f'<td class="reading">{bar(probs, spread(f.labels, probs))}<small>{_leading(f, probs)}</small></td>'
        f"<td>{' / '.join(weights)}</td></tr>"
    )


def _leading(f: Findings, probs: Sequence[float]) -> str:
    first = sorted(range(len(probs)), key=lambda i: -probs[i])[:3]
    return ", ".join(_label(f, probs, i) for i in first if probs[i] >= 0.05)


def _label(f: Findings, probs: Sequence[float], i: int) -> str:
    return f"{swatch(i)}{text(f.labels[i])} {percent(probs[i])}"


def utterances(f: Findings) -> str:
    """The text equivalent of the chart: a row for each utterance."""
    heads = "".join(
        f'<th scope="col">{name}</th>'
        for name in ("time", "speaker", "words", "together", *(f"{m} alone" for m in MODALITIES), "apart")
    )
    rows = "".join(_utterance(f, row) for row in f.rows)
    return (
        '<div class="wide"><table class="all"><caption>Every utterance, in the order of time</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _utterance(f: Findings, row: Row) -> str:
    e = row.estimate
    mine = top(row.probs)
    pictures = "".join(face(c) for c in row.crops)
    own = "".join(_alone(f, row, m) for m in range(len(MODALITIES)))
    return (
        f'<tr id="u{e.sequence}"><td><a href="#t{e.sequence}">{minutes(e.start)}</a>'
        f"<small>{row.span.duration:.1f} s</small></td>"
        f'<th scope="row">{_who(row)}</th><td class="words">{said(row)}{_pictures(pictures)}</td>'
        f'<td class="reading">{bar(row.probs, spread(f.labels, row.probs), bar_name(row))}'
        f"<b>{swatch(mine)}{verdict(row)}</b>{_dimensions(row)}</td>{own}{_apart(row)}</tr>"
    )


def _pictures(pictures: str) -> str:
    return f'<div class="crops">{pictures}</div>' if pictures else ""


def _alone(f: Findings, row: Row, modality: int) -> str:
    alone, m = row.alone[modality], row.modalities[modality]
    if alone is None:
        return '<td class="absent">absent</td>'
    mine = top(alone)
    mark = '<b class="differs" title="another label than together">≠</b> ' if disagrees(row, modality) else ""
    return (
        f'<td class="reading">{bar(alone, spread(f.labels, alone), bar_name(row, modality))}'
        f"{mark}{_label(f, alone, mine)}"
        f"<small>weight {percent(m.weight)}, apart {row.divergence[modality]:.2f},"
        f" quality {percent(m.quality)}</small></td>"
    )


def _apart(row: Row) -> str:
    """The largest divergence of the row as a number and a bar."""
    far, which = row.farthest
    if far < LEAST:
        return f'<td class="n">{far:.2f}</td>'
    return f'<td class="n">{far:.2f}<small>{MODALITIES[which]}</small></td>'


def _dimensions(row: Row) -> str:
    e = row.estimate
    known = [f"{n} {v:+.2f}" for n, v in (("valence", e.valence), ("arousal", e.arousal)) if v is not None]
    return f"<small>{', '.join(known)}</small>" if known else ""


def _who(row: Row) -> str:
    s = row.estimate.speaker
    return text(s.label or s.id) if row.spoken else SILENT
