"""Words from the transcript beside a media file, as if a perfect recogniser had heard them.

A cue goes to the segment of speech in which it is said. That is decided when the segment ends, without a look
at what follows: the segment takes a cue if it covers half of it, or covers a quarter and either lies by half
within it or is the last that can have it. Subtitles often stay on screen after the words: a cue counts as
long as its words can last (0.6 s a word and 0.5 s). Each cue is given once.

Two voices at once. Of several in one segment, the one that overlaps it longest is its speaker. Where one
channel hears everybody, the segment's words are those of all its cues, in the order in which they begin: it
is one utterance with both in it, and no line is lost. Where each channel is a speaker of its own, only its
speaker's cues are given, and the others wait for theirs; a voice is at home on the channel that gave it most
of its time so far.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from ..context import Context
from ..errors import ConfigError
from ..sources.sidecar import Cue, find_sidecar, read_cues
from ..types import Span, Speaker, Transcript, Utterance
from .guards import Finals

SLOWEST_WORD = 0.6  # seconds
SLACK = 0.5
UNKNOWN = Speaker("unknown")  # speech outside the cues of a transcript that names its speakers


class Config(BaseModel):
    """Which transcript is read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path | None = Field(None, description="a WebVTT (.vtt) or SubRip (.srt) file")
    media: Path | None = Field(None, description="instead: the media file that the transcript lies beside")
    language: str | None = Field(None, description="language code of the words, such as en")
    min_confidence: float = Field(0.0, ge=0, le=1, description="words below this are not used")

    def build(self, context: Context) -> Sidecar:
        """The stage that reads from ``path``, or from the transcript beside ``media``.

        Raises:
            ConfigError: there is no such transcript.
            CaptureError: it cannot be read.
        """
        path = self.path or (self.media and find_sidecar(self.media))
        if path is None:
            beside = f"no .vtt or .srt file beside {self.media}" if self.media else "name a path or a media"
            raise ConfigError(f"transcriber sidecar: {beside}; transcriber.kind = 'auto' listens instead")
        return Sidecar(read_cues(path), f"sidecar {path.name}", self.language, self.min_confidence)


@dataclass(frozen=True, slots=True)
class _Line:
    cue: Cue
    said: Span  # when its words can have been said


class Sidecar:
    """Stage: utterances with a segment get the words of their cues and the speaker that these name."""

    def __init__(
        self, cues: Iterable[Cue], name: str, language: str | None = None, min_confidence: float = 0.0
    ) -> None:
        self._lines = [_Line(cue, _said(cue)) for cue in _apart(sorted(cues, key=lambda c: c.span))]
        voices = dict.fromkeys(line.cue.voice for line in self._lines if line.cue.voice)
        self._speakers = {
            voice: Speaker(f"s{i}", label=voice, confidence=1.0) for i, voice in enumerate(voices)
        }
        self._finals = Finals()
        self._homes: dict[str | None, dict[int, float]] = {}  # seconds by voice and channel
        self.name, self._language, self.min_confidence = name, language, min_confidence

    @property
    def tagged(self) -> bool:
        """Whether the transcript names who speaks."""
        return bool(self._speakers)

    def push(self, utterance: Utterance) -> Iterator[Utterance]:
        if utterance.segment is None:
            yield utterance
        elif not self._finals.late(utterance.segment):
            yield self._transcribed(utterance, utterance.segment.audio.channel)

    def flush(self) -> Iterator[Utterance]:
        return iter(())

    def cancel(self) -> None:
        """Nothing is ever under way."""

    def _transcribed(self, utterance: Utterance, channel: int) -> Utterance:
        span, final = utterance.span, utterance.final
        lines = [line for line in self._lines if _belongs(line.said, span, final)]
        seconds: dict[str | None, float] = {}
        for line in lines:
            seconds[line.cue.voice] = seconds.get(line.cue.voice, 0.0) + _overlap(line.said, span)
        apart = utterance.speaker.confidence is not None  # the channel tells who speaks
        at_home = [v for v in seconds if self._home(v) in (channel, None)] if apart else []
        voice = max(at_home or seconds, key=lambda v: seconds[v], default=None)
        mine = [line for line in lines if line.cue.voice == voice or not apart]
        if final:
            self._lines = [line for line in self._lines if line not in mine]
            if voice is not None:
                home = self._homes.setdefault(voice, {})
                home[channel] = home.get(channel, 0.0) + seconds[voice]
        if self._speakers:
            utterance = replace(utterance, speaker=self._speakers.get(voice or "", UNKNOWN))
        text = " ".join(line.cue.text if final else _so_far(line, span.end) for line in mine).strip()
        transcript = Transcript(text, self._language, 1.0, self.name) if text else None
        return replace(utterance, transcript=transcript)

    def _home(self, voice: str | None) -> int | None:
        seconds = self._homes.get(voice, {})
        return max(seconds, key=lambda channel: seconds[channel], default=None)


def _belongs(said: Span, heard: Span, final: bool) -> bool:
    overlap = _overlap(said, heard)
    if overlap >= said.duration / 2:
        return True
    last = final and said.end <= heard.end
    return (last or overlap >= heard.duration / 2) and (overlap >= said.duration / 4 or not final)


def _overlap(a: Span, b: Span) -> float:
    return max(0.0, min(a.end, b.end) - max(a.start, b.start))


def _so_far(line: _Line, moment: float) -> str:
    """The words that have been said by ``moment``, as if all took equally long."""
    words = line.cue.text.split()
    share = (moment - line.said.start) / line.said.duration
    return " ".join(words[: round(min(1.0, max(0.0, share)) * len(words))])


def _said(cue: Cue) -> Span:
    longest = SLOWEST_WORD * len(cue.text.split()) + SLACK
    return Span(cue.span.start, min(cue.span.end, cue.span.start + longest))


def _apart(cues: list[Cue]) -> Iterator[Cue]:
    """Voices that share one cue speak one after another, as long as their words take."""
    for span, group in groupby(cues, key=lambda c: c.span):
        together = list(group)
        words = [len(c.text.split()) for c in together]
        at = span.start
        for cue, count in zip(together, words, strict=True):
            end = at + span.duration * count / max(1, sum(words))
            yield Cue(Span(at, end), cue.text, cue.voice) if len(together) > 1 else cue
            at = end
