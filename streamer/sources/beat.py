"""Thinning pictures to a rate."""

from __future__ import annotations

import math


class Beat:
    """Says which of the pictures are due when at most ``fps`` a second are wanted (None: all).

    The due time moves by whole periods, which keeps the mean rate; a tenth of one forgives jitter.
    """

    def __init__(self, fps: float | None) -> None:
        self._period = 1 / fps if fps else 0.0
        self._due = -math.inf

    def due(self, time: float) -> bool:
        if time < self._due - 0.1 * self._period:
            return False
        on_beat = time - self._due < self._period
        self._due = (self._due if on_beat else time) + self._period
        return True
