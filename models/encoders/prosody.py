"""Voice measures of an utterance, gathered while it is spoken: the eight that MELD's table gives, from 16 kHz sound.

Each follows the Praat command that made the column (docs/prosody.md); `push` analyses what is new, `measures` reduces
what was gathered so far, so the end of speech adds only its last frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.encoders.periodicity import AutoCorrelation, Candidates, Floats, Harmonicity, Path, Search
from models.encoders.syllables import articulation_rate

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
# What a model may read: correlation with Praat of 0.8 or more on RAVDESS (docs/prosody.md). Never avg_intensity,
# which says how near the microphone is.
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
_BATCH = 3_200  # samples gathered before they are analysed: fewer, larger batches cost less
_QUIETEST = 1e-10  # silence is at most 100 dB below the loudest frame, so that digital zeros have a level
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
        avg_pitch, pitch_std, pitch_range: mean, standard deviation and maximum - minimum of the voiced frames, Hz.
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


class Level:
    """Intensity contour: Kaiser-20 window of 6.4 / ``floor`` seconds, its mean removed ("To Intensity")."""

    def __init__(self, floor: float, rate: int) -> None:
        half = int(3.2 / floor * rate)
        self.length = 2 * half + 1
        self.step = int(0.8 / floor * rate)
        place = np.arange(-half, half + 1) / (3.2 / floor * rate)
        window = np.i0((2 * np.pi**2 + 0.5) * np.sqrt(np.maximum(0.0, 1.0 - place**2)))
        self._window_S = window / window.sum()

    def analyse(self, frames_FS: Floats) -> Floats:
        """Mean square of each frame ``[F]``."""
        centred_FS = frames_FS - frames_FS.mean(1, keepdims=True)
        centred_FS *= centred_FS
        centred_FS *= self._window_S
        return np.asarray(centred_FS.sum(1))


class ProsodyAccumulator:
    """Gathers one utterance's voice measures; make a new one for each utterance.

    Holds values per frame (about 60 kB a second), never the sound. The result does not depend on how the sound was
    cut into chunks.
    """

    def __init__(self, rate: int = RATE) -> None:
        if rate != RATE:
            raise ValueError(f"voice measures need sound at {RATE} Hz, not {rate}: resample it first")
        self._pitch, self._nuclei = AutoCorrelation(_PITCH, RATE), AutoCorrelation(_NUCLEI, RATE)
        self._harmonicity = Harmonicity(_PITCH.floor, RATE)
        self._level, self._slow_level = Level(100.0, RATE), Level(50.0, RATE)
        self._sound: Floats = np.zeros(0)  # not yet used up by every analysis; starts at sample ``_start``
        self._start = 0
        self._samples = 0
        self._waiting: list[Floats] = []
        self._next = dict.fromkeys(("pitch", "nuclei", "harmonicity", "level", "slow_level", "block"), 0)
        self._found: dict[str, list[tuple[Floats, ...]]] = {name: [] for name in self._next}
        self._paths = {"pitch": Path(_PITCH, RATE), "nuclei": Path(_NUCLEI, RATE)}

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
            raise ValueError(f"voice measures need mono sound of shape [n], got {pcm.shape}")
        if not np.isfinite(pcm).all():
            raise ValueError(
                "voice measures need finite samples, got NaN or infinity: check the source's decoder"
            )
        self._samples += len(pcm)
        self._waiting.append(pcm.astype(np.float64))
        if self._samples - self._start - len(self._sound) >= _BATCH:
            self._analyse()

    def measures(self) -> Measures:
        """The measures of everything pushed so far; more may be pushed afterwards."""
        self._analyse()
        loudest = self._loudest()
        pitch = self._track("pitch", loudest)
        voiced = pitch[pitch > 0]
        level_db = self._decibels("level")
        slow_db, voice = self._decibels("slow_level"), self._track("nuclei", loudest)
        return Measures(
            duration=self.seconds,
            avg_intensity=float(10 * np.log10(np.mean(10 ** (level_db / 10)))) if len(level_db) else None,
            intensity_variation=float(level_db.std()) if len(level_db) else None,
            avg_pitch=float(voiced.mean()) if len(voiced) else None,
            pitch_std=float(voiced.std()) if len(voiced) else None,
            pitch_range=float(np.ptp(voiced)) if len(voiced) else None,
            articulation_rate=self._articulation(slow_db, voice),
            mean_hnr=self._hnr(loudest),
        )

    def _analyse(self) -> None:
        self._sound = np.concatenate((self._sound, *self._waiting))
        self._waiting = []
        for name, length, step in (
            ("pitch", self._pitch.length, _PITCH.step),
            ("nuclei", self._nuclei.length, _NUCLEI.step),
            ("harmonicity", self._harmonicity.length, _STEP),
            ("level", self._level.length, self._level.step),
            ("slow_level", self._slow_level.length, self._slow_level.step),
            ("block", _STEP, _STEP),
        ):
            frames_FS = self._frames(name, length, step)
            if len(frames_FS):
                self._found[name].append(self._look(name, frames_FS))
        used = min(self._next.values())
        self._sound = self._sound[used - self._start :]
        self._start = used

    def _frames(self, name: str, length: int, step: int) -> Floats:
        """The complete frames of an analysis that it has not seen, ``[F, length]``."""
        first = self._next[name] - self._start
        count = max(0, (len(self._sound) - first - length) // step + 1)
        if not count:
            return np.zeros((0, length))
        self._next[name] += count * step
        every = np.lib.stride_tricks.sliding_window_view(self._sound[first:], length)
        return every[: (count - 1) * step + 1 : step]

    def _look(self, name: str, frames_FS: Floats) -> tuple[Floats, ...]:
        if name == "block":
            return frames_FS.sum(1), frames_FS.min(1), frames_FS.max(1)
        if name == "harmonicity":
            return self._harmonicity.analyse(frames_FS)
        if name in ("level", "slow_level"):
            level = self._level if name == "level" else self._slow_level
            return (level.analyse(frames_FS),)
        found = (self._pitch if name == "pitch" else self._nuclei).analyse(frames_FS)
        return found.hz_FC, found.strength_FC, found.peak_F

    def _gathered(self, name: str) -> tuple[Floats, ...]:
        """The values of an analysis over all frames, joined once and kept joined."""
        parts = self._found[name]
        if len(parts) > 1:
            parts[:] = [tuple(np.concatenate(same) for same in zip(*parts, strict=True))]
        return parts[0] if parts else ()

    def _loudest(self) -> float:
        """The largest deviation from the mean of the sound."""
        blocks = self._gathered("block")
        if not blocks:
            return 0.0
        total, lowest, highest = blocks
        mean = total.sum() / (len(total) * _STEP)
        return float(max(highest.max() - mean, mean - lowest.min()))

    def _track(self, name: str, loudest: float) -> Floats:
        found = self._gathered(name)
        return self._paths[name].best(Candidates(*found), loudest) if found else np.zeros(0)

    def _decibels(self, name: str) -> Floats:
        found = self._gathered(name)
        if not found or found[0].max() <= 0:
            return np.zeros(0)
        power = np.maximum(found[0], found[0].max() * _QUIETEST)
        return np.asarray(10 * np.log10(power / _REFERENCE))

    def _hnr(self, loudest: float) -> float | None:
        found = self._gathered("harmonicity")
        if not found or loudest <= 0:
            return None
        strength, peak = found
        voiced = strength > np.maximum(0.0, 2.0 - peak / loudest / _HNR_SILENCE)
        share = np.clip(strength[voiced], 1e-15, 1 - 1e-15)
        return float(np.mean(10 * np.log10(share / (1 - share)))) if len(share) else None

    def _articulation(self, level_db: Floats, hz: Floats) -> float | None:
        if not len(level_db) or not len(hz):
            return None
        times = (self._slow_level.length / 2 + np.arange(len(level_db)) * self._slow_level.step) / RATE
        nearest = np.rint((times * RATE - self._nuclei.length / 2) / _NUCLEI.step).astype(np.int64)
        inside = (nearest >= 0) & (nearest < len(hz))
        voiced = inside & (hz[np.clip(nearest, 0, len(hz) - 1)] > 0)
        return articulation_rate(level_db, times, voiced, self.seconds)
