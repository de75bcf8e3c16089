"""PocketSphinx (https://github.com/cmusphinx/pocketsphinx, BSD): the recogniser that is always at hand.

Its US English model is inside the package. It writes lower case without punctuation and gets four words in
ten wrong (docs/speech.md has the figures); it is here so that everything runs offline.

A microphone colours all it hears; the decoder subtracts the mean spectrum. It is learnt from a channel's
first utterance before that is decoded (without this, 51 % instead of 42 % of the words of single clips are
wrong), and goes on adapting with each utterance.

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

STEP = 1600  # samples decoded at a time, counted from the utterance's start: partials do not change finals
FRAME = 0.01  # seconds
PHONE = 0.2  # seconds that one phone may count
ROLLS = 0.35  # seconds of silence that the segmenter adds around speech
PRIOR = 0.53
NO_WORD = re.compile(r"[<\[+]")


class Config(BaseModel):
    """How sure the recogniser must be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    partials: bool = Field(True, description="recognise while speech goes on")
    min_confidence: float = Field(
        0.2, ge=0, le=1, description="words below this are not used (chosen by benchmarks/wer.py)"
    )

    def build(self, context: Context) -> PocketSphinx:
        """Raises `TranscribeError` where the package or its model cannot be loaded."""
        return PocketSphinx(self)


@dataclass(frozen=True, slots=True)
class Word:
    """``probability`` 0..1; ``seconds`` it lasts and ``phones`` it has."""

    text: str
    probability: float
    seconds: float
    phones: int


class PocketSphinx:
    """Stage: utterances with a segment get its words. One decoder; it hears each sample once if it can."""

    name = "pocketsphinx en-us"

    def __init__(self, config: Config | None = None) -> None:
        self._config = config or Config()
        self.min_confidence = self._config.min_confidence
        self._decoder = _load()
        self._finals = Finals()
        self._current: tuple[int, float] | None = None  # channel and start of what the decoder is hearing
        self._heard = 0  # samples of it
        self._cmn: dict[int, str] = {}  # mean cepstrum by channel, from its finished utterances
        self._cancelled = False

    def push(self, utterance: Utterance) -> Iterator[Utterance]:
        segment = utterance.segment
        if segment is None:
            yield utterance
        elif self._finals.late(segment):
            return
        elif segment.final:
            yield replace(utterance, transcript=self._final(segment))
        elif self._config.partials and not self._cancelled:
            yield replace(utterance, transcript=self._partial(segment))

    def flush(self) -> Iterator[Utterance]:
        return iter(())

    def cancel(self) -> None:
        """Give no more partials; finals are still recognised."""
        self._cancelled = True

    def _partial(self, segment: Segment) -> Transcript | None:
        self._hear(segment, len(segment.audio.pcm) // STEP * STEP)
        return self._transcript(self._words(PRIOR), self._heard)

    def _final(self, segment: Segment) -> Transcript | None:
        pcm, channel = segment.audio.pcm, segment.audio.channel
        if channel not in self._cmn:
            self._stop()  # the partials were heard before the microphone was known: hear it all again
        self._hear(segment, len(pcm))
        self._stop()
        self._cmn[channel] = self._decoder.get_cmn(False)
        return self._transcript(self._words(None), len(pcm))

    def _hear(self, segment: Segment, upto: int) -> None:
        """Go on with the utterance if it is the one being heard, else begin it."""
        key = segment.audio.channel, segment.span.start
        if self._current != key or upto < self._heard:
            self._stop()
            self._know_microphone(segment, upto)
            self._decoder.start_utt()
            self._current, self._heard = key, 0
        pcm = _int16(segment.audio.pcm[self._heard : upto])
        for at in range(0, len(pcm), STEP):
            self._decoder.process_raw(pcm[at : at + STEP].tobytes())
        self._heard = max(upto, self._heard)

    def _stop(self) -> None:
        if self._current is not None:
            self._decoder.end_utt()
            self._current = None

    def _know_microphone(self, segment: Segment, upto: int) -> None:
        """Set the mean spectrum that is subtracted: the channel's so far, or this first utterance's own."""
        known = self._cmn.get(segment.audio.channel)
        if known is not None:
            self._decoder.set_cmn(known)
            return
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        sound = _int16(segment.audio.pcm[:upto]).tobytes()
        self._decoder.process_raw(sound, no_search=True, full_utt=True)
        self._decoder.end_utt()
        self._decoder.set_cmn(self._decoder.get_cmn(False))

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

    def _transcript(self, words: list[Word], samples: int) -> Transcript | None:
        if not words:
            return None
        text = " ".join(w.text for w in words)
        return Transcript(text, "en", confidence(words, samples / RATE), self.name)


def confidence(words: list[Word], seconds: float) -> float:
    """How sure the recogniser is of ``words`` heard in ``seconds``, 0..1 (see the top of this file)."""
    sure = sum(w.probability * min(w.seconds, PHONE * w.phones) for w in words)
    return min(1.0, sure / max(seconds - ROLLS, sum(w.seconds for w in words), FRAME))


def _int16(pcm: Floats) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return (np.clip(pcm, -1.0, 1.0) * 32767).astype("<i2")


def _load() -> Decoder:
    try:
        from pocketsphinx import Decoder

        return Decoder(samprate=RATE, loglevel="FATAL")
    except ImportError as error:
        raise TranscribeError(
            f"pocketsphinx cannot be imported ({error}); pip install 'pocketsphinx>=5.1.1,<6',"
            " or set transcriber.kind to none"
        ) from error
    except (RuntimeError, ValueError) as error:
        raise TranscribeError(
            f"pocketsphinx cannot load its English model ({error}); install the package again"
        ) from error
