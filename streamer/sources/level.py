"""Is what comes from the microphone sound at all? Constant and clipped input, told from two seconds."""

from __future__ import annotations

import numpy as np

from ..types import Floats

WINDOW = 2.0  # seconds
FULL = 0.999  # of full scale: clipped
CLIPPED = 0.01  # share of the samples


class Level:
    """Watches ``width`` channels at ``rate`` Hz.

    ``complaint`` is None while the input is fit for use. It is decided at the end of every `WINDOW`,
    except that a constant input is well again with the first sample that differs.
    """

    def __init__(self, rate: int, width: int) -> None:
        self._size = round(WINDOW * rate)
        self._low = np.full(width, np.inf)
        self._high = np.full(width, -np.inf)
        self._clipped = np.zeros(width)
        self._seen = 0
        self._constant = False
        self.complaint: str | None = None

    def push(self, pcm_KN: Floats) -> None:
        if not pcm_KN.shape[1]:
            return
        self._low = np.minimum(self._low, pcm_KN.min(axis=1))
        self._high = np.maximum(self._high, pcm_KN.max(axis=1))
        self._clipped += (np.abs(pcm_KN) >= FULL).sum(axis=1)
        self._seen += pcm_KN.shape[1]
        if self._constant and (self._low < self._high).all():
            self._constant, self.complaint = False, None
        if self._seen >= self._size:
            self._judge()

    def _judge(self) -> None:
        still, clipped = self._low == self._high, self._clipped > CLIPPED * self._seen
        self._constant = bool(still.any())
        if self._constant:
            level = f"{self._high[still][0]:g}"
            self.complaint = (
                f"constant input{_which(still)} (every sample is {level}): permission denied or muted?"
            )
        elif clipped.any():
            share = 100 * float(self._clipped.max()) / self._seen
            self.complaint = f"clipping{_which(clipped)} ({share:.0f} % of the samples): turn the input down"
        else:
            self.complaint = None
        self._low[:], self._high[:], self._clipped[:], self._seen = np.inf, -np.inf, 0, 0


def _which(flags: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> str:
    if len(flags) == 1:
        return ""
    return " on channel " + ", ".join(str(i) for i in np.flatnonzero(flags))
