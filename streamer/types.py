"""The values that travel between stages.

Times are seconds on the stream clock (0.0 = stream start).  Only sources stamp time; every later value
inherits the span of what it was made from.  Sound is 16 kHz mono float32 from the source on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from models.encoders.prosody import Measures

RATE = 16_000  # Hz, of all sound inside the graph

Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Half-open interval ``[start, end)`` in stream seconds."""

    start: float
    end: float

    @property
    def duration(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, slots=True, eq=False)
class AudioChunk:
    """Mono sound at `RATE`. ``pcm``: float32 ``[n]`` in [-1, 1]; ``channel`` tells microphones apart."""

    pcm: Floats
    start: float
    channel: int = 0

    @property
    def span(self) -> Span:
        return Span(self.start, self.start + len(self.pcm) / RATE)


@dataclass(frozen=True, slots=True, eq=False)
class VideoFrame:
    """One picture. ``bgr``: uint8 ``[H, W, 3]``; ``time`` in stream seconds."""

    bgr: Picture
    time: float


@dataclass(frozen=True, slots=True)
class Cut:
    """Travels on the audio track: whatever is being heard ends at ``time`` (pause, purge, a lost microphone).

    ``channel``: on this one only; None: on all.
    """

    time: float
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Everything captured on ``track`` before ``time`` has been seen.

    ``quiet`` (audio only): no segment that is still to come begins before this moment.
    """

    track: str
    time: float = math.inf
    quiet: float = -math.inf


@dataclass(frozen=True, slots=True)
class Speaker:
    """``id`` holds no name; ``confidence`` is None where nothing measured who spoke.

    ``merged``: ids of earlier utterances that turned out to be this speaker's, told once. ``face``: number of
    the face that is this speaker's, where that is clear.
    """

    id: str
    label: str | None = None
    confidence: float | None = None
    merged: tuple[str, ...] = ()
    face: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A stretch of speech; ``final`` is False while it may still grow.

    ``revision`` counts the partials of one utterance from 0; ``noticed`` is the stream time at which the
    end was decided (its wait is the endpointing delay); ``voice`` holds what the voice encoder measured
    so far; ``quality`` in 0..1 says how usable the sound is; ``speaker`` is None where nobody told voices
    apart.
    """

    audio: AudioChunk
    final: bool = True
    revision: int = 0
    noticed: float = 0.0
    voice: Measures | None = None
    quality: float = 1.0
    speaker: Speaker | None = None

    @property
    def span(self) -> Span:
        return self.audio.span


@dataclass(frozen=True, slots=True, eq=False)
class FaceSample:
    """One face of one frame: ``box`` x, y, w, h in pixels; ``embedding`` float32 ``[D]``."""

    time: float
    track: int
    box: tuple[int, int, int, int]
    quality: float
    embedding: Floats
    emotion: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Transcript:
    """Words heard. ``confidence`` 0..1 is the recogniser's own; ``model`` names what made it."""

    text: str
    language: str | None
    confidence: float
    model: str


@dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    """What one person said (or, with ``segment`` None, showed in silence) and what was seen meanwhile.

    ``timings`` are seconds of computation by stage name.
    """

    span: Span
    segment: Segment | None
    faces: tuple[FaceSample, ...]
    speaker: Speaker
    transcript: Transcript | None = None
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def final(self) -> bool:
        return self.segment is None or self.segment.final

    def timed(self, stage: str, seconds: float) -> Utterance:
        return replace(self, timings={**self.timings, stage: seconds})


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Vectors of the modalities that are present (None: missing) and their quality in 0..1."""

    utterance: Utterance
    speaker: int  # order of first appearance in the conversation, from 0
    text: Any | None  # torch [T]
    audio: tuple[float, ...] | None  # voice measures, NaN where not measurable; normalised by the fusion
    visual: Floats | None  # [V]
    quality: tuple[float, float, float]
    voice: Floats | None = None  # [E], what the voice network says; only where there is ``audio``, too

    @property
    def final(self) -> bool:
        return self.utterance.final

    def timed(self, stage: str, seconds: float) -> Features:
        return replace(self, utterance=self.utterance.timed(stage, seconds))


Alone = tuple[tuple[float, ...] | None, tuple[float, ...] | None, tuple[float, ...] | None]
"""What text, audio and visual each say by themselves: probabilities, None where absent."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How one modality took part: ``quality`` and ``weight`` in 0..1."""

    present: bool
    quality: float
    weight: float


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """``probs`` sums to 1 over ``labels``; ``readings`` in the order text, audio, visual.

    ``abstained``: too unsure to be taken for a reading. ``valence`` and ``arousal`` are in -1..1, None where
    nothing tells (`streamer.affect`).
    """

    utterance: Utterance
    id: str
    sequence: int | None
    revision: int
    labels: tuple[str, ...]
    probs: tuple[float, ...]
    readings: tuple[Reading, Reading, Reading]
    turns: int
    text: str | None = None
    language: str | None = None
    abstained: bool = False
    valence: float | None = None
    arousal: float | None = None

    @property
    def final(self) -> bool:
        return self.utterance.final

    def timed(self, stage: str, seconds: float) -> Estimate:
        return replace(self, utterance=self.utterance.timed(stage, seconds))
