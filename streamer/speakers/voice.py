"""Tells voices apart on one microphone, while they speak (online diarization).

Speech is heard in windows of 1.6 s, one every 0.2 s, as soon as they are complete; a window is a vector of
the speaker encoder. At the end of an utterance it is cut where another voice goes on (`changes`), and each
part gets the voice it belongs to (`clusters`). Of two who speak at once, the louder is named and the other
is not: overlapping speech is not taken apart.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..context import Context
from ..errors import ConfigError, EncodeError
from ..types import RATE, AudioChunk, Floats, Progress, Segment, Speaker
from .changes import CHANGE, mean, quietest, turns
from .clusters import Clusters, Heard, Rules
from .enrolled import Voice, voices
from .options import Options

if TYPE_CHECKING:
    from ..segmenter import VoiceMeter

WINDOW, HOP = round(1.6 * RATE), round(0.2 * RATE)  # samples
BATCH = 16  # windows at once

Encoder = Callable[[Sequence[Floats]], Floats]  # equally long stretches of sound to embeddings [B, D]


class Config(Options):
    """Which voices can be told apart."""

    def build(self, context: Context) -> Tracker:
        """The stage, its network loaded.

        Raises:
            ConfigError: each sound channel is a speaker already.
            EncodeError: the weights are missing or damaged, or a stored voice is.
        """
        if context.channels > 1:
            raise ConfigError(
                'speakers kind "voice": each sound channel is a speaker already; use channels = "mix"'
                ' in the source, or speakers.kind = "none"'
            )
        from models.checkpoint import CheckpointError
        from models.encoders.prosody import ProsodyAccumulator
        from models.encoders.speaker import SpeakerNet

        try:
            net = SpeakerNet.load(self.weights, context.device)
        except CheckpointError as error:
            raise EncodeError(str(error)) from error
        known = voices(context.state_dir) if self.enrolled else []
        return Tracker(self, net.embed, context.meter or ProsodyAccumulator, known)


@dataclass(slots=True)
class _Heard:
    """The windows of the utterance that began at ``start``, so far."""

    start: float
    embeddings: list[Floats]


class Tracker:
    """Stage: segments get their speaker, finals may become several; `Progress` passes.

    Args:
        config: See `Config`.
        encode: The speaker encoder.
        meter: Measures the voice of a part of an utterance that was cut.
        known: People to know again; they are the first speakers.
        rules, change: Other thresholds, for measuring.
    """

    def __init__(
        self,
        config: Config,
        encode: Encoder,
        meter: Callable[[], VoiceMeter] | None = None,
        known: Sequence[Voice] = (),
        rules: Rules | None = None,
        change: float = CHANGE,
    ) -> None:
        self._config, self._encode, self._meter = config, encode, meter
        self._known, self._rules, self._change = list(known), rules, change
        self._heard: _Heard | None = None
        self._merged: dict[int, list[int]] = {}  # what is still to be told, by the voice that remains
        self._forgotten = False
        self._clusters = self._fresh(0)
        self._asked: deque[tuple[int, int]] = deque()  # merges from other threads, for the next push
        self._ids = self._clusters.known

    @property
    def bits(self) -> int:
        """How many embeddings are kept."""
        return self._clusters.bits

    def push(self, item: Segment | Progress) -> Iterator[Segment | Progress]:
        if isinstance(item, Progress):
            yield item
            return
        if self._forgotten:
            self._clusters, self._heard, self._forgotten = self._fresh(self._clusters.next), None, False
            self._merged.clear()
            self._ids = self._clusters.known
        while self._asked:
            self._merge(*self._asked.popleft())
        windows = self._listen(item)
        if item.final:
            self._heard = None
            yield from self._parts(item, windows)
        else:
            embeddings = windows[2]
            guess = self._clusters.guess(np.asarray(embeddings.mean(0), np.float32))
            yield replace(item, speaker=self._speaker(guess))

    def flush(self) -> Iterator[Segment | Progress]:
        return iter(())

    def forget(self) -> None:
        """Know no voice any more, but use no id again; callable from any thread."""
        self._forgotten = True

    def merge(self, body: Mapping[str, object]) -> str:
        """From the next utterance on, the voice ``body["speaker"]`` goes by the id ``body["into"]``.

        Callable from any thread. Returns what was done, in words.

        Raises:
            ConfigError: one of the two is no id that is in use, both are the same, or the first is enrolled.
        """
        gone, kept = (self._number(body, key) for key in ("speaker", "into"))
        if gone == kept:
            raise ConfigError('merge-speakers: "speaker" and "into" are the same')
        if gone < len(self._known):
            raise ConfigError(f"merge-speakers: s{gone} is enrolled; merge the other into it")
        self._asked.append((gone, kept))
        return f"s{gone} is s{kept} from the next utterance on"

    def _number(self, body: Mapping[str, object], key: str) -> int:
        ids = {f"s{i}": i for i in sorted(self._ids)}
        number = ids.get(str(body.get(key)))
        if number is None:
            used = ", ".join(ids) or "none yet"
            raise ConfigError(f'merge-speakers: "{key}" must be the id of a voice; in use: {used}')
        return number

    def _merge(self, gone: int, kept: int) -> None:
        if {gone, kept} <= self._clusters.known:  # neither became another's meanwhile
            self._clusters.merge(gone, kept)
            self._note(gone, kept)
            self._ids = self._clusters.known

    def _note(self, gone: int, kept: int) -> None:
        """To be told when ``kept`` has spoken next."""
        self._merged.setdefault(kept, []).extend([gone, *self._merged.pop(gone, [])])

    def _fresh(self, first: int) -> Clusters:
        known = [v.embedding for v in self._known]
        return Clusters(self._config.max_speakers, known=known, first=first, rules=self._rules)

    def _listen(self, segment: Segment) -> tuple[Floats, float, Floats]:
        """When the windows of ``segment`` begin, their length (both in seconds) and what was heard in them.

        An utterance shorter than a window is one window.
        """
        pcm = segment.audio.pcm
        if len(pcm) < WINDOW:
            return np.zeros(1, np.float32), len(pcm) / RATE, self._encode([pcm])
        known = self._heard
        if known is None or known.start != segment.span.start:
            known = self._heard = _Heard(segment.span.start, [])
        count = (len(pcm) - WINDOW) // HOP + 1
        if count > len(known.embeddings):
            known.embeddings += list(listen(pcm[len(known.embeddings) * HOP :], self._encode))
        starts = np.arange(count, dtype=np.float32) * (HOP / RATE)
        return starts, WINDOW / RATE, np.array(known.embeddings[:count])  # a final may end before a partial

    def _parts(self, segment: Segment, windows: tuple[Floats, float, Floats]) -> Iterator[Segment]:
        starts, length, embeddings = windows
        whole = segment.span.duration
        spans = [(0.0, whole)]
        if self._config.split:
            spans = turns(starts, length, embeddings, whole, self._change)
        heard = []
        for begin, end in spans:
            embedding = mean(starts, length, embeddings, begin, end)
            heard.append(self._final(self._clusters.add(embedding, end - begin)))
        cuts = [round(quietest(segment.audio.pcm, end) * RATE) for _, end in spans[:-1]]
        bounds = [0, *cuts, len(segment.audio.pcm)]
        for speaker, first, last in zip(heard, bounds, bounds[1:], strict=False):
            part = segment if len(spans) == 1 else self._cut(segment, first, last)
            yield replace(part, speaker=speaker)

    def _cut(self, segment: Segment, first: int, last: int) -> Segment:
        """The samples from ``first`` to ``last`` as a segment of their own, its voice measured again."""
        audio = segment.audio
        part = AudioChunk(audio.pcm[first:last], audio.start + first / RATE, audio.channel)
        voice = segment.voice
        if voice is not None and self._meter is not None:
            meter = self._meter()
            meter.push(part.pcm)
            voice = meter.measures()
        return replace(segment, audio=part, voice=voice, revision=segment.revision if first == 0 else 0)

    def _final(self, heard: Heard) -> Speaker:
        """Who that is; what was merged into a voice is told when it has spoken next."""
        for gone, kept in heard.merged.items():
            self._note(gone, kept)
        self._ids = self._clusters.known
        merged = tuple(f"s{i}" for i in self._merged.pop(heard.id, []))
        return replace(self._speaker(heard), merged=merged)

    def _speaker(self, heard: Heard) -> Speaker:
        label = self._known[heard.id].name if heard.id < len(self._known) else None
        return Speaker(f"s{heard.id}", label, heard.confidence)


def listen(pcm: Floats, encode: Encoder) -> Floats:
    """What the encoder hears in every window of ``pcm``: ``[n, D]``, one row for less than a window."""
    if len(pcm) < WINDOW:
        return encode([pcm])
    begins = range(0, len(pcm) - WINDOW + 1, HOP)
    rows = [
        encode([pcm[b : b + WINDOW] for b in begins[i : i + BATCH]]) for i in range(0, len(begins), BATCH)
    ]
    return np.concatenate(rows)
