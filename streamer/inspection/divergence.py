"""How far two readings of one utterance are apart."""

from __future__ import annotations

import math
from collections.abc import Sequence


def divergence(p: Sequence[float], q: Sequence[float]) -> float:
    """Jensen-Shannon divergence in bits of two distributions over the same labels.

    With m the mean of both, H(m) - (H(p) + H(q)) / 2: 0 where they are the same, 1 where they have no label
    in common; symmetric, and finite where one of them is zero (Lin 1991, IEEE Trans. Inf. Theory 37:145).
    """
    m = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    return min(1.0, max(0.0, _entropy(m) - (_entropy(p) + _entropy(q)) / 2))


def _entropy(p: Sequence[float]) -> float:
    return -sum(x * math.log2(x) for x in p if x > 0)
