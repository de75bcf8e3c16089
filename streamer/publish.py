"""Turns estimates into the messages that leave, stamped once, so that every sink tells the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from .clock import Clock
from .context import AT_END, Notices, Session
from .errors import ConfigError
from .payloads import (
    ContextV1,
    EmotionV1,
    EstimateV1,
    LatencyV1,
    ModalitiesV1,
    ModalityV1,
    ModelV1,
    SpeakerV1,
)
from .types import Estimate, Reading, Speaker

DELIVERY = frozenset({"mqtt", "sink", "console"})  # origins of notices about what goes out
APART = DELIVERY | {AT_END}
ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
MOST_NAMES = LONGEST_NAME = 64
DIGITS = 6  # of every number that is computed: enough to compare, few enough to read


class Publisher:
    """`Estimate` in, `EstimateV1` out.

    Args:
        paced: Whether stream time keeps to a clock; if not, the total delay means nothing and is null.
        model: Called for each estimate, since a transcriber may change its name (a fallback to the CPU).
    """

    def __init__(
        self, session: Session, model: Callable[[], ModelV1], notices: Notices, clock: Clock, *, paced: bool
    ) -> None:
        self._session, self._model, self._notices = session, model, notices
        self._clock, self._paced = clock, paced
        self._names: dict[str, str] = {}

    def name(self, body: Mapping[str, object]) -> str:
        """Call the speaker with the id ``body["speaker"]`` by the name ``body["label"]`` from now on.

        An empty label takes the name away again. Returns what was done, in words.

        Raises:
            ConfigError: one of the two is missing or is no such text, or names may not be published here.
        """
        speaker, label = body.get("speaker"), body.get("label")
        if not isinstance(speaker, str) or not ID.fullmatch(speaker):
            raise ConfigError('name-speaker: "speaker" must be an id as estimates have it, such as "s1"')
        if not isinstance(label, str) or len(label) > LONGEST_NAME:
            raise ConfigError(f'name-speaker: "label" must be a text of up to {LONGEST_NAME} characters')
        if not self._session.publish_text:
            raise ConfigError("name-speaker: names are not published where publish_text is false")
        if not label.strip():
            self._names.pop(speaker, None)
            return f"{speaker} has no name any more"
        if speaker not in self._names and len(self._names) >= MOST_NAMES:
            raise ConfigError(f"name-speaker: {MOST_NAMES} speakers have names already; take one away first")
        self._names[speaker] = label.strip()
        return f"{speaker} is {label.strip()}"

    def forget(self) -> None:
        """Drop the names that were given (purge)."""
        self._names.clear()

    def _label(self, speaker: Speaker) -> str | None:
        return self._names.get(speaker.id, speaker.label)

    def _carry(self, speaker: Speaker) -> None:
        """The name of an id that turned out to be ``speaker``'s is theirs, unless they have one."""
        for gone in speaker.merged:
            if (name := self._names.pop(gone, None)) is not None:
                self._names.setdefault(speaker.id, name)

    def message(self, e: Estimate) -> EstimateV1:
        u, session = e.utterance, self._session
        self._carry(u.speaker)
        words = e.text is not None and session.publish_text
        captured, published = self._clock.wall(u.span.end), self._clock.wall()
        return EstimateV1(
            id=e.id,
            conversation=session.conversation,
            sequence=e.sequence,
            revision=e.revision,
            final=e.final,
            speaker=SpeakerV1(
                id=u.speaker.id,
                label=self._label(u.speaker) if session.publish_text else None,  # it may be a name
                confidence=None if u.speaker.confidence is None else round(u.speaker.confidence, DIGITS),
                merged=list(u.speaker.merged),
                face=None if u.speaker.face is None else f"f{u.speaker.face}",
            ),
            start=round(u.span.start + session.offset, DIGITS),
            end=round(u.span.end + session.offset, DIGITS),
            captured_at=captured,
            published_at=published,
            emotion=_emotion(e),
            valence=None if e.valence is None else round(e.valence, DIGITS),
            arousal=None if e.arousal is None else round(e.arousal, DIGITS),
            modalities=ModalitiesV1(
                text=_modality(e.readings[0]),
                audio=_modality(e.readings[1]),
                visual=_modality(e.readings[2]),
            ),
            text=e.text if words else None,
            language=e.language if words else None,
            context=ContextV1(turns=e.turns, degraded=self._degraded()),
            latency=LatencyV1(
                endpoint=round(max(0.0, u.segment.noticed - u.span.end), DIGITS) if u.segment else None,
                transcribe=round(u.timings.get("transcribe", 0.0), DIGITS),
                encode=round(u.timings.get("encode", 0.0), DIGITS),
                fuse=round(u.timings.get("fuse", 0.0), DIGITS),
                total=round(max(0.0, self._clock.now() - u.span.end), DIGITS) if self._paced else None,
            ),
            model=self._model(),
        )

    def _degraded(self) -> list[str]:
        """What is wrong with what goes in.

        Trouble with delivery does not make an estimate worse. What is told at the end of a file would mark
        whichever estimates are under way at that moment, others each time.
        """
        wrong = sorted(self._notices.all().items())
        return [f"{origin}: {message}" for origin, message in wrong if origin not in APART]


def _emotion(e: Estimate) -> EmotionV1:
    probabilities = {label: round(min(1.0, p), DIGITS) for label, p in zip(e.labels, e.probs, strict=True)}
    label = max(probabilities, key=lambda k: probabilities[k])
    return EmotionV1(
        label=label, confidence=probabilities[label], abstained=e.abstained, probabilities=probabilities
    )


def _modality(reading: Reading) -> ModalityV1:
    return ModalityV1(
        present=reading.present,
        quality=round(min(1.0, max(0.0, reading.quality)), DIGITS),
        weight=round(min(1.0, max(0.0, reading.weight)), DIGITS),
    )
