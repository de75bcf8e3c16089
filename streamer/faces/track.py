"""Who is who from picture to picture: greedy matching by overlap, in event time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .square import Square

_LEAST = 0.2  # overlap that makes two frames one face: a head turning at 8 pictures a second keeps more
_STILL = 0.6  # overlap from which a frame is smoothed: below it the head moves, and lag would miss it


@dataclass(slots=True)
class _Track:
    face: Square
    seen: float
    hits: int
    id: int | None = None


class Tracker:
    """Numbers faces 0, 1, ... in the order in which they are believed.

    A face is believed after ``confirm`` pictures running with it, and keeps its number through losses of up
    to ``keep`` seconds if it comes back where it was.  Nothing here knows a person again: whoever sits down
    in the same place within that time goes on under the same number.
    """

    def __init__(self, confirm: int, keep: float = 1.0) -> None:
        self._confirm, self._keep = confirm, keep
        self._tracks: list[_Track] = []
        self._next = 0

    def expected(self, time: float) -> list[Square]:
        """Where faces should be at ``time``, believed or not yet."""
        return [t.face for t in self._tracks if 0 <= time - t.seen <= self._keep]

    def update(self, time: float, faces: Sequence[Square]) -> list[tuple[int, Square]]:
        """The believed faces among those found at ``time``, smoothed, as ``(number, face)`` by number."""
        self._tracks = [t for t in self._tracks if 0 <= time - t.seen <= self._keep]
        pairs = self._match(faces)
        for index, face in enumerate(faces):
            track = pairs.get(index)
            if track is None:
                self._tracks.append(_Track(face, time, 1))
            else:
                track.face = track.face.toward(face, 0.6) if track.face.overlap(face) > _STILL else face
                track.seen, track.hits = time, track.hits + 1
        self._tracks = [t for t in self._tracks if t.id is not None or t.seen == time]
        seen = [t for t in self._tracks if t.seen == time]
        for track in seen:
            if track.id is None and track.hits >= self._confirm:
                track.id, self._next = self._next, self._next + 1
        return sorted(((t.id, t.face) for t in seen if t.id is not None), key=lambda pair: pair[0])

    def _match(self, faces: Sequence[Square]) -> dict[int, _Track]:
        """Best overlaps first, every face and every track once."""
        overlaps = [
            (t.face.overlap(f), -i, -j) for i, t in enumerate(self._tracks) for j, f in enumerate(faces)
        ]
        pairs: dict[int, _Track] = {}
        taken: set[int] = set()
        for overlap, i, j in sorted(overlaps, reverse=True):
            if overlap >= _LEAST and -j not in pairs and -i not in taken:
                pairs[-j] = self._tracks[-i]
                taken.add(-i)
        return pairs
