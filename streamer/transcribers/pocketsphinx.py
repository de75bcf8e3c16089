"""PocketSphinx (https://github.com/cmusphinx/pocketsphinx, BSD): the recogniser that is always at hand.

Its US English model is inside the package. It writes lower case without punctuation and gets four words in
ten wrong (docs/speech.md has the figures); it is here so that everything runs offline.

A microphone colours all it hears; the decoder subtracts the mean spectrum. It is learnt from a channel's
first utterance before that is decoded (without this, 51 % instead of 42 % of the words of single clips are
wrong), and goes on adapting with each utterance. So that the first one, too, is decoded while it is spoken,
its mean is that of its first 1.5, 3, 6 or 12 seconds; when the next of these is over, decoding begins again.
Before the first of them its partials have no words.

PocketSphinx's second pass over an utterance (fwdflat) is off: it begins when speech has ended, takes a tenth
of its length, and gets 3 words of 451 more right. Without it, the best Gaussians of the frame before, which
the decoder begins a frame with, come down from whatever was heard last: after other sound the same utterance
has the same words, and posteriors that are the same to about 0.001.

Confidence of a final: the mean posterior probability of the words on the best path of the word lattice,
weighted by how long they last and counting as at most `PHONE` seconds a phone (a recogniser that hears noise
stretches few sounds over it), divided by all the sound outside the pre- and post-roll. A partial has no
posteriors yet; `PRIOR`, the mean posterior on the recordings of benchmarks/wer.py, stands in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ..context import Context
from ..errors import TranscribeError
from ..types import RATE, Floats, Segment, Transcript, Utterance
from .guards import Finals

if TYPE_CHECKING:
    from pocketsphinx import Decoder  # type: ignore[import-untyped]

LEARN = 1.5  # seconds of a first utterance from which its microphone is learnt; then twice as many, ...
HOP = 160  # samples decoded by one call: the decoder lets no other thread run meanwhile
STEP = 1600  # samples decoded at a time, counted from the utterance's start: partials change no final
FRAME = 0.01  # seconds
PHONE = 0.2  # seconds that one phone may count
ROLLS = 0.35  # seconds of silence that the segmenter adds around speech
PRIOR = 0.54
_NOTHING = "nothing"  # name of a search
NO_WORD = re.compile(r"[<\[+]")


class Config(BaseModel):
    """How sure the recogniser must be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    partials: bool = Field(True, description="recognise while speech goes on")
    min_confidence: float = Field(
        0.1, ge=0, le=1, description="words below this are not used (chosen by benchmarks/wer.py)"
    )

    def build(self, context: Context) -> PocketSphinx:
        """Raises `TranscribeError` where the package or its model cannot be loaded."""
        return PocketSphinx(self, context.channels)


@dataclass(frozen=True, slots=True)
class Word:
    """``probability`` 0..1; ``seconds`` it lasts and ``phones`` it has."""

    text: str
    probability: float
    seconds: float
    phones: int


class PocketSphinx:
    """Stage: utterances with a segment get its words. Each of ``channels`` has a decoder of its own (100 MB),
    loaded before the sound comes; it hears each sample once if it can."""

    name = "pocketsphinx en-us"

    def __init__(self, config: Config | None = None, channels: int = 1) -> None:
        self._config = config or Config()
        self.min_confidence = self._config.min_confidence
        self._ears = {channel: _Ear() for channel in range(channels)}
        self._finals = Finals()
        self._cancelled = False

    def push(self, utterance: Utterance) -> Iterator[Utterance]:
        segment = utterance.segment
        if segment is None:
            yield utterance
        elif self._finals.late(segment):
            return
        elif segment.final:
            yield replace(utterance, transcript=self._transcript(*self._ear(segment).final(segment)))
        elif self._config.partials and not self._cancelled:
            yield replace(utterance, transcript=self._transcript(*self._ear(segment).partial(segment)))

    def flush(self) -> Iterator[Utterance]:
        return iter(())

    def cancel(self) -> None:
        """Give no more partials; finals are still recognised."""
        self._cancelled = True

    def _ear(self, segment: Segment) -> _Ear:
        channel = segment.audio.channel
        if channel not in self._ears:
            self._ears[channel] = _Ear()
        return self._ears[channel]

    def _transcript(self, words: list[Word], samples: int) -> Transcript | None:
        if not words:
            return None
        text = " ".join(w.text for w in words)
        return Transcript(text, "en", confidence(words, samples / RATE), self.name)


class _Ear:
    """What listens to one channel."""

    def __init__(self) -> None:
        self._decoder = _load()
        self._decode = self._decoder.current_search()
        self._decoder.add_keyphrase(_NOTHING, "a")  # a search that costs next to nothing
        self._mean: str | None = None  # cepstrum, learnt from what was said before
        self._start: float | None = None  # of the utterance that the decoder is hearing
        self._learnt = 0  # samples of it from which the mean was taken, while none was known
        self._heard = 0  # samples of it

    def partial(self, segment: Segment) -> tuple[list[Word], int]:
        """Words so far and the samples they were heard in."""
        upto = len(segment.audio.pcm) // STEP * STEP
        if self._mean is None and upto < LEARN * RATE:
            return [], 0
        self._hear(segment, upto)
        return self._words(PRIOR), self._heard

    def final(self, segment: Segment) -> tuple[list[Word], int]:
        samples = len(segment.audio.pcm)
        self._hear(segment, samples)
        self._stop()
        self._mean = self._decoder.get_cmn(False)
        return self._words(None), samples

    def _hear(self, segment: Segment, upto: int) -> None:
        """Go on with the utterance if it is the one being heard, else begin it."""
        learn = 0 if self._mean is not None else _lesson(upto)
        if self._start != segment.span.start or upto < self._heard or learn != self._learnt:
            self._stop()
            if self._mean is not None:
                self._decoder.set_cmn(self._mean)
            else:
                self._learn(segment.audio.pcm[:learn])
            self._decoder.start_utt()
            self._start, self._learnt, self._heard = segment.span.start, learn, 0
        pcm = _int16(segment.audio.pcm[self._heard : upto])
        for at in range(0, len(pcm), HOP):
            self._decoder.process_raw(pcm[at : at + HOP].tobytes())
        self._heard = max(upto, self._heard)

    def _stop(self) -> None:
        if self._start is not None:
            self._decoder.end_utt()
            self._start = None

    def _learn(self, pcm: Floats) -> None:
        """Subtract the mean spectrum of ``pcm`` from now on. The decoder computes it for whole utterances
        only, and ends one by searching it: so it searches for nothing meanwhile."""
        self._decoder.activate_search(_NOTHING)
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        self._decoder.process_raw(_int16(pcm).tobytes(), no_search=True, full_utt=True)
        self._decoder.end_utt()
        self._decoder.set_cmn(self._decoder.get_cmn(False))
        self._decoder.activate_search(self._decode)

    def _words(self, probability: float | None) -> list[Word]:
        if self._decoder.hyp() is None:
            return []
        return [
            Word(
                re.sub(r"\(\d+\)$", "", s.word),
                s.prob if probability is None else probability,
                (s.end_frame - s.start_frame + 1) * FRAME,
                len((self._decoder.lookup_word(s.word) or s.word).split()),
            )
            for s in self._decoder.seg() or ()
            if not NO_WORD.match(s.word)
        ]


def _lesson(samples: int) -> int:
    """How many of the first ``samples`` of an utterance tell the microphone: the same whoever hears how much
    at a time, and only seldom another number, since then all of it is heard again."""
    learn = round(LEARN * RATE)
    if samples < learn:
        return samples
    while 2 * learn <= samples:
        learn *= 2
    return learn


def confidence(words: list[Word], seconds: float) -> float:
    """How sure the recogniser is of ``words`` heard in ``seconds``, 0..1 (see the top of this file)."""
    sure = sum(w.probability * min(w.seconds, PHONE * w.phones) for w in words)
    return min(1.0, sure / max(seconds - ROLLS, sum(w.seconds for w in words), FRAME))


def _int16(pcm: Floats) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return (np.clip(pcm, -1.0, 1.0) * 32767).astype("<i2")


def _load() -> Decoder:
    try:
        from pocketsphinx import Decoder

        return Decoder(samprate=RATE, fwdflat=False, loglevel="FATAL")
    except ImportError as error:
        raise TranscribeError(
            f"pocketsphinx cannot be imported ({error}); pip install 'pocketsphinx>=5.1.1,<6',"
            " or set transcriber.kind to none"
        ) from error
    except (RuntimeError, ValueError) as error:
        raise TranscribeError(
            f"pocketsphinx cannot load its English model ({error}); install the package again"
        ) from error
