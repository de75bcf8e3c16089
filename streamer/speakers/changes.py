"""Where within one stretch of speech another voice goes on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..types import RATE, Floats

SHORTEST = 1.2  # seconds on either side of a change; shorter replies stay in the stretch they are said in
CHANGE = 0.36  # cosine distance of what is before and after; chosen as `Rules` were
STEP = 0.1  # seconds between the moments that are tried
REACH = 3.0  # seconds on either side of a moment that are compared
OVER = 0.21  # seconds by which a window may reach over a change
NEAR, BLOCK = 0.25, 0.02  # seconds around a change in which the softest block is cut at


def turns(
    starts: Floats, length: float, embeddings: Floats, end: float, change: float = CHANGE
) -> list[tuple[float, float]]:
    """Cut ``[0, end]`` seconds into stretches of one voice each.

    A cut is where the 3 s before differ most from the 3 s after, at least by ``change``; then each side is
    cut again.

    Args:
        starts: Seconds at which the windows begin, ``[n]``; each is ``length`` seconds long.
        embeddings: What was heard in each, ``[n, D]``.
    """
    return _halves(starts, length, embeddings, 0.0, end, change)


def mean(starts: Floats, length: float, embeddings: Floats, begin: float, end: float) -> Floats:
    """The mean embedding ``[D]`` of the windows in ``[begin, end]`` seconds, or of the one nearest to it."""
    inside = _within(starts, length, begin, end)
    if not inside.any():
        inside[np.abs(starts + length / 2 - (begin + end) / 2).argmin()] = True
    return np.asarray(embeddings[inside].mean(0), np.float32)


def quietest(pcm: Floats, moment: float) -> float:
    """The middle of the softest 20 ms of ``pcm`` within 0.25 s of ``moment`` (seconds)."""
    block = round(BLOCK * RATE)
    first = max(0, round((moment - NEAR) * RATE))
    part = pcm[first : round((moment + NEAR) * RATE)]
    part = part[: len(part) // block * block]
    if not len(part):
        return moment
    return (first + (int(np.square(part.reshape(-1, block)).mean(1).argmin()) + 0.5) * block) / RATE


def _within(starts: Floats, length: float, begin: float, end: float) -> NDArray[np.bool_]:
    """Which windows lie in ``[begin, end]``, or nearly so."""
    return (starts >= begin - OVER) & (starts + length <= end + OVER)


def _halves(
    starts: Floats, length: float, embeddings: Floats, begin: float, end: float, change: float
) -> list[tuple[float, float]]:
    best, cut = change, None
    for moment in np.arange(begin + SHORTEST, end - SHORTEST + 1e-6, STEP):
        before = _within(starts, length, max(begin, moment - REACH), moment)
        after = _within(starts, length, moment, min(end, moment + REACH))
        if before.any() and after.any():
            a, b = embeddings[before].mean(0), embeddings[after].mean(0)
            distance = 1 - float(a @ b) / float(np.linalg.norm(a) * np.linalg.norm(b) + 1e-12)
            if distance > best:
                best, cut = distance, float(moment)
    if cut is None:
        return [(begin, end)]
    return [
        *_halves(starts, length, embeddings, begin, cut, change),
        *_halves(starts, length, embeddings, cut, end, change),
    ]
