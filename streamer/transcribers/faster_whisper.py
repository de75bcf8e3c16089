"""Whisper (Radford et al. 2022, https://arxiv.org/abs/2212.04356) by faster-whisper and CTranslate2.

The weights must be on this disk: nothing here touches the network (``lmam models pull whisper-base`` does).

Confidence = exp(mean log probability of the tokens) * (1 - probability of no speech). Words are taken as
invented, and dropped, where any of these holds: no speech is likelier than ``no_speech`` and the mean log
probability is below ``log_prob``; it is below ``log_prob`` at all; the text compresses better than
``compression`` (it repeats itself); a phrase is looped; nobody can speak so fast. There is one pass at
temperature 0 and no sampling, so the same sound gives the same words in bounded time.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..context import Context, Notices
from ..types import RATE, Floats, Segment, Transcript, Utterance
from .guards import Agreement, Finals, looped, too_fast
from .whisper_files import Loaded, load, locate

log = logging.getLogger(__name__)

SURE = 0.8  # probability of a detected language from which it is kept for the next utterances


class Config(BaseModel):
    """Which Whisper listens, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str = Field("base", description="size (tiny, base, small, ...), hub name or local directory")
    language: str | None = Field(None, description="language code such as en; default: detected")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where it runs; auto: as all networks")
    compute_type: str = Field("auto", description="CTranslate2's; auto: int8 (CPU) or float16 (GPU)")
    threads: int = Field(2, ge=1, le=64, description="processor threads")
    beam: int = Field(5, ge=1, le=20, description="beam of a finished utterance; partials use 1")
    partials: bool = Field(True, description="transcribe while speech goes on")
    no_speech: float = Field(0.6, ge=0, le=1, description="probability of no speech that drops weak words")
    log_prob: float = Field(-1.0, le=0, description="words with a lower mean log probability are dropped")
    compression: float = Field(2.4, gt=0, description="text that compresses better than this is dropped")
    min_confidence: float = Field(0.35, ge=0, le=1, description="words below this are not used")

    def build(self, context: Context) -> FasterWhisper:
        """The stage, with its network loaded.

        Raises:
            ConfigError: the model is not on this disk; says where it was sought and how to get it.
            TranscribeError: its files are damaged or of another kind.
        """
        path = locate(self.model)
        loaded = load(path, _device(self.device, context), self.compute_type, self.threads, context.notices)
        return FasterWhisper(self, loaded, context.notices)


@dataclass(frozen=True, slots=True)
class Heard:
    """One pass over one segment, before any gate."""

    text: str
    language: str
    language_probability: float
    log_prob: float  # mean over tokens
    no_speech: float  # 0..1
    compression: float

    @property
    def confidence(self) -> float:
        return min(1.0, math.exp(min(0.0, self.log_prob)) * (1.0 - self.no_speech))


class FasterWhisper:
    """Stage: utterances with a segment get its words; `name` tells size, precision and device."""

    def __init__(self, config: Config, loaded: Loaded, notices: Notices | None = None) -> None:
        self._config, self._loaded, self._notices = config, loaded, notices or Notices()
        self.min_confidence = config.min_confidence
        self._finals = Finals()
        self._agreements: dict[int, tuple[float, Agreement]] = {}  # by channel, with the utterance's start
        self._language = config.language
        self._cancelled = threading.Event()

    @property
    def name(self) -> str:
        return f"faster-whisper {self._loaded.label}"

    def push(self, utterance: Utterance) -> Iterator[Utterance]:
        segment = utterance.segment
        if segment is None:
            yield utterance
        elif self._finals.late(segment):
            return
        elif segment.final:
            self._agreements.pop(segment.audio.channel, None)
            yield replace(utterance, transcript=self._final(segment))
        elif self._config.partials and not self._cancelled.is_set():
            yield replace(utterance, transcript=self._partial(segment))

    def flush(self) -> Iterator[Utterance]:
        return iter(())

    def cancel(self) -> None:
        """Begin no more partials (callable from any thread); finals are still transcribed."""
        self._cancelled.set()

    def _final(self, segment: Segment) -> Transcript | None:
        heard = self._hear(segment.audio.pcm, self._config.beam)
        if heard is None:
            return None
        reason = self.doubt(heard, segment.span.duration)
        if reason is not None:
            log.debug("words dropped at %.2f s: %s", segment.span.start, reason)
        self._follow_language(heard, reason)
        return None if reason else self._transcript(heard.text, heard)

    def _partial(self, segment: Segment) -> Transcript | None:
        heard = self._hear(segment.audio.pcm, 1)
        if heard is None or self.doubt(heard, segment.span.duration):
            return None
        channel, start = segment.audio.channel, segment.span.start
        known = self._agreements.get(channel)
        if known is None or known[0] != start:
            known = self._agreements[channel] = (start, Agreement())
        return self._transcript(known[1].update(heard.text), heard)

    def doubt(self, heard: Heard, seconds: float) -> str | None:
        """Why the words are taken as invented, or None."""
        c = self._config
        if heard.log_prob < c.log_prob:
            silent = heard.no_speech > c.no_speech
            return "no speech" if silent else f"log probability {heard.log_prob:.2f}"
        if heard.compression > c.compression:
            return f"compression {heard.compression:.1f}"
        if looped(heard.text):
            return "a phrase repeated"
        return "too many words" if too_fast(heard.text, seconds) else None

    def _transcript(self, text: str, heard: Heard) -> Transcript:
        return Transcript(text, heard.language, heard.confidence, self.name)

    def _follow_language(self, heard: Heard, reason: str | None) -> None:
        """Keep a language that was surely detected; forget it when the words make no sense in it."""
        if self._config.language is not None:
            return
        if reason is None and heard.language_probability >= SURE:
            self._language = heard.language
        elif reason is not None:
            self._language = None

    def _hear(self, pcm: Floats, beam: int) -> Heard | None:
        """One pass; a GPU that fails is given up for the CPU, a CPU that fails loses these words only."""
        while True:
            try:
                heard = self._transcribe(pcm, beam)
            except (RuntimeError, ValueError) as error:
                if self._loaded.device == "cpu":
                    log.warning("the recogniser failed on one utterance: %s", error)
                    self._notices.set("transcriber", f"failed on an utterance ({error})")
                    return None
                self._loaded = self._loaded.on_cpu(str(error), self._notices)
            else:
                return heard

    def _transcribe(self, pcm: Floats, beam: int) -> Heard | None:
        segments, info = self._loaded.model.transcribe(
            pcm,
            language=self._language,
            beam_size=beam,
            best_of=1,
            temperature=0.0,
            condition_on_previous_text=False,
            vad_filter=False,
            without_timestamps=True,
            no_speech_threshold=None,  # the gates of `doubt` come after
            log_prob_threshold=None,
            compression_ratio_threshold=None,
            max_new_tokens=min(
                440, 2 * (24 + round(12 * len(pcm) / RATE))
            ),  # a loop ends soon (it halves this)
        )
        parts = list(segments)
        text = " ".join(part.text.strip() for part in parts).strip()
        return _heard(text, parts, info) if text else None


def _heard(text: str, parts: list[Any], info: Any) -> Heard:
    tokens = [len(part.tokens) + 1 for part in parts]
    return Heard(
        text,
        str(info.language),
        float(info.language_probability),
        sum(float(p.avg_logprob) * n for p, n in zip(parts, tokens, strict=True)) / sum(tokens),
        max(float(part.no_speech_prob) for part in parts),
        max(float(part.compression_ratio) for part in parts),
    )


def _device(wanted: str, context: Context) -> str:
    return context.device if wanted == "auto" else wanted
