"""Articulation rate from an intensity contour: syllable nuclei per second of phonation.

After N. H. de Jong and T. Wempe, "Praat script to detect syllable nuclei and measure speech rate automatically",
Behavior Research Methods 41(2), 2009: a nucleus is a voiced peak of intensity within 25 dB of the loudest, with a dip of
more than 2 dB before the next peak.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

SILENCE_DB = -25.0  # relative to the 99 % quantile of the intensity
DIP_DB = 2.0
SHORTEST_PAUSE = 0.3  # s
SHORTEST_SOUND = 0.1  # s


def articulation_rate(level_db: Floats, times: Floats, voiced: Flags, duration: float) -> float | None:
    """Nuclei per second of phonation; None where no nucleus is found.

    ``level_db`` ``[F]`` is the intensity at ``times`` (seconds), ``voiced`` says whether there is a pitch there,
    ``duration`` is that of the utterance in seconds.
    """
    threshold = max(float(np.quantile(level_db, 0.99)) + SILENCE_DB, float(level_db.min()))
    sounding, phonation = sounding_frames(level_db >= threshold, times, duration)
    peaks = nuclei(level_db, threshold)
    count = int((voiced[peaks] & sounding[peaks]).sum())
    return count / phonation if count and phonation > 0 else None


def nuclei(level_db: Floats, threshold: float) -> NDArray[np.int64]:
    """Frames of the peaks above ``threshold`` (dB) that are followed by a dip; the last peak has none to follow."""
    inner = (level_db[1:-1] > level_db[:-2]) & (level_db[1:-1] >= level_db[2:])
    peaks = np.flatnonzero(inner) + 1
    peaks = peaks[level_db[peaks] > threshold]
    if len(peaks) < 2:
        return np.zeros(0, dtype=np.int64)
    dips = np.minimum.reduceat(level_db, peaks)[:-1]
    return np.asarray(peaks[:-1][level_db[peaks[:-1]] - dips > DIP_DB])


def sounding_frames(loud: Flags, times: Floats, duration: float) -> tuple[Flags, float]:
    """Which frames lie in sounding stretches, and how many seconds these last.

    Pauses under 0.3 s are filled, then sounds under 0.1 s are dropped.
    """
    edges = np.flatnonzero(np.diff(loud)) + 1
    bounds = np.concatenate(([0.0], 0.5 * (times[edges - 1] + times[edges]), [duration]))
    runs = [
        (bool(loud[first]), start, end)
        for first, start, end in zip([0, *edges], bounds[:-1], bounds[1:], strict=True)
    ]
    runs = _without_short(runs, False, SHORTEST_PAUSE)
    runs = _without_short(runs, True, SHORTEST_SOUND)
    sounding = np.zeros(len(times), dtype=np.bool_)
    for loud_run, start, end in runs:
        sounding[(times >= start) & (times < end)] = loud_run
    return sounding, float(sum(end - start for loud_run, start, end in runs if loud_run))


def _without_short(
    runs: list[tuple[bool, float, float]], kind: bool, shortest: float
) -> list[tuple[bool, float, float]]:
    """``runs`` with those of ``kind`` shorter than ``shortest`` turned into the other kind, and neighbours joined."""
    joined: list[tuple[bool, float, float]] = []
    for label, start, end in runs:
        if label == kind and end - start < shortest and len(runs) > 1:
            label = not kind
        if joined and joined[-1][0] == label:
            joined[-1] = (label, joined[-1][1], end)
        else:
            joined.append((label, start, end))
    return joined
