"""Stage: an utterance with its words and faces becomes one vector per modality, or none where missing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from models.encoders.voice import Reference

from ..types import FaceSample, Features, Floats, Utterance

if TYPE_CHECKING:
    from torch import Tensor

    from models.encoders.voice import VoiceNet

# Quality of a face below which it is not read. Measured on `talking_faces`: well lit and sharp faces have 0.9
# and more, small or smeared ones 0.8; over-exposed ones 0.3 and less, and those were read as surprise.
LEAST_FACE = 0.3
# Quality of the sound below which a voice is not read. At 10 dB above noise it is 0.3 and more than chance is
# read of it; overdriven speech, and speech no louder than the noise, has about 0 and was read with more
# confidence than clean speech.
LEAST_VOICE = 0.15


class Text(Protocol):
    """Encodes words in the light of what was said before, which is a value (`models.encoders.text`)."""

    def start(self) -> Any: ...
    def step(self, text: str, speaker: int, memory: Any) -> tuple[Tensor, Any]: ...


class Face(Protocol):
    """One face of an utterance: ``embedding`` ``[V]``, ``quality`` 0..1."""

    @property
    def embedding(self) -> Floats: ...
    @property
    def quality(self) -> float: ...


class FeatureEncoder:
    """Gives each speaker their number by first appearance, and encodes what is there.

    What was said before is replaced by finals and left alone by partials.

    Args:
        text: Encodes words; it is told who speaks, as in training.
        pool: Makes one face of those seen during the utterance, None where there was none.
        measures: Names of the voice measures that the fusion reads, in its order.
        min_confidence: Words of which the recogniser is less sure are masked.
        reads: Whether the fusion reads words, voice and face; what it does not read is not encoded.
        network: Reads voices, each against what was heard of the same speaker so far; None: nobody reads.
    """

    def __init__(
        self,
        text: Text,
        pool: Callable[[Sequence[FaceSample]], Face | None],
        measures: Sequence[str],
        min_confidence: float = 0.0,
        reads: tuple[bool, bool, bool] = (True, True, True),
        network: VoiceNet | None = None,
    ) -> None:
        self._text, self._pool, self._measures = text, pool, tuple(measures)
        self._min_confidence, self._reads, self._network = min_confidence, reads, network
        self._speakers: dict[str, int] = {}
        self._said, self._fresh, self._purged = text.start(), False, -math.inf
        self._heard: dict[int, Reference] = {}

    def push(self, u: Utterance) -> Iterator[Features]:
        if self._fresh:
            self._said, self._heard, self._fresh = self._text.start(), {}, False
        speaker = self._number(u)
        reads_words, reads_voice, reads_face = self._reads
        words, confidence = self._words(u) if reads_words else ("", 0.0)
        text = self._encode(words, speaker, u) if words else None
        reads_voice = reads_voice and u.segment is not None and u.segment.quality >= LEAST_VOICE
        embedding = self._read(u, speaker) if reads_voice else None
        voice = self._voice(u, unvoiced=embedding is not None) if reads_voice else None
        face = self._face(u) if reads_face else None
        yield Features(
            utterance=u,
            speaker=speaker,
            text=text,
            audio=voice,
            visual=face.embedding if face else None,
            quality=(
                confidence if words else 0.0,
                u.segment.quality if u.segment and voice else 0.0,
                face.quality if face else 0.0,
            ),
            voice=embedding,
        )

    def flush(self) -> Iterator[Features]:
        return iter(())

    def forget(self, before: float) -> None:
        """Remember nothing of what was said by ``before``, nor how (purge); safe from another thread."""
        self._fresh, self._purged = True, before

    def _encode(self, words: str, speaker: int, u: Utterance) -> Tensor:
        features, said = self._text.step(words, speaker, self._said)
        if u.final and u.span.end > self._purged:
            self._said = said
        return features

    def _number(self, u: Utterance) -> int:
        """Order of first appearance; a partial and a silent face do not make anybody appear."""
        known = self._speakers.get(u.speaker.id)
        if known is not None:
            return known
        number = len(self._speakers)
        if u.segment is None:
            return max(0, number - 1)
        if u.final:
            self._speakers[u.speaker.id] = number
        return number

    def _words(self, u: Utterance) -> tuple[str, float]:
        heard = u.transcript
        if heard is None or heard.confidence < self._min_confidence:
            return "", 0.0
        return heard.text.strip(), heard.confidence

    def _face(self, u: Utterance) -> Face | None:
        """The face of the utterance; None where nothing can be made out in it, so that nobody guesses."""
        face = self._pool(u.faces)
        return face if face is not None and face.quality >= LEAST_FACE else None

    def _read(self, u: Utterance, speaker: int) -> Floats | None:
        """What the network says of the voice; None where it heard nothing."""
        heard = None if u.segment is None else getattr(u.segment.voice, "statistics_S", None)
        if self._network is None or heard is None:
            return None
        known = self._heard.get(speaker) or Reference.unknown()
        if u.final and u.span.end > self._purged:
            self._heard = {**self._heard, speaker: known.plus(heard)}
        return np.array(self._network.read(heard, known).embedding, np.float32)

    def _voice(self, u: Utterance, *, unvoiced: bool) -> tuple[float, ...] | None:
        """The measures the model reads, NaN where one is not known; None where there was no voice.

        ``unvoiced``: without a pitch they are not known, but there was one.
        """
        if u.segment is None or u.segment.voice is None:
            return None
        values = [getattr(u.segment.voice, name) for name in self._measures]
        numbers = tuple(float("nan") if v is None else float(v) for v in values)
        pitch = u.segment.voice.avg_pitch
        if pitch is not None and np.isfinite(pitch):
            return numbers
        return (math.nan,) * len(numbers) if unvoiced else None
