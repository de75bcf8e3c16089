"""The meter of a voice that the voice network reads, too: one analysis gives the measures and its statistics.

Shape suffixes: S statistics.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from models.encoders.hearing import Hearing
from models.encoders.prosody import Measures
from models.encoders.voice_statistics import statistics

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Spoken(Measures):
    """Measures, and what `models.encoders.voice.VoiceNet.read` reads; None where nothing was heard."""

    statistics_S: Floats | None = None


class SpokenMeter:
    """Hears one utterance; make a new one for each. As `ProsodyAccumulator`, which it holds.

    The measures are those of the sound without what lies below 80 Hz, as the voice network hears it.
    """

    def __init__(self) -> None:
        self._hearing = Hearing()

    def push(self, pcm: NDArray[np.float32]) -> None:
        """As `Hearing.push`."""
        self._hearing.push(pcm)

    def measures(self) -> Spoken:
        """What was heard so far; more may be pushed afterwards."""
        found = self._hearing.prosody.measures()
        heard = self._hearing.heard()
        values = {f.name: getattr(found, f.name) for f in fields(found)}
        return Spoken(**values, statistics_S=None if heard is None else statistics(heard))
