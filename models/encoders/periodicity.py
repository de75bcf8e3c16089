"""How periodic a voice is, frame by frame: pitch candidates, their strength, the best path through them.

Autocorrelation and forward cross-correlation after P. Boersma, "Accurate short-term analysis of the
fundamental frequency and the harmonics-to-noise ratio of a sampled sound", IFA Proceedings 17 (1993): the
methods behind Praat's "To Pitch (ac)" and "To Harmonicity (cc)". Frames are analysed in batches, each on its
own, so that results do not depend on how the sound was cut into batches.

Shape suffixes: F frames, S samples of a frame, L lags, C candidates (column 0 is "unvoiced").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft  # type: ignore[import-untyped]

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]

_DEPTH = 14  # samples on either side of a maximum that the interpolation looks at
_FINE = 32  # the interpolation table's points per sample
_STEP = 8  # distance, in table points, of the three points around a refined maximum


@dataclass(frozen=True, slots=True)
class Search:
    """What counts as a voice, in Praat's terms. Frequencies in Hz, ``step`` in samples, the rest unitless."""

    floor: float
    ceiling: float
    step: int
    periods: float
    voicing: float
    silence: float = 0.03
    octave_cost: float = 0.01
    octave_jump_cost: float = 0.35
    change_cost: float = 0.14
    candidates: int = 10

    def unvoiced(self, relative_peak_F: Floats) -> Floats:
        """The strength of the unvoiced candidate, given each frame's peak relative to the loudest of all."""
        quiet_F = 2.0 - relative_peak_F * (1.0 + self.voicing) / self.silence
        return np.asarray(self.voicing + np.maximum(0.0, quiet_F))


class Candidates(NamedTuple):
    """Pitch candidates of F frames: ``hz_FC`` (0 is unvoiced or empty), ``strength_FC`` (-inf is empty).

    ``strength_FC`` already carries the octave cost; its column 0 is filled in when the loudest peak is known.
    ``peak_F`` is the largest absolute amplitude near the middle of each frame.
    """

    hz_FC: Floats
    strength_FC: Floats
    peak_F: Floats


def _kernel() -> Floats:
    """Hann-tapered sinc weights ``[2 * _FINE + 1, 2 * _DEPTH + 1]`` for offsets of -1 to 1 sample."""
    offset = np.arange(-_FINE, _FINE + 1)[:, None] / _FINE
    distance = offset - np.arange(-_DEPTH, _DEPTH + 1)[None, :]
    taper = np.where(np.abs(distance) <= _DEPTH, 0.5 + 0.5 * np.cos(np.pi * distance / _DEPTH), 0.0)
    return np.asarray(np.sinc(distance) * taper, dtype=np.float32)


_SINC = _kernel()


def refine(r_FL: Floats, rows: Ints, lags: Ints) -> tuple[Floats, Floats]:
    """The true place (in samples) and height of the maxima of ``r_FL`` at ``rows``, ``lags``.

    ``r_FL`` starts at lag ``-_DEPTH`` and reaches ``_DEPTH`` beyond the largest of ``lags``. A parabola
    through three samples gives a first place; band-limited interpolation around it gives a second parabola.
    """
    at = lags + _DEPTH
    left, middle, right = r_FL[rows, at - 1], r_FL[rows, at], r_FL[rows, at + 1]
    bend = 2.0 * middle - left - right
    shift = np.divide(0.5 * (right - left), bend, out=np.zeros_like(bend), where=bend > 0)
    centre = np.clip(np.rint(shift * _FINE).astype(np.int64), _STEP - _FINE, _FINE - _STEP)
    around = r_FL[rows[:, None], at[:, None] + np.arange(-_DEPTH, _DEPTH + 1)]
    low, mid, high = ((around * _SINC[centre + _FINE + o]).sum(1) for o in (-_STEP, 0, _STEP))
    slope, bend = 0.5 * (high - low), 2.0 * mid - low - high
    move = np.clip(np.divide(slope, bend, out=np.zeros_like(bend), where=bend > 0), -1.0, 1.0)
    height = mid + 0.5 * slope * move
    height = np.where(height > 1.0, 1.0 / np.maximum(height, 1.0), height)
    return lags + (centre + move * _STEP) / _FINE, height


def maxima(r_FL: Floats, least: float, first: int, last: int) -> tuple[Ints, Ints]:
    """Rows and lags (``first <= lag < last``) of the maxima above ``least``; ``r_FL`` as in `refine`."""
    here = r_FL[:, _DEPTH + first : _DEPTH + last]
    before = r_FL[:, _DEPTH + first - 1 : _DEPTH + last - 1]
    after = r_FL[:, _DEPTH + first + 1 : _DEPTH + last + 1]
    rows, columns = np.nonzero((here > least) & (here > before) & (here >= after))
    return rows, columns + first


def _mirrored(r_FL: Floats) -> Floats:
    """A correlation from lag 0 on, continued to lag ``-_DEPTH`` as an even function."""
    return np.concatenate((r_FL[:, _DEPTH:0:-1], r_FL), axis=1)


class AutoCorrelation:
    """Pitch candidates by windowed autocorrelation, divided by that of the window (Boersma 1993, eq. 9)."""

    def __init__(self, search: Search, rate: int) -> None:
        self.search = search
        self._rate = rate
        self._period = int(rate / search.floor)
        self.length = 2 * (int(search.periods * rate / search.floor) // 2)
        self._reach = self._period + 2 + _DEPTH + 1
        self._size = next_fast_len(self.length + self._reach, real=True)
        self._window_S = np.hanning(self.length + 2)[1:-1].astype(np.float32)
        self._window_r_L = self._correlate(self._window_S[None, :])[0]
        self._window_r_L /= self._window_r_L[0]

    def analyse(self, frames_FS: Floats) -> Candidates:
        """Candidates of each frame of ``length`` samples."""
        middle, period = self.length // 2, self._period
        mean_F1 = frames_FS[:, middle - period : middle + period].mean(1, keepdims=True)
        windowed_FS = (frames_FS - mean_F1) * self._window_S
        near = period // 2 + 1
        peak_F = np.abs(windowed_FS[:, middle - near : middle + near]).max(1)
        r_FL = self._correlate(windowed_FS)
        power_F1 = np.where(r_FL[:, :1] > 0, r_FL[:, :1], 1.0)
        r_FL = _mirrored(r_FL / (power_F1 * self._window_r_L))
        return self._candidates(r_FL, peak_F)

    def _correlate(self, x_FS: Floats) -> Floats:
        spectrum = rfft(x_FS, self._size, axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        return np.asarray(irfft(power, self._size, axis=1)[:, : self._reach])

    def _candidates(self, r_FL: Floats, peak_F: Floats) -> Candidates:
        search, count = self.search, self.search.candidates
        first = max(2, int(self._rate / search.ceiling))
        rows, lags = maxima(r_FL, 0.5 * search.voicing, first, self._period + 2)
        place, height = refine(r_FL, rows, lags)
        hz = self._rate / place
        score = height - search.octave_cost * np.log2(search.ceiling / hz)
        score = np.where(hz < search.ceiling, score, -np.inf)
        order = np.lexsort((-score, rows))
        rows, hz, score = rows[order], hz[order], score[order]
        rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
        keep = (rank < count - 1) & np.isfinite(score)
        hz_FC = np.zeros((len(peak_F), count))
        strength_FC = np.full((len(peak_F), count), -np.inf)
        hz_FC[rows[keep], rank[keep] + 1] = hz[keep]
        strength_FC[rows[keep], rank[keep] + 1] = score[keep]
        return Candidates(hz_FC, strength_FC, peak_F)


class Harmonicity:
    """The strongest forward cross-correlation of each frame, whatever its lag ("To Harmonicity (cc)")."""

    def __init__(self, floor: float, rate: int) -> None:
        self._period = int(rate / floor)
        self.length = 2 * self._period + 2 + _DEPTH + 2
        self._size = next_fast_len(self.length, real=True)

    def analyse(self, frames_FS: Floats) -> tuple[Floats, Floats]:
        """``(strength_F, peak_F)``: correlation (0 to 1; 0 where there is none) and amplitude per frame."""
        period = self._period
        x_FS = frames_FS - frames_FS[:, : 2 * period].mean(1, keepdims=True)
        near = period // 2 + 1
        peak_F = np.abs(x_FS[:, period - near : period + near]).max(1)
        r_FL = _mirrored(self._correlate(x_FS))
        rows, lags = maxima(r_FL, 0.0, 2, period + 2)
        _, height = refine(r_FL, rows, lags)
        strength_F = np.zeros(len(x_FS))
        np.maximum.at(strength_F, rows, height)
        return strength_F, peak_F

    def _correlate(self, x_FS: Floats) -> Floats:
        """Normalised correlation of the first period with what follows, from lag 0 on."""
        period = self._period
        lags = self.length - period
        head = rfft(x_FS[:, :period], self._size, axis=1)
        product_FL = irfft(np.conj(head) * rfft(x_FS, self._size, axis=1), self._size, axis=1)[:, :lags]
        squares = np.cumsum(np.square(x_FS), axis=1, dtype=np.float64)
        sums = np.concatenate((np.zeros((len(x_FS), 1)), squares), axis=1)
        energy_FL = sums[:, period:-1] - sums[:, : -period - 1]
        scale_FL = np.sqrt(np.maximum(energy_FL[:, :1] * energy_FL, 0.0))
        # Where a frame falls silent there is rounding, not correlation.
        known_FL = scale_FL > 1e-6 * scale_FL.max(1, keepdims=True)
        return np.asarray(np.where(known_FL, product_FL / np.where(known_FL, scale_FL, 1.0), 0.0))


class Path:
    """The cheapest way through the candidates (Viterbi), kept so that new frames add only their own work.

    The strength of "unvoiced" depends on the loudest peak heard so far. When a louder one comes, only the
    frames from the first whose strength changed are walked again.
    """

    def __init__(self, search: Search, rate: int) -> None:
        self._search = search
        scale = 0.01 * rate / search.step  # the costs are per 10 ms
        self._jump, self._change = search.octave_jump_cost * scale, search.change_cost * scale
        self._unvoiced_F: Floats = np.zeros(0)
        self._score_FC: Floats = np.zeros((0, search.candidates))
        self._from_FC: Ints = np.zeros((0, search.candidates), dtype=np.int64)

    def follow(self, found: Candidates, loudest: float) -> None:
        """Go on through all frames ``found`` so far; ``loudest`` is the largest amplitude so far, above 0."""
        self._walk(found, self._search.unvoiced(np.minimum(1.0, found.peak_F / loudest)))

    def best(self, found: Candidates, loudest: float) -> Floats:
        """The pitch of each frame in Hz ``[F]``, 0 where it is unvoiced."""
        frames = len(found.peak_F)
        if not frames or loudest <= 0:
            return np.zeros(frames)
        self.follow(found, loudest)
        chosen = np.zeros(frames, dtype=np.int64)
        state = int(self._score_FC[frames - 1].argmax())
        for frame in range(frames - 1, -1, -1):
            chosen[frame] = state
            state = int(self._from_FC[frame, state])
        return np.asarray(found.hz_FC[np.arange(frames), chosen])

    def _walk(self, found: Candidates, unvoiced_F: Floats) -> None:
        known = min(len(self._unvoiced_F), len(unvoiced_F))
        changed = np.flatnonzero(self._unvoiced_F[:known] != unvoiced_F[:known])
        start = int(changed[0]) if len(changed) else known
        back = min(start, 1)  # the frame before the first new one is looked at again, as where it comes from
        strength_FC = found.strength_FC[start - back :].copy()
        strength_FC[:, 0] = unvoiced_F[start - back :]
        score_FC, from_FC = strength_FC.copy(), np.zeros(strength_FC.shape, dtype=np.int64)
        score_FC[:back] = self._score_FC[start - back : start]
        # Every best path is unvoiced where that outweighs any voice and a change before and after; what went
        # before does not matter then, so silence costs nothing.
        silent_F = unvoiced_F[start - back :] > 1.0 + 2.0 * self._change
        score_FC[silent_F, 1:] = -np.inf
        frames = np.flatnonzero(~(silent_F[1:] & silent_F[:-1])) + 1
        hz_FC, columns = found.hz_FC[start - back :], np.arange(strength_FC.shape[1])
        cost_FCC = self._transitions(hz_FC[frames - 1], hz_FC[frames])
        for frame, cost_CC in zip(frames.tolist(), cost_FCC, strict=True):
            total = score_FC[frame - 1][:, None] - cost_CC
            came = total.argmax(0)
            from_FC[frame] = came
            if not silent_F[frame]:
                score_FC[frame] = total[came, columns] + strength_FC[frame]
        self._unvoiced_F = unvoiced_F
        self._score_FC = np.concatenate((self._score_FC[:start], score_FC[back:]))
        self._from_FC = np.concatenate((self._from_FC[:start], from_FC[back:]))

    def _transitions(self, before_FC: Floats, after_FC: Floats) -> Floats:
        """Cost ``[F, from, to]`` of going from one candidate (in Hz, 0: unvoiced) to another."""
        first, second = (np.log2(np.where(hz > 0, hz, 1.0)) for hz in (before_FC, after_FC))
        cost_FCC = np.abs(first[:, :, None] - second[:, None, :])
        cost_FCC *= self._jump
        cost_FCC[(before_FC > 0)[:, :, None] != (after_FC > 0)[:, None, :]] = self._change
        return np.asarray(cost_FCC)
