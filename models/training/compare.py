"""Are two rows of a table different? A paired bootstrap over conversations and seeds; pure functions.

Both arms are measured on the same test conversations with the same seeds. A resample draws as many
conversations and as many seeds, with replacement, the same for both arms, computes the weighted F1 of every
drawn seed on the drawn conversations, and takes the difference of the means (Efron and Tibshirani 1993, ch.
16; Koehn 2004 for the paired form in language processing).

Shape suffixes: S seeds, B conversations, R resamples, C classes; 3: hits, labels, guesses of a class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
TIE = 1.0  # points of F1: seeds alone differ by as much


@dataclass(frozen=True, slots=True)
class Comparison:
    """``difference`` of mean weighted F1 in points, its 95 % interval, and the number of seeds."""

    difference: float
    low: float
    high: float
    seeds: int

    @property
    def verdict(self) -> str:
        """``tie`` under a point; ``better``, ``worse`` where the interval excludes 0; else ``unclear``."""
        if abs(self.difference) < TIE:
            return "tie"
        if self.low > 0 or self.high < 0:
            return "better" if self.low > 0 else "worse"
        return "unclear"

    def __str__(self) -> str:
        return f"{self.difference:+.1f} [{self.low:+.1f}, {self.high:+.1f}] {self.verdict}"


def weighted_f1(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Percent, of ``counts [..., 3, C]``; 0 where there is no label."""
    hit, true, said = (counts[..., i, :].astype(np.float64) for i in range(3))
    f1 = 2 * hit / np.maximum(true + said, 1)
    out: NDArray[np.float64] = 100 * (f1 * true).sum(-1) / np.maximum(true.sum(-1), 1)
    return out


def paired(
    baseline: Mapping[int, Counts], other: Mapping[int, Counts], *, resamples: int = 4000, seed: int = 0
) -> Comparison:
    """``other`` minus ``baseline``, each ``[B, 3, C]`` by seed; seeds that both have are compared.

    Raises:
        ValueError: no common seed, or other conversations or classes.
    """
    seeds = sorted(baseline.keys() & other.keys())
    if not seeds:
        raise ValueError(f"no common seed: {sorted(baseline)} and {sorted(other)}")
    arms = [np.stack([arm[s] for s in seeds]).astype(np.float64) for arm in (baseline, other)]
    if arms[0].shape != arms[1].shape or (arms[0][:, :, 1] != arms[1][:, :, 1]).any():
        raise ValueError("the two were not measured on the same conversations with the same labels")
    random = np.random.default_rng(seed)
    s, b = arms[0].shape[:2]
    times_RB = random.multinomial(b, np.full(b, 1 / b), resamples).astype(np.float64)
    times_RS = random.multinomial(s, np.full(s, 1 / s), resamples) / s
    means = [(times_RS * _resampled(arm, times_RB)).sum(1) for arm in arms]
    low, high = np.percentile(means[1] - means[0], [2.5, 97.5])
    whole = [weighted_f1(arm.sum(1)).mean() for arm in arms]
    return Comparison(float(whole[1] - whole[0]), float(low), float(high), s)


def _resampled(arm: NDArray[np.float64], times_RB: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted F1 ``[R, S]`` of every seed in every resample."""
    s, b, _, c = arm.shape
    counts = times_RB @ arm.transpose(1, 0, 2, 3).reshape(b, -1)
    return weighted_f1(counts.reshape(len(times_RB), s, 3, c))
