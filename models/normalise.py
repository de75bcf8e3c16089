"""Causal normalisation of prosody: each speaker against their own running statistics, never the future.

A measure of an utterance becomes a z-score against the mean and variance of that speaker's utterances so
far, the current one included, both shrunk towards the corpus (a pseudo-count of `Prior.count` utterances).
With one utterance heard, z is close to a corpus z-score; after twenty, it is almost the speaker's own.
Training and live use the same function, `Running.push`.

Heavy-tailed positive measures are compared on a logarithmic scale. Absolute level (`avg_intensity`) is never
used: it says how far the microphone is, not how the person speaks.

Shape suffixes: N utterances, A measures, S speakers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LOGARITHMIC = frozenset(
    ("duration", "intensity_variation", "avg_pitch", "pitch_std", "pitch_range", "articulation_rate")
)
FORBIDDEN = frozenset(("avg_intensity",))
CLIP = 4.0  # z-scores beyond this are measurement errors more often than speech


@dataclass(frozen=True, slots=True)
class Prior:
    """What is assumed of a speaker not heard yet: mean and standard deviation ``[A]`` per measure.

    On the scale of `scaled`; ``count`` is the weight of the prior in utterances.
    """

    measures: tuple[str, ...]
    mean_A: tuple[float, ...]
    std_A: tuple[float, ...]
    count: float = 5.0

    def __post_init__(self) -> None:
        if not len(self.measures) == len(self.mean_A) == len(self.std_A):
            raise ValueError("a prior needs one mean and one standard deviation for each measure")
        if bad := FORBIDDEN.intersection(self.measures):
            raise ValueError(f"{sorted(bad)}: absolute level is never used")


@dataclass(frozen=True, slots=True)
class Running:
    """Per speaker: how often each measure was seen, its mean and its sum of squared deviations. A value."""

    prior: Prior
    seen: dict[int, tuple[Floats, Floats, Floats]] = field(default_factory=dict)

    def push(self, values_A: Sequence[float] | Floats, speaker: int) -> tuple[Floats, Running]:
        """The z-scores ``[A]`` of one utterance and the statistics that include it.

        ``values_A`` are the raw measures (Hz, s, dB). NaN is missing: z is 0 and the statistics stay put.
        """
        prior_mean, prior_std = np.array(self.prior.mean_A), np.array(self.prior.std_A)
        zero = np.zeros_like(prior_mean)
        count, mean, square = self.seen.get(speaker, (zero, zero, zero))
        x = scaled(values_A, self.prior.measures)
        here = np.isfinite(x)
        x = np.where(here, x, 0.0)
        count = count + here
        delta = np.where(here, x - mean, 0.0)
        mean = mean + delta / np.maximum(count, 1)
        square = square + delta * np.where(here, x - mean, 0.0)
        k = self.prior.count
        apart = np.where(count > 0, mean - prior_mean, 0.0)
        centre = prior_mean + apart * count / (k + count)
        variance = (k * prior_std**2 + square + apart**2 * k * count / (k + count)) / (k + count)
        z = np.where(here, (x - centre) / np.sqrt(np.maximum(variance, 1e-12)), 0.0)
        return np.clip(z, -CLIP, CLIP), Running(self.prior, {**self.seen, speaker: (count, mean, square)})


def scaled(values_A: Sequence[float] | Floats, measures: Sequence[str]) -> Floats:
    """``values_A`` with the heavy-tailed measures as natural logarithms; NaN where that is not finite."""
    x = np.asarray(values_A, dtype=np.float64)
    log = np.array([m in LOGARITHMIC for m in measures])
    with np.errstate(invalid="ignore", divide="ignore"):
        out = np.where(log, np.log(np.where(x > 0, x, np.nan)), x)
    return np.where(np.isfinite(out), out, np.nan)


def causal_normalise(values_NA: Floats, speakers_N: Sequence[int], prior: Prior) -> Floats:
    """A whole conversation ``[N, A]`` through `Running.push`, utterance by utterance."""
    running, rows = Running(prior), []
    for values_A, speaker in zip(values_NA, speakers_N, strict=True):
        z_A, running = running.push(values_A, speaker)
        rows.append(z_A)
    return np.stack(rows) if rows else np.zeros((0, len(prior.measures)))


def fit_prior(values_NA: Floats, measures: Sequence[str], count: float = 5.0) -> Prior:
    """The prior of a corpus: mean and standard deviation of each measure over all its utterances."""
    x = np.stack([scaled(row, measures) for row in values_NA])
    mean, std = np.nanmean(x, 0), np.nanstd(x, 0)
    return Prior(tuple(measures), tuple(map(float, mean)), tuple(map(float, std)), count)
