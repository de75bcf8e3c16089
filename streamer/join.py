"""Joins speech segments with the faces seen meanwhile, and makes utterances of faces seen in silence.

Decides by event time only, so the output does not depend on the order of arrival.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from pydantic import BaseModel, ConfigDict, Field

from .faces.link import Links
from .types import FaceSample, Progress, Segment, Span, Speaker, Utterance

ONE_SPEAKER = Speaker("s0")
UNHEARD = Speaker("unheard")  # a face seen in silence: nobody knows whose voice belongs to it


class Config(BaseModel):
    """How sound and picture are brought together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_wait: float = Field(
        0.25, ge=0, description="live: seconds of sound to wait for pictures of a segment"
    )
    silent_windows: bool = Field(True, description="faces seen while nobody speaks become utterances too")
    silent_window: float = Field(2.0, gt=0.2, le=30, description="seconds of one such utterance")
    history: float = Field(60.0, gt=0, description="seconds of faces kept at most")


class Join:
    """Stage: ``Segment | FaceSample | Progress`` in, `Utterance` out.

    Args:
        config: See `Config`.
        audio, video: Whether a source provides the track; one that none provides counts as ended.
        live: False waits for the pictures without limit, or the result would depend on scheduling.
        channels: Sound channels, each of them one speaker; with 1, a segment may say whose voice it is.
    """

    def __init__(
        self, config: Config, *, audio: bool = True, video: bool = True, live: bool = False, channels: int = 1
    ) -> None:
        self._config = config
        self._max_wait = config.max_wait if live else math.inf
        self._channels = channels
        self._faces: deque[FaceSample] = deque()
        self._pending: deque[Segment] = deque()
        self._seen = {"audio": -math.inf if audio else math.inf, "video": -math.inf if video else math.inf}
        self._quiet = -math.inf if audio else math.inf
        self._cursor = 0.0  # where the next silent window begins
        self._last_face = self._last_picture = -math.inf
        self._links, self._forgotten = Links(), False

    def seen(self, track: str) -> float:
        """Seconds of ``track`` (``audio`` or ``video``) that have come through here."""
        return self._seen[track]

    def push(self, item: Segment | FaceSample | Progress) -> Iterator[Utterance]:
        match item:
            case Segment():
                self._pending.append(item)
            case FaceSample():
                self._faces.append(item)
                self._last_face = item.time
            case Progress(track=track, time=time, quiet=quiet):
                self._seen[track] = max(self._seen[track], time)
                if track == "video" and time < math.inf:
                    self._last_picture = max(self._last_picture, time)
                if track == "audio":
                    self._quiet = max(self._quiet, quiet)
        yield from self._ready_ones()
        self._forget()

    def forget(self) -> None:
        """Whose face is whose is to be learnt anew (purge); callable from any thread."""
        self._forgotten = True

    def flush(self) -> Iterator[Utterance]:
        self._seen = {"audio": math.inf, "video": math.inf}
        self._quiet = math.inf
        yield from self._ready_ones()
        rest = Span(self._cursor, self._last_face)
        if self._config.silent_windows and rest.duration >= self._config.silent_window / 4:
            yield from self._window(rest)

    def _ready_ones(self) -> Iterator[Utterance]:
        while True:
            window = Span(self._cursor, self._cursor + self._config.silent_window)
            head = self._pending[0] if self._pending else None
            if head and (head.span.start < window.end or not self._config.silent_windows):
                if head.final and not self._pictures_until(head.span.end):
                    return
                yield self._utterance(self._pending.popleft())
                if head.final:
                    self._cursor = max(self._cursor, head.span.end)
            elif self._window_over(window):
                yield from self._window(window)
                self._cursor = window.end
            else:
                return

    def _window_over(self, window: Span) -> bool:
        if not self._config.silent_windows or self._quiet < window.end:
            return False
        if math.isinf(min(self._quiet, self._seen["video"])) and not self._pending:
            return window.end <= self._last_face  # both tracks have ended
        return self._pictures_until(window.end)

    def _pictures_until(self, moment: float) -> bool:
        heard = self._seen["audio"]  # infinite where there is no sound: nothing to measure the wait by
        return self._seen["video"] >= moment or moment + self._max_wait <= heard < math.inf

    def _utterance(self, segment: Segment) -> Utterance:
        speaker = segment.speaker or ONE_SPEAKER
        if self._channels > 1:
            speaker = Speaker(f"s{segment.audio.channel}", confidence=1.0)
        return self._linked(Utterance(segment.span, segment, self._faces_in(segment.span), speaker))

    def _linked(self, u: Utterance) -> Utterance:
        """With the speaker's own face, and no other, where it is clear which that is and it was seen.

        Learns from finals. Those that the pictures do not reach are left out: nobody looked.
        """
        if self._forgotten:
            self._links, self._forgotten = Links(), False
        if u.final and u.span.end <= self._last_picture:
            self._links.count(u)
        own = self._links.face(u.speaker)
        return replace(u, faces=self._links.of(u.speaker, u.faces), speaker=replace(u.speaker, face=own))

    def _window(self, span: Span) -> Iterator[Utterance]:
        faces = self._faces_in(span)
        if faces:
            yield Utterance(span, None, faces, UNHEARD)

    def _faces_in(self, span: Span) -> tuple[FaceSample, ...]:
        return tuple(f for f in self._faces if span.start <= f.time < span.end)

    def _forget(self) -> None:
        needed = min(self._pending[0].span.start if self._pending else math.inf, self._quiet)
        if self._config.silent_windows:
            needed = min(needed, self._cursor)
        oldest = max(min(needed, self._last_face), self._last_face - self._config.history)
        while self._faces and self._faces[0].time < oldest:
            self._faces.popleft()
