"""Valence and arousal of each estimate: of the words where there are any, else of what was fused.

The words' are read by a head on the text features; without words, a map of the fused label probabilities
stands in. A mixture of the two is no better (`models.train_affect`). Where an utterance has neither words nor
voice nor face, there is nothing to read, and both stay None.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from .types import Alone, Estimate, Features

if TYPE_CHECKING:
    from models.encoders.affect import Affect

    from .pipeline import Fusion


class WithAffect:
    """A fusion whose estimates tell valence and arousal, too."""

    def __init__(self, fusion: Fusion, head: Affect) -> None:
        self._fusion, self._head = fusion, head

    def push(self, features: Features) -> Iterator[Estimate]:
        for e in self._fusion.push(features):
            if features.text is not None:
                valence, arousal = self._head.of_words(features.text)
            elif any(r.present for r in e.readings):
                valence, arousal = self._head.of_labels(e.probs)
            else:
                yield e
                continue
            yield replace(e, valence=valence, arousal=arousal)

    def flush(self) -> Iterable[Estimate]:
        return self._fusion.flush()

    def alone(self, features: Features) -> Alone:
        return self._fusion.alone(features)

    def forget(self, before: float) -> None:
        """As the fusion's own; safe from another thread."""
        self._fusion.forget(before)
