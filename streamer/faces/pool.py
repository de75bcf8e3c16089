"""One face for a whole utterance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..types import FaceSample, Floats

_LEAST = 1e-3  # weight of a sample of quality 0, so that a mean always exists


@dataclass(frozen=True, slots=True, eq=False)
class PooledFace:
    """``embedding`` float32 ``[D]``; ``quality`` in 0..1; ``emotion`` a distribution, or None."""

    embedding: Floats
    quality: float
    track: int
    emotion: tuple[float, ...] | None


def pool(samples: Iterable[FaceSample]) -> PooledFace | None:
    """The dominant face of ``samples`` (None without any): means weighted by quality.

    Dominant is the track with the most presence times size: the largest sum of the sides of its boxes, the
    lower number where two are equal.  The quality is the plain mean over that track.
    """
    tracks: dict[int, list[FaceSample]] = {}
    for sample in samples:
        tracks.setdefault(sample.track, []).append(sample)
    if not tracks:
        return None
    number = min(tracks, key=lambda n: (-sum(_side(s) for s in tracks[n]), n))
    chosen = tracks[number]
    weights = np.array([max(s.quality, _LEAST) for s in chosen])
    embedding = np.average([s.embedding for s in chosen], axis=0, weights=weights).astype(np.float32)
    return PooledFace(embedding, float(np.mean([s.quality for s in chosen])), number, _emotion(chosen))


def _emotion(samples: list[FaceSample]) -> tuple[float, ...] | None:
    read = [s for s in samples if s.emotion is not None]
    if not read:
        return None
    weights = [max(s.quality, _LEAST) for s in read]
    return tuple(float(p) for p in np.average([s.emotion for s in read], axis=0, weights=weights))


def _side(sample: FaceSample) -> float:
    return float(np.sqrt(sample.box[2] * sample.box[3]))
