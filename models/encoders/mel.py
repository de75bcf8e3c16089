"""Log-mel frames of sound, as it comes in: 48 bands up to 8 kHz every 10 ms, from 16 kHz sound.

The same numbers as torchaudio's ``MelSpectrogram`` (HTK scale, periodic Hann window, power, no centring),
without loading it: what is needed of it is twenty lines of numpy.

Shape suffixes: T frames, S samples of a frame, F frequencies, B bands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

RATE = 16_000  # Hz
BANDS = 48
STEP, WINDOW = 160, 400  # samples: 10 ms and 25 ms
LOWEST, HIGHEST = 60.0, 8_000.0  # Hz: above the hum of the mains
_SIZE = 512  # samples of the transform
_LEAST = 1e-10  # power that digital silence counts as


def filters(bands: int = BANDS) -> Floats:
    """Triangles ``[F, B]`` that overlap by half, evenly spaced on the mel scale (HTK's formula)."""
    lowest, highest = (float(2595.0 * np.log10(1.0 + hz / 700.0)) for hz in (LOWEST, HIGHEST))
    corners_C = 700.0 * (10.0 ** (np.linspace(lowest, highest, bands + 2) / 2595.0) - 1.0)
    return triangles(corners_C, _SIZE // 2 + 1).astype(np.float32)


def triangles(corners_C: NDArray[np.float64], frequencies: int) -> NDArray[np.float64]:
    """``[F, B]`` of height 1 between each corner (Hz, ``C = B + 2``) and the next but one, at frequencies
    that are even from 0 to 8 kHz."""
    hz_F1 = np.linspace(0.0, RATE / 2, frequencies)[:, None]
    left, middle, right = corners_C[:-2], corners_C[1:-1], corners_C[2:]
    sides_FB = np.minimum((hz_F1 - left) / (middle - left), (right - hz_F1) / (right - middle))
    return np.asarray(np.maximum(sides_FB, 0.0))


_FILTERS_FB = filters()
_WINDOW_S = np.hanning(WINDOW + 1)[:-1].astype(np.float32)


def times(count: int) -> NDArray[np.float64]:
    """The middle of each of the first ``count`` frames, in seconds from the start of the sound."""
    return (WINDOW / 2 + STEP * np.arange(count)) / RATE


def log_mel(frames_TS: Floats) -> Floats:
    """Natural logarithm of the power in each band ``[T, B]`` of frames of `WINDOW` samples."""
    spectrum_TF = np.fft.rfft(frames_TS * _WINDOW_S, _SIZE, axis=1)
    power_TF = np.square(spectrum_TF.real) + np.square(spectrum_TF.imag)
    return np.asarray(np.log(power_TF.astype(np.float32) @ _FILTERS_FB + np.float32(_LEAST)))


class LogMel:
    """Gathers the frames of one utterance; the result does not depend on how the sound was cut."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, dtype=np.float32)  # from the first sample of the next frame on
        self._parts: list[Floats] = []

    def push(self, pcm: Floats) -> None:
        """Take the next samples ``[n]``, mono, 16 kHz, full scale 1; any ``n``, also 0."""
        sound = np.concatenate((self._rest, pcm))
        count = max(0, (len(sound) - WINDOW) // STEP + 1)
        if count:
            every = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)
            self._parts.append(log_mel(every[: (count - 1) * STEP + 1 : STEP]))
        self._rest = sound[count * STEP :].copy()

    def frames(self) -> Floats:
        """All frames so far ``[T, B]``."""
        if len(self._parts) != 1:
            empty = np.zeros((0, BANDS), dtype=np.float32)
            self._parts = [np.concatenate((empty, *self._parts))]
        return self._parts[0]
