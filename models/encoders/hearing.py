"""What the voice encoder hears of one utterance, gathered while it is spoken.

Shape suffixes: T frames, B bands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt  # type: ignore[import-untyped]

from models.encoders.mel import LogMel, times
from models.encoders.prosody import RATE, USED_MEASURES, ProsodyAccumulator
from models.encoders.voice_statistics import Heard

Floats = NDArray[np.float64]

LONGEST = 30.0  # s; what is said after that changes nothing (live, an utterance is split after 15)

_RUMBLE = 80.0  # Hz; what lies below is no voice, but half of the energy of most noises
_FADED = 1e-8  # of full scale: what the filter still rings with after digital silence began


class Hearing:
    """Gathers the sound of one utterance; make a new one for each.

    Holds what the frames gave (about 120 kB a second, `LONGEST` seconds at most), never the sound. What it
    has heard does not depend on how the sound was cut into chunks.
    """

    def __init__(self) -> None:
        self.prosody = ProsodyAccumulator()
        self._mel = LogMel()
        self._filter = butter(4, _RUMBLE, "highpass", fs=RATE, output="sos")
        self._state = np.zeros((len(self._filter), 2))

    @property
    def seconds(self) -> float:
        """How much sound was taken; at most `LONGEST`."""
        return self.prosody.seconds

    def push(self, pcm: NDArray[np.float32]) -> None:
        """Take the next samples ``[n]``, mono, 16 kHz, full scale 1; any ``n``, also 0.

        Raises:
            ValueError: the samples are not one-dimensional or not finite.
        """
        room = max(0, round(LONGEST * RATE - self.prosody.seconds * RATE))
        pcm = pcm if len(pcm) <= room else pcm[:room]
        if pcm.ndim == 1 and len(pcm) and np.isfinite(pcm).all():
            filtered, self._state = sosfilt(self._filter, pcm.astype(np.float64), zi=self._state)
            pcm = np.where(np.abs(filtered) < _FADED, 0.0, filtered).astype(np.float32)
        self.prosody.push(pcm)  # refuses what is no sound
        self._mel.push(pcm)

    def heard(self) -> Heard | None:
        """All of the speech so far; None where nothing sounds, or for less than 0.1 s."""
        span = self.prosody.speech()
        frames_TB = self._mel.frames()
        if span is None or not len(frames_TB):
            return None
        at_T = times(len(frames_TB))
        inside_T = (at_T >= span[0]) & (at_T <= span[1])
        if inside_T.sum() < Heard.LEAST:
            return None
        values = self.prosody.measures().values(USED_MEASURES)
        return Heard(frames_TB[inside_T], self._pitch(at_T[inside_T]), np.array(values))

    def _pitch(self, at_T: Floats) -> Floats:
        """Pitch in Hz at the times ``at_T``, 0 where there is no voice."""
        hz, found = self.prosody.contour()
        if not len(hz):
            return np.zeros(len(at_T))
        nearest_T = np.rint((at_T - found[0]) * 100.0).astype(np.int64)
        known_T = (nearest_T >= 0) & (nearest_T < len(hz))
        return np.where(known_T, hz[np.clip(nearest_T, 0, len(hz) - 1)], 0.0)
