"""Everything the report shows of one file, as a value: the page is a function of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..context import Session
from ..join import UNHEARD
from ..payloads import EstimateV1, ModalityV1, ModelV1
from ..types import Alone, Span
from .divergence import divergence
from .onlookers import Crop, Onlookers, Presence, Wave

MODALITIES = ("words", "voice", "face")  # as the console calls them
SILENT = "(silent)"  # stands in a speaker's place where a face was seen and nobody spoke
CROPS = 3  # pictures of an utterance at most
ALL_CROPS = 600  # of the whole file, so that the report stays small
POINTS = 36_000  # of the sound's envelope, all channels together
CUT_OFF = 0.5  # seconds that a file may end before its stated end


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One utterance: the estimate as published, and what each modality says by itself.

    ``divergence`` is that of each modality's own reading from the fused one, None where it is absent.
    """

    estimate: EstimateV1
    spoken: bool
    alone: Alone
    divergence: tuple[float | None, float | None, float | None]
    crops: tuple[Crop, ...]

    @property
    def span(self) -> Span:
        return Span(self.estimate.start, self.estimate.end)

    @property
    def probs(self) -> tuple[float, ...]:
        return tuple(self.estimate.emotion.probabilities.values())

    @property
    def modalities(self) -> tuple[ModalityV1, ModalityV1, ModalityV1]:
        m = self.estimate.modalities
        return m.text, m.audio, m.visual

    @property
    def farthest(self) -> tuple[float, int]:
        """The largest divergence and whose it is, an index into `MODALITIES`; 0.0 where nothing is there."""
        value, which = max((d or 0.0, -m) for m, d in enumerate(self.divergence))
        return value, -which


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Findings:
    """Times in seconds. ``duration`` is that of the time axis, ``read`` how far the file could be read.

    ``faced`` is the number of utterances with a face, ``pictured`` that of those with a picture of it.
    """

    name: str
    session: Session
    model: ModelV1
    duration: float
    read: float
    tracks: frozenset[str]
    rows: tuple[Row, ...]
    waves: dict[int, Wave]
    faces: tuple[Presence, ...]
    problems: tuple[str, ...]
    pictured: int
    faced: int

    @property
    def labels(self) -> list[str]:
        return self.model.labels

    @property
    def speakers(self) -> dict[str, str]:
        """Names by id, in the order of appearance; who did not speak comes last."""
        names = {r.estimate.speaker.id: r.estimate.speaker.label or r.estimate.speaker.id for r in self.rows}
        silent = {k: SILENT for k in names if k == UNHEARD.id}
        return {k: v for k, v in names.items() if k not in silent} | silent

    @property
    def people(self) -> int:
        """How many speakers were heard."""
        return len(self.speakers.keys() - {UNHEARD.id})


def findings(
    seen: Onlookers, media: Path, session: Session, duration: float | None, problems: Sequence[str] = ()
) -> Findings:
    """What ``seen`` holds after a run over ``media``, which states to be ``duration`` seconds long."""
    assert seen.pipeline is not None
    rows = tuple(_row(seen, e) for e in sorted(seen.finals, key=lambda e: (e.start, e.sequence or 0)))
    read = max(seen.sound.end, seen.faces.end)
    end = max([read, duration or 0.0, *(r.span.end for r in rows)])
    thin = _thinned(rows)
    waves = seen.sound.waves()
    points = sum(len(w.peak) for w in waves.values())
    return Findings(
        name=media.name,
        session=session,
        model=rows[-1].estimate.model if rows else seen.pipeline.model,
        duration=end,
        read=end if end - read <= CUT_OFF else read,
        tracks=frozenset[str]().union(*(s.tracks for s in seen.pipeline.sources)),
        rows=thin,
        waves={k: w.coarser(-(-points // POINTS)) for k, w in waves.items()},
        faces=tuple(seen.faces.presence()),
        problems=(*problems, *(_problem(media, *told) for told in sorted(seen.problems.items()))),
        pictured=sum(bool(r.crops) for r in thin),
        faced=sum(bool(r.crops) for r in rows),
    )


def _problem(media: Path, origin: str, message: str) -> str:
    """Without the folder of the file, which is nobody's business who looks at the report."""
    return f"{origin}: {message.replace(str(media), media.name)}"


def _row(seen: Onlookers, e: EstimateV1) -> Row:
    assert seen.readings is not None
    it = seen.readings.seen[e.id]
    fused = tuple(e.emotion.probabilities.values())
    text, audio, visual = (None if own is None else divergence(own, fused) for own in it.alone)
    return Row(e, it.spoken, it.alone, (text, audio, visual), tuple(seen.faces.crops(it)))


def _thinned(rows: Sequence[Row]) -> tuple[Row, ...]:
    """At most `CROPS` pictures a row, fewer where there are many rows, and then not in every row."""
    faced = sum(bool(r.crops) for r in rows)
    if not faced:
        return tuple(rows)
    each = min(CROPS, max(1, ALL_CROPS // faced))
    every = -(-faced // ALL_CROPS)
    kept, count = [], 0
    for row in rows:
        wanted = each if count % every == 0 else 0
        count += bool(row.crops)
        kept.append(replace(row, crops=_best(row.crops, row.span, wanted)))
    return tuple(kept)


def _best(crops: Sequence[Crop], span: Span, count: int) -> tuple[Crop, ...]:
    """The best picture of each ``count``-th part of the span."""
    parts: dict[int, Crop] = {}
    for crop in crops if count else ():
        part = int(count * (crop.time - span.start) / max(span.duration, 1e-9))
        if part not in parts or crop.quality > parts[part].quality:
            parts[part] = crop
    return tuple(parts[p] for p in sorted(parts))
