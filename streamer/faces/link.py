"""Whose face it is that is seen while a voice speaks: by counting seconds, and only where they are clear.

Presence proves nothing by itself: whoever sits before the camera is in view while others speak, too. A face
is a voice's when it was seen alone while that voice spoke, and the others spoke while it was not in view:
the camera follows who speaks, or people come and go. With everybody in the picture all the time there is no
link; mouths are not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ..types import FaceSample, Speaker, Utterance

HOLD = 0.5  # seconds for which a picture stands at most, until the next
LEAST = 6.0  # seconds of a voice with the face alone, and of the other voices without it
PURE = 0.9  # share of the speech with the face in view that must be the voice's, with it alone
MOST = 32  # voices, and faces, that are counted at most: those that were heard or seen last


class Links:
    """Counts finals by voice and face; says which face is a voice's.

    What is kept are seconds by the ids of voices and the numbers of faces, nothing of how they look or sound.
    """

    def __init__(self) -> None:
        self._spoke: dict[str, float] = {}  # seconds by voice, while there were pictures
        self._seen: dict[int, dict[str, float]] = {}  # by face and voice: in view
        self._alone: dict[int, dict[str, float]] = {}  # by face and voice: in view with no other

    def count(self, u: Utterance) -> None:
        """A final during which the camera gave pictures, with a face in them or not."""
        voice = u.speaker.id
        for gone in u.speaker.merged:
            self._merge(gone, voice)
        self._spoke[voice] = self._spoke.pop(voice, 0.0) + u.span.duration
        for number, seconds in sorted(_in_view(u).items()):
            both, alone = seconds
            self._seen[number] = _more(self._seen.pop(number, {}), voice, both)
            self._alone[number] = _more(self._alone.pop(number, {}), voice, alone)
        self._forget_oldest()

    def face(self, speaker: Speaker) -> int | None:
        """The number of the face that is ``speaker``'s, of several the one seen last; None where that is not
        clear."""
        return next((n for n in reversed(self._seen) if self._clear(speaker.id, n)), None)

    def of(self, speaker: Speaker, faces: Sequence[FaceSample]) -> tuple[FaceSample, ...]:
        """Those of ``faces`` that are ``speaker``'s if that is clear and there are any, else all."""
        number = self.face(speaker)
        theirs = tuple(f for f in faces if f.track == number)
        return theirs or tuple(faces)

    def _clear(self, voice: str, number: int) -> bool:
        seen = self._seen[number]
        alone = self._alone[number].get(voice, 0.0)
        away = sum(s - seen.get(v, 0.0) for v, s in self._spoke.items() if v != voice)
        return alone >= LEAST and alone >= PURE * sum(seen.values()) and away >= LEAST

    def _merge(self, gone: str, voice: str) -> None:
        for counts in (self._spoke, *self._seen.values(), *self._alone.values()):
            if gone in counts:
                counts[voice] = counts.get(voice, 0.0) + counts.pop(gone)

    def _forget_oldest(self) -> None:
        while len(self._seen) > MOST:
            oldest = next(iter(self._seen))
            del self._seen[oldest], self._alone[oldest]
        while len(self._spoke) > MOST:
            oldest_voice = next(iter(self._spoke))
            for counts in (self._spoke, *self._seen.values(), *self._alone.values()):
                counts.pop(oldest_voice, None)


def _in_view(u: Utterance) -> dict[int, tuple[float, float]]:
    """Seconds of ``u`` with each face in view, and with it alone."""
    pictures: dict[float, set[int]] = {}
    for face in u.faces:
        pictures.setdefault(face.time, set()).add(face.track)
    seconds: dict[int, tuple[float, float]] = {}
    for time, following in pairwise([*sorted(pictures), u.span.end]):
        lasted = min(HOLD, following - time)
        for number in pictures[time]:
            both, alone = seconds.get(number, (0.0, 0.0))
            seconds[number] = both + lasted, alone + lasted * (len(pictures[time]) == 1)
    return seconds


def _more(counts: dict[str, float], voice: str, seconds: float) -> dict[str, float]:
    return {**counts, voice: counts.get(voice, 0.0) + seconds}
