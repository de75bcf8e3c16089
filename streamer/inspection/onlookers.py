"""Who watches a run for the report: each onlooker stands beside one stage and keeps what the page will show.

The graph does not know of them: `Watched` is a stage like the one inside it. Sound is kept as its envelope,
pictures as small cuttings of faces; neither leaves the process unless the report is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..channel import Channel
from ..clock import Clock
from ..payloads import EstimateV1, Event, HealthV1
from ..pipeline import Fusion, Pipeline
from ..stage import Stage
from ..types import (
    RATE,
    Alone,
    AudioChunk,
    Estimate,
    FaceSample,
    Features,
    Picture,
    Span,
    Utterance,
    VideoFrame,
)

A = TypeVar("A")
B = TypeVar("B")

BIN = 0.025  # seconds of sound behind one point of the envelope
SLOT = 0.5  # seconds: of each face the best picture in such a slot is kept
GONE = 1.0  # seconds without a face after which it has left
SIDE = 72  # pixels of a cutting
MARGIN = 1.25  # sides of a cutting, in sides of the face's frame
JPEG_QUALITY = 72


class Watched(Generic[A, B]):
    """The stage inside, and somebody who is shown each item that went in with what came of it."""

    def __init__(self, stage: Stage[A, B], see: Callable[[A, Sequence[B]], None]) -> None:
        self._stage, self._see = stage, see

    def push(self, item: A) -> Iterable[B]:
        made = list(self._stage.push(item))
        self._see(item, made)
        return made

    def flush(self) -> Iterable[B]:
        return self._stage.flush()


@dataclass(frozen=True, slots=True, eq=False)
class Wave:
    """The envelope of one channel: highest and effective (RMS) amplitude in bins of ``bin`` seconds."""

    bin: float
    peak: NDArray[np.float32]
    rms: NDArray[np.float32]

    def coarser(self, times: int) -> Wave:
        """The same with ``times`` bins as one."""
        if times <= 1:
            return self
        rest = -len(self.peak) % times
        peak, rms = (np.pad(a, (0, rest)).reshape(-1, times) for a in (self.peak, self.rms))
        return Wave(self.bin * times, peak.max(1), np.sqrt(np.mean(np.square(rms), 1)))


class Sound:
    """The envelope of what is heard, by channel. ``end``: seconds up to which there was sound."""

    def __init__(self) -> None:
        self.end = 0.0
        self._bins: dict[int, NDArray[np.float32]] = {}  # [2, bins]: peak, sum of squares; with room to grow
        self._count: dict[int, int] = {}

    def see(self, chunk: object, made: Sequence[object] = ()) -> None:
        if not isinstance(chunk, AudioChunk) or not len(chunk.pcm):
            return
        per, first = round(BIN * RATE), max(0, round(chunk.start * RATE))
        pcm = np.nan_to_num(np.abs(chunk.pcm), posinf=1.0)
        edges = np.concatenate([[0], np.arange(-first % per or per, len(pcm), per)])
        bins = (first + edges) // per
        kept = self._room(chunk.channel, int(bins[-1]) + 1)
        kept[0, bins] = np.maximum(kept[0, bins], np.maximum.reduceat(pcm, edges))
        kept[1, bins] += np.add.reduceat(np.square(pcm), edges)
        self.end = max(self.end, chunk.span.end)

    def waves(self) -> dict[int, Wave]:
        per = BIN * RATE
        return {
            channel: Wave(BIN, kept[0, :n], np.sqrt(kept[1, :n] / per))
            for channel, kept in sorted(self._bins.items())
            if (n := self._count[channel])
        }

    def _room(self, channel: int, count: int) -> NDArray[np.float32]:
        kept = self._bins.setdefault(channel, np.zeros((2, 4096), np.float32))
        if count > kept.shape[1]:
            kept = np.pad(kept, ((0, 0), (0, max(count, 2 * kept.shape[1]) - kept.shape[1])))
            self._bins[channel] = kept
        self._count[channel] = max(count, self._count.get(channel, 0))
        return kept


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A face cut out of a picture, JPEG, `SIDE` pixels square."""

    time: float
    track: int
    quality: float
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class Presence:
    """A face was in view."""

    track: int
    span: Span


class Faces:
    """Cuttings of the faces that are found, and when each was in view. ``end``: time of the last picture."""

    def __init__(self) -> None:
        self.end = 0.0
        self._best: dict[tuple[int, int], Crop] = {}
        self._seen: dict[int, list[Span]] = {}

    def see(self, frame: VideoFrame, made: Sequence[object]) -> None:
        self.end = max(self.end, frame.time)
        for sample in made:
            if isinstance(sample, FaceSample):
                self._note(sample)
                self._keep(frame.bgr, sample)

    def crops(self, utterance: Seen) -> list[Crop]:
        """Those of the face that was read during the utterance, in the order of time."""
        span, track = utterance.span, utterance.face
        if track is None:
            return []
        slots = range(int(span.start / SLOT), int(span.end / SLOT) + 1)
        found = [self._best[track, slot] for slot in slots if (track, slot) in self._best]
        return [crop for crop in found if span.start <= crop.time < span.end]

    def presence(self) -> list[Presence]:
        return [Presence(track, span) for track, spans in sorted(self._seen.items()) for span in spans]

    def _note(self, sample: FaceSample) -> None:
        spans = self._seen.setdefault(sample.track, [])
        if spans and sample.time - spans[-1].end <= GONE:
            spans[-1] = replace(spans[-1], end=sample.time)
        else:
            spans.append(Span(sample.time, sample.time))

    def _keep(self, bgr: Picture, sample: FaceSample) -> None:
        place = sample.track, int(sample.time / SLOT)
        best = self._best.get(place)
        if best is None or sample.quality > best.quality:
            self._best[place] = Crop(sample.time, sample.track, sample.quality, cut(bgr, sample.box))


def cut(bgr: Picture, box: tuple[int, int, int, int]) -> bytes:
    """The square around ``box`` with some margin, as far as the picture reaches, as a small JPEG."""
    import cv2

    x, y, w, h = box
    height, width = bgr.shape[:2]
    side = max(1, min(round(max(w, h) * MARGIN), height, width))
    left = min(max(0, x + (w - side) // 2), width - side)
    top = min(max(0, y + (h - side) // 2), height - side)
    square = bgr[top : top + side, left : left + side]
    how = cv2.INTER_AREA if side > SIDE else cv2.INTER_CUBIC
    small = cv2.resize(square, (SIDE, SIDE), interpolation=how)
    _, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return jpeg.tobytes()


@dataclass(frozen=True, slots=True)
class Seen:
    """What the estimate of an utterance does not hold: whether anybody spoke, what each modality says alone,
    and the number of the face that was read (None: none)."""

    span: Span
    spoken: bool
    alone: Alone
    face: int | None


class Readings:
    """Stands around the fusion and asks it, before each final, what each modality says by itself."""

    def __init__(self, fusion: Fusion) -> None:
        self._fusion = fusion
        self.seen: dict[str, Seen] = {}  # by the estimate's id

    def push(self, features: Features) -> Iterator[Estimate]:
        alone = self._fusion.alone(features) if features.final else (None, None, None)
        for estimate in self._fusion.push(features):
            if estimate.final:
                u = features.utterance
                self.seen[estimate.id] = Seen(u.span, u.segment is not None, alone, _face(u))
            yield estimate

    def flush(self) -> Iterable[Estimate]:
        return self._fusion.flush()

    def alone(self, features: Features) -> Alone:
        return self._fusion.alone(features)

    def forget(self, before: float) -> None:
        self._fusion.forget(before)


def _face(u: Utterance) -> int | None:
    from ..faces.pool import pool

    face = pool(u.faces)
    return None if face is None else face.track


class Onlookers:
    """All of them. They watch one pipeline; as its last sink they also keep what was published."""

    def __init__(self) -> None:
        self.sound, self.faces = Sound(), Faces()
        self.readings: Readings | None = None
        self.pipeline: Pipeline | None = None
        self.finals: list[EstimateV1] = []
        self.problems: dict[str, str] = {}

    def watch(self, p: Pipeline) -> Pipeline:
        """The same pipeline with everybody in place."""
        self.pipeline, self.readings = p, Readings(p.fusion)
        return replace(
            p,
            segmenter=Watched(p.segmenter, self.sound.see),
            face_encoder=Watched(p.face_encoder, self.faces.see),
            fusion=self.readings,
            sinks=[*p.sinks, self],
        )

    async def run(self, inbox: Channel[Event], clock: Clock) -> None:
        async for event in inbox:
            if isinstance(event, EstimateV1) and event.final:
                self.finals.append(event)
            elif isinstance(event, HealthV1):
                self.problems = event.problems
