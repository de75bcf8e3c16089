"""Sentences by themselves, of corpora that have no conversations: what the text encoder learns from besides.

Shape suffixes: N sentences, K labels or measures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ANY_OF = "any of"  # targets 0 or 1, several labels may hold
ONE_OF = "one of"  # targets 0 or 1, exactly one label holds
MEASURES = "measures"  # targets are numbers in -1..1


@dataclass(frozen=True, slots=True)
class Part:
    """One split: ``texts``, the order of appearance of who said them (0 where nobody is named) and their
    ``targets_NK`` (float32, what they mean is `Sentences.kind`)."""

    texts: tuple[str, ...]
    speakers: tuple[int, ...]
    targets_NK: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Sequence[int]) -> Part:
        """Those of ``rows``."""
        return Part(
            tuple(self.texts[i] for i in rows),
            tuple(self.speakers[i] for i in rows),
            self.targets_NK[list(rows)],
        )


@dataclass(frozen=True, slots=True)
class Sentences:
    """A corpus of single sentences by split, with what model cards must say of it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    splits: Mapping[str, Part]
    licence: str
    commercial_use: str
