"""Praat's own values of the eight voice measures, by the calls that made MELD's table.

praat-parselmouth is GPL: imported by tests and benchmarks only, never by the program.
The calls were found in the extraction script of SpeechCueLLM (arXiv 2407.21315). The syllable nuclei follow
de Jong and Wempe (2009) with 25 dB, 2 dB dips and pauses of 0.3 s. A measure Praat cannot give is NaN.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import parselmouth
from numpy.typing import NDArray
from parselmouth.praat import call

Sound = NDArray[np.floating[Any]]


def measures(pcm: Sound, rate: int = 16_000) -> tuple[float, ...]:
    """The measures of mono sound ``[n]``, in the order of `models.encoders.prosody.MEASURES`."""
    sound = parselmouth.Sound(np.asarray(pcm, dtype=np.float64), rate)
    intensity = call(sound, "To Intensity", 100, 0.0, True)
    pitch = call(sound, "To Pitch", 0.0, 75, 600)
    hz = pitch.selected_array["frequency"]
    hz = hz[hz > 0]
    return (
        sound.get_total_duration(),
        call(intensity, "Get mean", 0, 0, "energy"),
        float(intensity.values.std()),
        call(pitch, "Get mean", 0, 0, "Hertz"),
        float(hz.std()) if len(hz) else math.nan,
        float(np.ptp(hz)) if len(hz) else math.nan,
        articulation_rate(sound),
        call(sound.to_harmonicity(), "Get mean", 0, 0),
    )


def speech_span(pcm: Sound, rate: int = 16_000) -> tuple[float, float]:
    """From the first to the last sounding interval, in seconds."""
    intensity = parselmouth.Sound(np.asarray(pcm, dtype=np.float64), rate).to_intensity(50)
    intervals = _sounding(call(intensity, "To TextGrid (silences)", -25, 0.3, 0.1, "silent", "sounding"))
    return intervals[0][0], intervals[-1][1]


def articulation_rate(sound: parselmouth.Sound) -> float:
    intensity = sound.to_intensity(50)
    highest, high = (
        call(intensity, "Get maximum", 0, 0, "Parabolic"),
        call(intensity, "Get quantile", 0, 0, 0.99),
    )
    threshold = max(high - 25, call(intensity, "Get minimum", 0, 0, "Parabolic"))
    grid = call(intensity, "To TextGrid (silences)", high - highest - 25, 0.3, 0.1, "silent", "sounding")
    pitch = sound.to_pitch_ac(0.02, 30, 4, False, 0.03, 0.25, 0.01, 0.35, 0.25, 450)
    intervals = _sounding(grid)
    nuclei = [
        time
        for time in _peaks_before_dips(intensity, threshold)
        if not math.isnan(pitch.get_value_at_time(time)) and any(a <= time < b for a, b in intervals)
    ]
    phonation = sum(b - a for a, b in intervals)
    return len(nuclei) / phonation if nuclei and phonation else math.nan


def _peaks_before_dips(intensity: Any, threshold: float) -> list[float]:
    curve = call(call(intensity, "Down to Matrix"), "To Sound (slice)", 1)
    extrema = call(curve, "To PointProcess (extrema)", "Left", "yes", "no", "Sinc70")
    times = [
        call(extrema, "Get time from index", i + 1) for i in range(call(extrema, "Get number of points"))
    ]
    peaks = [(t, v) for t in times if (v := call(curve, "Get value at time", t, "Cubic")) > threshold]
    return [
        time
        for (time, value), (following, _) in pairwise(peaks)
        if value - call(intensity, "Get minimum", time, following, "None") > 2
    ]


def _sounding(grid: Any) -> list[tuple[float, float]]:
    table = call(call(grid, "Extract tier", 1), "Down to TableOfReal", "sounding")
    rows = range(1, call(table, "Get number of rows") + 1)
    return [(call(table, "Get value", row, 1), call(table, "Get value", row, 2)) for row in rows]
