"""The one geometry of faces: a square cut as the training faces were."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Square:
    """A face in pixels of the full picture: centre ``x``, ``y`` and ``side`` of the frame around it.

    The frame is that of the FER2013 pictures: brows to chin, cheek to cheek.  ``score`` in 0..1 is the
    detector's.  ``roll`` is the angle of the line between the eyes in radians, positive where the eye on the
    right of the picture is the lower one; ``frontal`` in 0..1 says how far the head faces the camera.  A
    detector without landmarks leaves both as they are.
    """

    x: float
    y: float
    side: float
    score: float
    roll: float = 0.0
    frontal: float = 1.0

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, width, height in whole pixels; may reach outside the picture."""
        side = max(1, round(self.side))
        return round(self.x - self.side / 2), round(self.y - self.side / 2), side, side

    def overlap(self, other: Square) -> float:
        """Intersection over union of the two frames, 0..1."""
        width = min(self.x + self.side / 2, other.x + other.side / 2)
        width -= max(self.x - self.side / 2, other.x - other.side / 2)
        height = min(self.y + self.side / 2, other.y + other.side / 2)
        height -= max(self.y - self.side / 2, other.y - other.side / 2)
        if width <= 0 or height <= 0:
            return 0.0
        both = width * height
        return both / (self.side**2 + other.side**2 - both)

    def toward(self, other: Square, share: float) -> Square:
        """This frame moved by ``share`` (0..1) of the way to ``other``, whose score and pose it takes; a roll
        is smoothed too, the short way round."""
        return Square(
            self.x + share * (other.x - self.x),
            self.y + share * (other.y - self.y),
            self.side + share * (other.side - self.side),
            other.score,
            other.roll - (1 - share) * math.remainder(other.roll - self.roll, math.tau),
            other.frontal,
        )
