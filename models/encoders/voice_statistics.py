"""What is said of a voice in numbers: statistics of an utterance's log-mel frames, pitch and measures.

Cepstra (the cosine transform of the log-mel bands) describe the colour of each frame, their spread and their
modulation over 310 ms how it changes, the contour of the pitch the melody. Nothing depends on the gain: the
loudness is measured from its own mean, and what lies 78 dB below the loudest band counts as silence. A steady
background is taken off first.

Shape suffixes: T frames, B bands, C cepstra, M modulations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from models.encoders.mel import BANDS
from models.encoders.prosody import USED_MEASURES

Floats = NDArray[np.float64]

_CEPSTRA, _MODULATED, _PLACED = 20, 12, 5
_DEPTH = 18.0  # natural logarithms of power below the loudest band of the utterance: 78 dB
_QUIETEST, _TAKEN, _LEFT = 0.1, 3.0, 0.3  # share of the frames; what is taken off and what is left
_SPAN = 31  # frames of 10 ms over which modulation is measured
_RATES = (1, 2, 3, 4, 6)  # half cycles within them: 1.6 to 10 Hz
_QUARTERS = 4
_LEAST_VOICED = 4  # frames; with fewer there is no melody
_NO_PITCH = np.log(150.0)  # Hz, between women and men: what says nothing of either
_MEASURES = tuple(USED_MEASURES.index(m) for m in USED_MEASURES if m != "avg_pitch")  # which the melody holds
MELODY = 13 + _QUARTERS
COUNT = 11 * _CEPSTRA - 2 + MELODY + len(_MEASURES) + _QUARTERS * _PLACED + _MODULATED * len(_RATES)


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """The speech of an utterance.

    Attributes:
        mel_TB: Log-mel frames of `models.encoders.mel`, at least `LEAST`.
        hz_T: Pitch of each in Hz, 0 where there is no voice.
        measures: `USED_MEASURES` in their order and units, NaN where one is not known.
    """

    LEAST: ClassVar[int] = 10

    mel_TB: NDArray[np.float32]
    hz_T: Floats
    measures: Floats


def statistics(heard: Heard) -> Floats:
    """``[COUNT]`` finite numbers; what they are is said where they are made."""
    mel_TB = _without_background(heard.mel_TB)
    mel_TB = np.maximum(mel_TB, mel_TB.max() - _DEPTH)
    cepstra_TC = mel_TB @ COSINES_BC
    cepstra_TC[:, 0] -= cepstra_TC[:, 0].mean()
    level_T = cepstra_TC[:, 0] / np.sqrt(BANDS)
    voiced_T = heard.hz_T > 0
    if voiced_T.sum() < _LEAST_VOICED:
        voiced_T = np.zeros(len(voiced_T), dtype=bool)
    quarters = np.array_split(np.arange(len(mel_TB)), _QUARTERS)
    parts = (
        _colour(cepstra_TC, level_T, voiced_T),
        _melody(heard.hz_T, level_T, voiced_T, quarters),
        np.nan_to_num(heard.measures[list(_MEASURES)]),
        np.concatenate([cepstra_TC[q, :_PLACED].mean(0) for q in quarters]),
        _modulation(cepstra_TC[:, :_MODULATED]),
    )
    return np.concatenate(parts)


def _without_background(mel_TB: NDArray[np.float32]) -> Floats:
    """Each band less what is in its quietest tenth (Boll, 1979): a fan, a street, hiss."""
    power_TB = np.exp(mel_TB.astype(np.float64))
    background_B = np.quantile(power_TB, _QUIETEST, axis=0)
    rest_TB = np.maximum(power_TB - _TAKEN * background_B, _LEFT * background_B)
    return np.asarray(np.log(rest_TB + np.finfo(np.float64).tiny))


def _colour(cepstra_TC: Floats, level_T: Floats, voiced_T: NDArray[np.bool_]) -> Floats:
    """Where the cepstra lie, how far they spread and how fast they move: over all frames, the louder 60 %
    and the voiced."""
    slope_TC = np.gradient(cepstra_TC, axis=0)
    loud_TC = cepstra_TC[level_T >= np.quantile(level_T, 0.4)]
    voiced_TC = cepstra_TC[voiced_T] if voiced_T.any() else loud_TC
    parts = (
        cepstra_TC.mean(0)[1:],
        cepstra_TC.std(0),
        *np.quantile(cepstra_TC, (0.1, 0.5, 0.9), axis=0),
        slope_TC.std(0),
        np.abs(slope_TC).mean(0),
        loud_TC.mean(0)[1:],
        loud_TC.std(0),
        voiced_TC.mean(0),
        voiced_TC.std(0),
    )
    return np.concatenate(parts)


def _melody(
    hz_T: Floats, level_T: Floats, voiced_T: NDArray[np.bool_], quarters: list[NDArray[np.int64]]
) -> Floats:
    """The logarithm of the pitch: its place, spread, steps, course, and whether it goes with the loudness."""
    if not voiced_T.any():
        return np.array([_NO_PITCH] * 6 + [0.0] * (MELODY - 6))
    pitch = np.log(hz_T[voiced_T])
    level = level_T[voiced_T]
    steps = np.diff(pitch)
    place = np.flatnonzero(voiced_T) / len(hz_T) - 0.5
    bend, slope, _ = np.polyfit(place, pitch, 2)
    together = np.mean((pitch - pitch.mean()) * (level - level.mean()))
    together /= (level.std() + 0.1) * (pitch.std() + 0.02)
    spread = (pitch.std(), voiced_T.mean(), steps.std(), np.abs(steps).mean(), bend, slope, together)
    said = [q[voiced_T[q]] for q in quarters]
    course = [np.log(hz_T[q]).mean() - pitch.mean() if len(q) > 1 else 0.0 for q in said]
    where = (*np.quantile(pitch, (0.05, 0.25, 0.5, 0.75, 0.95)), pitch.mean())
    return np.array([*where, *spread, *course])


def _modulation(cepstra_TC: Floats) -> Floats:
    """How strongly each cepstrum beats at each of `_RATES`: the logarithm of its mean power."""
    half = _SPAN // 2
    padded_TC = np.pad(cepstra_TC, ((half, half), (0, 0)), mode="edge")
    around_TCW = np.lib.stride_tricks.sliding_window_view(padded_TC, _SPAN, axis=0)
    return np.asarray(np.log(np.square(around_TCW @ _BEATS_WM).mean(0) + 1e-3).ravel())


def _cosines() -> Floats:
    """The orthonormal cosine transform ``[B, C]``."""
    band_B1, order_C = np.arange(BANDS)[:, None] + 0.5, np.arange(_CEPSTRA)
    scale_C = np.where(order_C == 0, np.sqrt(1.0 / BANDS), np.sqrt(2.0 / BANDS))
    return np.asarray(scale_C * np.cos(np.pi * band_B1 * order_C / BANDS))


def _beats() -> Floats:
    """Windowed cosines ``[W, M]`` of unit length."""
    at_W1 = np.arange(_SPAN)[:, None] + 0.5
    beats_WM = np.cos(np.pi * at_W1 * np.array(_RATES) / _SPAN) * np.hanning(_SPAN + 2)[1:-1, None]
    return np.asarray(beats_WM / np.linalg.norm(beats_WM, axis=0))


COSINES_BC, _BEATS_WM = _cosines(), _beats()
