"""What becomes of the fusion's probabilities before they leave: smoothed if asked for, held back if unsure.

One utterance is one observation; who wants to know how somebody comes across over a while averages several. A
mean of calibrated probabilities is a distribution, too; it follows later, and is no reading of one utterance.
Valence and arousal are averaged over the same utterances, of those that have them.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from .types import Alone, Estimate, Features

if TYPE_CHECKING:
    from .pipeline import Fusion


class Config(BaseModel):
    """How sure an estimate must be, and over how much of what a speaker said it is taken."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    abstain_below: float = Field(
        0.25,
        ge=0,
        le=1,
        description="an estimate whose confidence is lower is marked as abstained (its probabilities are"
        " published all the same); of seven labels, chance is 0.14; 0: never",
    )
    smooth: int = Field(
        1,
        ge=1,
        le=100,
        description="finals of the same speaker that are averaged, this one included; 1: none",
    )
    smooth_within: float = Field(
        30.0, gt=0, description="seconds before the end of this utterance after which finals still count"
    )

    def around(self, fusion: Fusion) -> Settled:
        """``fusion`` with this done to what it says."""
        return Settled(fusion, self)


@dataclass(frozen=True, slots=True)
class Heard:
    """A final as the fusion gave it: when it ended (stream seconds), and what is averaged."""

    end: float
    probs: tuple[float, ...]
    valence: float | None
    arousal: float | None


class Settled:
    """A fusion whose estimates are means over the speaker's last finals, and abstain where that is unsure."""

    def __init__(self, fusion: Fusion, config: Config) -> None:
        self._fusion, self._config = fusion, config
        self._heard: dict[str, deque[Heard]] = {}
        self._purged = -math.inf

    def push(self, features: Features) -> Iterator[Estimate]:
        for e in self._fusion.push(features):
            smooth = self._smooth(e)
            unsure = max(smooth.probs) < self._config.abstain_below
            yield replace(smooth, abstained=unsure or not any(r.present for r in smooth.readings))

    def flush(self) -> Iterable[Estimate]:
        return self._fusion.flush()

    def alone(self, features: Features) -> Alone:
        return self._fusion.alone(features)

    def forget(self, before: float) -> None:
        """As the fusion's own; safe from another thread."""
        self._purged = before
        self._heard.clear()
        self._fusion.forget(before)

    def _smooth(self, e: Estimate) -> Estimate:
        if self._config.smooth == 1:
            return e
        who, end = e.utterance.speaker.id, e.utterance.span.end
        before = self._heard.get(who) or deque(maxlen=self._config.smooth - 1)
        since = max(self._purged, end - self._config.smooth_within)
        own = Heard(end, e.probs, e.valence, e.arousal)
        rows = [*(h for h in before if h.end > since), own]
        if e.final:
            before.append(own)
            self._heard[who] = before
        return replace(
            e,
            probs=tuple(sum(p) / len(rows) for p in zip(*(h.probs for h in rows), strict=True)),
            valence=_mean(h.valence for h in rows),
            arousal=_mean(h.arousal for h in rows),
        )


def _mean(values: Iterable[float | None]) -> float | None:
    """Of those that are known."""
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None
