"""Virtual speakers: the clips of a corpus as other people would have said them, elsewhere.

Everybody gets another length of the vocal tract, pitch, pace, microphone and background at once, the same in
all their clips but for a little: so that what is known of a speaker stays true. The changes are made to what
was heard (`Heard`), which costs a millisecond a clip.

Shape suffixes: V versions, N clips, S statistics, B bands, T frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.encoders.mel import BANDS
from models.encoders.prosody import USED_MEASURES
from models.encoders.voice_statistics import COUNT, Heard, statistics

Floats = NDArray[np.float64]

_SHIFTED = frozenset(("avg_pitch", "pitch_std", "pitch_range"))  # these go with the pitch
_ACROSS_B = np.linspace(-1.0, 1.0, BANDS)
_LEAST_FRAMES = 20


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """How somebody differs from the speaker of the recording.

    Attributes:
        tract: Factor on the frequencies of the spectrum.
        pitch, pace: Factors on the pitch and on the speed.
        colour_B: What the microphone adds to each band, in natural logarithms of power.
        background_B: Level of a background in each band, below the loudest of the clip; None for none.
    """

    tract: float
    pitch: float
    pace: float
    colour_B: Floats
    background_B: Floats | None

    @classmethod
    def draw(cls, rng: np.random.Generator, background: bool = True) -> Person:
        """Somebody; ``background`` False where the recording has one already."""
        tract = rng.uniform(0.87, 1.15)
        ripple = rng.normal(0.0, 0.4) * np.sin(rng.uniform(1, 4) * _ACROSS_B + rng.uniform(0, 6))
        colour_B = rng.normal(0.0, 1.0) * _ACROSS_B + rng.normal(0.0, 0.5) * _ACROSS_B**2 + ripple
        tilt_B = rng.normal(-1.0, 1.0) * _ACROSS_B - rng.uniform(1.5, 13.0)
        return cls(
            tract,
            float(np.exp(rng.normal(0.0, 0.12)) / tract),
            rng.uniform(0.87, 1.15),
            colour_B,
            tilt_B if background and rng.random() < 0.5 else None,
        )

    def say(self, heard: Heard, rng: np.random.Generator) -> Heard:
        """``heard``, as this person says it this time."""
        pitch, pace = self.pitch * np.exp(rng.normal(0.0, 0.02)), self.pace * np.exp(rng.normal(0.0, 0.04))
        mel_TB = _warped(heard.mel_TB, self.tract * np.exp(rng.normal(0.0, 0.015)))
        mel_TB = mel_TB + self.colour_B + rng.normal(0.0, 0.15) * _ACROSS_B
        if self.background_B is not None:
            level_B = mel_TB.max() + self.background_B - rng.uniform(0.0, 4.0)
            mel_TB = np.logaddexp(mel_TB, level_B + 0.5 * rng.gumbel(0.0, 0.5, mel_TB.shape))
        count = max(_LEAST_FRAMES, int(len(mel_TB) / pace))
        at_T = np.rint(np.linspace(0, len(mel_TB) - 1, count)).astype(np.int64)
        factors = {"duration": 1 / pace, "articulation_rate": pace, **dict.fromkeys(_SHIFTED, pitch)}
        factor_A = np.array([factors.get(m, 1.0) for m in USED_MEASURES])
        measures = heard.measures * factor_A * np.exp(rng.normal(0.0, 0.03, len(factor_A)))
        return Heard(mel_TB[at_T].astype(np.float32), heard.hz_T[at_T] * pitch, measures)


def _warped(mel_TB: NDArray[np.float32], factor: float) -> Floats:
    """The bands moved by ``factor`` along the mel scale, around the lowest two."""
    place_B = np.clip(np.arange(BANDS) * factor + 2 * (1 - factor), 0, BANDS - 1.001)
    below_B = place_B.astype(np.int64)
    share_B = place_B - below_B
    return np.asarray(mel_TB[:, below_B] * (1 - share_B) + mel_TB[:, below_B + 1] * share_B)


def versions(
    clean: Sequence[Heard],
    rooms: Sequence[Sequence[Heard]],
    speakers: Sequence[str],
    count: int,
    seed: int = 0,
) -> Floats:
    """Statistics ``[V, N, S]`` of ``count`` versions of all clips.

    The first is ``clean`` as it is; of the others, every other is of the clips in one of the
    ``rooms`` (or over a line), in turn.
    """
    rng = np.random.default_rng(seed)
    out_VNS = np.zeros((count, len(clean), COUNT))
    out_VNS[0] = [statistics(heard) for heard in clean]
    for version in range(1, count):
        in_room = version % 2 == 0
        people = {s: Person.draw(rng, background=not in_room) for s in sorted(set(speakers))}
        source = rooms[version // 2 % len(rooms)] if in_room else clean
        out_VNS[version] = [
            statistics(people[s].say(heard, rng)) for s, heard in zip(speakers, source, strict=True)
        ]
    return out_VNS
