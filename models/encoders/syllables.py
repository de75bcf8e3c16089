"""Articulation rate from an intensity contour: syllable nuclei per second of phonation.

After N. H. de Jong and T. Wempe, "Praat script to detect syllable nuclei and measure speech rate
automatically", Behavior Research Methods 41(2), 2009: a nucleus is a voiced peak of intensity within 25 dB of
the loudest, with a dip of more than 2 dB before the next peak.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.encoders.periodicity import Floats, Ints

Flags = NDArray[np.bool_]

SILENCE_DB = -25.0  # relative to the 99 % quantile of the intensity
DIP_DB = 2.0
SHORTEST_PAUSE = 0.3  # s
SHORTEST_SOUND = 0.1  # s
QUIET_SHARE = 0.05
ABOVE_NOISE_DB = 4.0
LEAST_SNR_DB = -12.0


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch that is sounding (``loud``) or silent, in seconds."""

    loud: bool
    start: float
    end: float


def articulation_rate(level_db: Floats, times: Floats, voiced: Flags, duration: float) -> float | None:
    """Nuclei per second of phonation; None where no nucleus is found.

    Args:
        level_db: Intensity ``[F]``, at least one frame.
        times: Its times ``[F]`` in seconds, from the start of the sound.
        voiced: Whether there is a pitch at each of them ``[F]``.
        duration: Of the whole sound, in seconds.
    """
    threshold = max(float(np.quantile(level_db, 0.99)) + SILENCE_DB, float(level_db.min()))
    peaks = nuclei(level_db, threshold)
    peaks = peaks[voiced[peaks]]
    runs = [run for run in sounding(level_db >= threshold, times, duration) if run.loud]
    count = sum(int(((times[peaks] >= run.start) & (times[peaks] < run.end)).sum()) for run in runs)
    phonation = sum(run.end - run.start for run in runs)
    return count / phonation if count and phonation > 0 else None


def nuclei(level_db: Floats, threshold: float) -> Ints:
    """Frames of the peaks above ``threshold`` (dB) that a dip follows, before another peak."""
    peaks = np.flatnonzero((level_db[1:-1] > level_db[:-2]) & (level_db[1:-1] >= level_db[2:])) + 1
    peaks = peaks[level_db[peaks] > threshold]
    if len(peaks) < 2:
        return np.zeros(0, dtype=np.int64)
    dips = np.minimum.reduceat(level_db, peaks)[:-1]
    return np.asarray(peaks[:-1][level_db[peaks[:-1]] - dips > DIP_DB])


def speech(level_db: Floats, times: Floats, duration: float) -> tuple[float, float] | None:
    """Where speech begins and ends, in seconds, by its level; None where nothing sounds for 0.1 s.

    As for syllables, what lies within 25 dB of the loudest sounds; where the background is louder than that,
    what stands out of it (its level is that of the quietest frames), down to 12 dB below the loudest.
    """
    loudest, quietest = float(np.quantile(level_db, 0.99)), float(np.quantile(level_db, QUIET_SHARE))
    threshold = min(max(loudest + SILENCE_DB, quietest + ABOVE_NOISE_DB), loudest + LEAST_SNR_DB)
    runs = _runs(level_db >= threshold, times, duration)
    # A short silence at either end is no pause: it is what the segmenter keeps around the speech.
    first, last = not runs[0].loud, len(runs) - (not runs[-1].loud)
    within = _without_short(_without_short(runs[first:last], False, SHORTEST_PAUSE), True, SHORTEST_SOUND)
    loud = [run for run in within if run.loud and run.end - run.start >= SHORTEST_SOUND]
    return (loud[0].start, loud[-1].end) if loud else None


def sounding(loud: Flags, times: Floats, duration: float) -> list[Run]:
    """The sound from 0 to ``duration`` seconds as alternating runs, from the frames that are ``loud``.

    Pauses under 0.3 s count as sound, and then sounds under 0.1 s as silence.
    """
    runs = _runs(loud, times, duration)
    return _without_short(_without_short(runs, False, SHORTEST_PAUSE), True, SHORTEST_SOUND)


def _runs(loud: Flags, times: Floats, duration: float) -> list[Run]:
    edges = np.flatnonzero(np.diff(loud)) + 1
    bounds = [0.0, *(0.5 * (times[edges - 1] + times[edges])).tolist(), duration]
    labels = [bool(loud[first]) for first in (0, *edges)]
    return [Run(*each) for each in zip(labels, bounds[:-1], bounds[1:], strict=True)]


def _without_short(runs: list[Run], loud: bool, shortest: float) -> list[Run]:
    """``runs`` with those of one kind that are too short turned into the other, and neighbours joined."""
    joined: list[Run] = []
    for run in runs:
        short = run.loud == loud and run.end - run.start < shortest and len(runs) > 1
        label = run.loud != short
        if joined and joined[-1].loud == label:
            joined[-1] = Run(label, joined[-1].start, run.end)
        else:
            joined.append(Run(label, run.start, run.end))
    return joined
