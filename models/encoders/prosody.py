"""Voice measures of an utterance, gathered while it is spoken: the eight of MELD's table, from 16 kHz sound.

Each follows the Praat command that made the column (docs/prosody.md). `push` analyses what is new, `measures`
reduces what was gathered so far: the end of speech adds only its last frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.encoders.periodicity import AutoCorrelation, Candidates, Floats, Harmonicity, Path, Search
from models.encoders.syllables import articulation_rate, speech

Span = tuple[float, float]
Analysis = Callable[[Floats], tuple[Floats, ...]]

RATE = 16_000  # Hz, the only sample rate these measures are defined for here

MEASURES = (
    "duration",
    "avg_intensity",
    "intensity_variation",
    "avg_pitch",
    "pitch_std",
    "pitch_range",
    "articulation_rate",
    "mean_hnr",
)
# What a model may read: correlation with Praat of 0.8 or more on RAVDESS (docs/prosody.md). Never
# avg_intensity, which says how near the microphone is.
USED_MEASURES: tuple[str, ...] = (
    "duration",
    "intensity_variation",
    "avg_pitch",
    "pitch_std",
    "pitch_range",
    "articulation_rate",
    "mean_hnr",
)

_STEP = 160  # 10 ms: the step of pitch and harmonicity
_GRIDS = (13, 40, 67)  # first samples of three pitch analyses, of which `_grid` takes one at the end
_BATCH = 4_800  # samples gathered before they are analysed: fewer, larger batches cost less
_MARGIN = 0.05  # s of silence kept around the speech, about what subtitles leave
# How far below the loudest frame digital zeros are taken to be, in dB: within speech as deep as the pauses of
# recordings with a natural background, in a whole clip about as deep as Praat has them.
_DEEPEST_SPEECH, _DEEPEST = -40.0, -367.0
_REFERENCE = 4e-10  # Pa^2, the square of 2e-5 Pa

_PITCH = Search(floor=75.0, ceiling=600.0, step=_STEP, periods=3.0, voicing=0.45)
_NUCLEI = Search(floor=30.0, ceiling=450.0, step=320, periods=3.0, voicing=0.25, change_cost=0.25)
_HNR_SILENCE = 0.1


@dataclass(frozen=True, slots=True)
class Measures:
    """Eight voice measures of an utterance; None where one cannot be measured (no voice, too short, silence).

    Attributes:
        duration: seconds.
        avg_intensity: dB re 2e-5 with full scale as 1 Pa. Depends on the microphone: for comparison only.
        intensity_variation: standard deviation of the intensity, dB.
        avg_pitch, pitch_std, pitch_range: mean, standard deviation and span of the voiced frames, Hz.
        articulation_rate: syllable nuclei per second of phonation.
        mean_hnr: harmonics-to-noise ratio, mean over the voiced frames, dB.
    """

    duration: float
    avg_intensity: float | None = None
    intensity_variation: float | None = None
    avg_pitch: float | None = None
    pitch_std: float | None = None
    pitch_range: float | None = None
    articulation_rate: float | None = None
    mean_hnr: float | None = None

    def values(self, names: Sequence[str] = USED_MEASURES) -> tuple[float, ...]:
        """The measures called ``names``, in that order, NaN where one is None."""
        found = (getattr(self, name) for name in names)
        return tuple(float("nan") if value is None else value for value in found)


class _Level:
    """Intensity contour: Kaiser-20 window of 6.4 / ``floor`` seconds, its mean removed ("To Intensity")."""

    def __init__(self, floor: float) -> None:
        self.half = int(3.2 / floor * RATE)
        self.length = 2 * self.half + 1
        self.step = int(0.8 / floor * RATE)
        place = np.arange(-self.half, self.half + 1) / (3.2 / floor * RATE)
        window = np.i0((2 * np.pi**2 + 0.5) * np.sqrt(np.maximum(0.0, 1.0 - place**2)))
        self._window_S = (window / window.sum()).astype(np.float32)

    def analyse(self, frames_FS: Floats) -> tuple[Floats]:
        """Mean square of each frame ``[F]``."""
        centred_FS = frames_FS - frames_FS.mean(1, keepdims=True)
        centred_FS *= centred_FS
        centred_FS *= self._window_S
        return (centred_FS.sum(1, dtype=np.float64),)

    def contour(self, power: Floats, span: Span | None) -> tuple[Floats, Floats]:
        """Intensity in dB and its times in seconds, of the frames wholly within ``span`` (None: all)."""
        times = (self.half + np.arange(len(power)) * self.step) / RATE
        if not len(power) or power.max() <= 0:
            return np.zeros(0), np.zeros(0)
        deepest = _DEEPEST if span is None else _DEEPEST_SPEECH
        power = np.maximum(power, power.max() * 10 ** (deepest / 10))
        if span is not None:
            reach = self.half / RATE
            inside = (times >= span[0] + reach) & (times <= span[1] - reach)
            power, times = power[inside], times[inside]
        return np.asarray(10 * np.log10(power / _REFERENCE)), times


class _Feed:
    """One analysis: cuts the sound into frames as they become complete, and keeps what it found in them."""

    def __init__(self, analyse: Analysis, length: int, step: int, start: int = 0) -> None:
        self._analyse, self._length, self._step = analyse, length, step
        self.next = start  # first sample of the next frame
        self._parts: list[tuple[Floats, ...]] = []

    def look(self, sound: Floats, start: int) -> None:
        """Analyse what is new in ``sound``, whose first sample has number ``start``."""
        sound = sound[self.next - start :]
        count = (len(sound) - self._length) // self._step + 1
        if count > 0:
            every = np.lib.stride_tricks.sliding_window_view(sound, self._length)
            self._parts.append(self._analyse(every[: (count - 1) * self._step + 1 : self._step]))
            self.next += count * self._step

    def found(self) -> tuple[Floats, ...] | None:
        """What the analysis gives for all frames, joined; None before the first frame."""
        if len(self._parts) > 1:
            self._parts = [tuple(np.concatenate(same) for same in zip(*self._parts, strict=True))]
        return self._parts[0] if self._parts else None


class _Pitch:
    """A pitch track: candidates by autocorrelation, and the path through them."""

    def __init__(self, search: Search, start: int = 0) -> None:
        analysis = AutoCorrelation(search, RATE)
        self.length, self._step, self._start = analysis.length, search.step, start
        self.feed = _Feed(analysis.analyse, self.length, search.step, start)
        self._path = Path(search, RATE)

    def follow(self, loudest: float) -> None:
        """Do now what `track` would have to do for the frames found so far."""
        found = self.feed.found()
        if found and loudest > 0:
            self._path.follow(Candidates(*found), loudest)

    def track(self, loudest: float) -> tuple[Floats, Floats]:
        """Pitch in Hz (0: unvoiced) and its times in seconds."""
        found = self.feed.found()
        hz = self._path.best(Candidates(*found), loudest) if found else np.zeros(0)
        return hz, (self._start + self.length / 2 + np.arange(len(hz)) * self._step) / RATE


class ProsodyAccumulator:
    """Gathers one utterance's voice measures; make a new one for each utterance.

    Holds values per frame (about 100 kB a second), never the sound. The result does not depend on how the
    sound was cut into chunks.
    """

    def __init__(self, rate: int = RATE) -> None:
        if rate != RATE:
            raise ValueError(f"voice measures need sound at {RATE} Hz, not {rate}: resample it first")
        harmonicity = Harmonicity(_PITCH.floor, RATE)
        self._pitches, self._nuclei = [_Pitch(_PITCH, start) for start in _GRIDS], _Pitch(_NUCLEI)
        self._level, self._slow_level = _Level(100.0), _Level(50.0)
        self._levels = _Feed(self._level.analyse, self._level.length, self._level.step)
        self._slow_levels = _Feed(self._slow_level.analyse, self._slow_level.length, self._slow_level.step)
        self._periodic = _Feed(harmonicity.analyse, harmonicity.length, _STEP)
        self._extremes = _Feed(_extremes, _STEP, _STEP)
        self._feeds = [self._levels, self._slow_levels, self._periodic, self._extremes, self._nuclei.feed]
        self._feeds += [pitch.feed for pitch in self._pitches]
        self._sound = np.zeros(0, dtype=np.float32)  # from sample ``_start``: what an analysis still needs
        self._start, self._samples, self._followed = 0, 0, 0
        self._waiting: list[NDArray[np.float32]] = []

    @property
    def seconds(self) -> float:
        """How much sound was pushed."""
        return self._samples / RATE

    def push(self, pcm: NDArray[np.float32]) -> None:
        """Take the next samples ``[n]``, mono, 16 kHz, full scale 1; any ``n``, also 0.

        Raises:
            ValueError: the samples are not one-dimensional or not finite.
        """
        if pcm.ndim != 1:
            raise ValueError(f"voice measures need mono sound of shape [n], got {list(pcm.shape)}")
        if not np.isfinite(pcm).all():
            raise ValueError("voice measures need finite samples, got NaN or infinity: check the source")
        self._samples += len(pcm)
        self._waiting.append(pcm.astype(np.float32))
        if self._samples - self._start - len(self._sound) >= _BATCH:
            self._look()
            self._follow()

    def measures(self, whole: bool = False) -> Measures:
        """The measures of everything pushed so far; more may be pushed afterwards.

        They describe the stretch from the first to the last sounding frame and 50 ms on either side, as a
        clip cut by its subtitles has it. ``whole`` takes the sound as it is, silence included, as Praat does.
        """
        self._look()
        loudest = self._loudest()
        span = None if whole else self._speech()
        begin, end = span or (0.0, self.seconds)
        level_db, _ = self._contour(self._level, self._levels, span)
        hz, times = self._pitches[self._grid()].track(loudest)
        voiced = hz[(hz > 0) & (times >= begin) & (times <= end)]
        return Measures(
            duration=end - begin,
            avg_intensity=float(10 * np.log10(np.mean(10 ** (level_db / 10)))) if len(level_db) else None,
            intensity_variation=float(level_db.std()) if len(level_db) else None,
            avg_pitch=float(voiced.mean()) if len(voiced) else None,
            pitch_std=float(voiced.std()) if len(voiced) else None,
            pitch_range=float(np.ptp(voiced)) if len(voiced) else None,
            articulation_rate=self._articulation(span, loudest),
            mean_hnr=self._hnr(loudest),
        )

    def speech(self) -> Span | None:
        """The stretch that `measures` describes, in seconds; None where nothing sounds."""
        self._look()
        return self._speech()

    def contour(self) -> tuple[Floats, Floats]:
        """Pitch of each 10 ms of everything pushed so far in Hz (0: no voice), and its times in seconds."""
        self._look()
        return self._pitches[self._grid()].track(self._loudest())

    def _look(self) -> None:
        self._sound = np.concatenate((self._sound, *self._waiting))
        self._waiting.clear()
        for feed in self._feeds:
            feed.look(self._sound, self._start)
        used = min(min(feed.next for feed in self._feeds), self._samples)
        self._sound = self._sound[used - self._start :].copy()
        self._start = used

    def _follow(self) -> None:
        """Once a second of sound, find the way through the pitch so far: the end has little left to do."""
        if self._samples - self._followed < RATE:
            return
        self._followed = self._samples
        loudest = self._loudest()
        for pitch in (*self._pitches, self._nuclei):
            pitch.follow(loudest)

    def _grid(self) -> int:
        """Which pitch analysis has its frames nearest to Praat's, which lie centred in the whole sound.

        Frames at the edge of voicing come and go with a shift of a few ms, and the pitch range with them.
        """
        spare = max(0, self._samples - self._pitches[0].length)
        return int(np.abs(np.array(_GRIDS) - 0.5 * (spare % _STEP)).argmin())

    def _loudest(self) -> float:
        """The largest deviation from the mean of the sound."""
        found = self._extremes.found()
        if found is None:
            return 0.0
        total, lowest, highest = found
        mean = float(total.sum()) / (len(total) * _STEP)
        return max(float(highest.max()) - mean, mean - float(lowest.min()))

    def _contour(self, level: _Level, feed: _Feed, span: Span | None) -> tuple[Floats, Floats]:
        found = feed.found()
        return level.contour(found[0] if found else np.zeros(0), span)

    def _speech(self) -> Span | None:
        """From the first to the last sounding frame, with a margin; None where nothing sounds."""
        level_db, times = self._contour(self._slow_level, self._slow_levels, None)
        if not len(level_db):
            return None
        found = speech(level_db, times, self.seconds)
        return found and (max(0.0, found[0] - _MARGIN), min(self.seconds, found[1] + _MARGIN))

    def _articulation(self, span: Span | None, loudest: float) -> float | None:
        level_db, times = self._contour(self._slow_level, self._slow_levels, span)
        hz, pitch_times = self._nuclei.track(loudest)
        if not len(level_db) or not len(hz):
            return None
        nearest = np.searchsorted(pitch_times[:-1] + 0.01, times)
        begin, end = span or (0.0, self.seconds)
        return articulation_rate(level_db, times - begin, hz[nearest] > 0, end - begin)

    def _hnr(self, loudest: float) -> float | None:
        found = self._periodic.found()
        if found is None or loudest <= 0:
            return None
        strength, peak = found
        voiced = strength > np.maximum(0.0, 2.0 - peak / loudest / _HNR_SILENCE)
        share = np.clip(strength[voiced], 1e-15, 1 - 1e-15)
        return float(np.mean(10 * np.log10(share / (1 - share)))) if len(share) else None


def _extremes(blocks_FS: Floats) -> tuple[Floats, ...]:
    return blocks_FS.sum(1, dtype=np.float64), blocks_FS.min(1), blocks_FS.max(1)
