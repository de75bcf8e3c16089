"""Temperatures that make probabilities mean what they say (Guo et al. 2017, "On Calibration").

Shape suffixes: N utterances, C classes, M modalities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


def fit_temperature(logits_NC: Tensor, labels_N: Tensor, low: float = 0.2, high: float = 5.0) -> float:
    """The temperature in ``low..high`` with the least cross-entropy, to 0.1 %, by golden section.

    The loss has one minimum in 1/T, so the search cannot stop at a wrong one.

    Raises:
        ValueError: no utterances to fit on.
    """
    if len(labels_N) == 0:
        raise ValueError("no utterances to fit a temperature on")

    def loss(inverse: float) -> float:
        return float(F.cross_entropy(logits_NC.double() * inverse, labels_N))

    golden = (5**0.5 - 1) / 2
    a, b = 1 / high, 1 / low
    while b - a > 1e-3 * a:
        left, right = b - golden * (b - a), a + golden * (b - a)
        a, b = (a, right) if loss(left) < loss(right) else (left, b)
    return 2 / (a + b)


def probabilities(logits: Tensor, temperature: float | Tensor) -> Tensor:
    """Softmax at ``temperature`` (one, or ``[..., 1]``) over the last dimension."""
    return torch.softmax(logits / temperature, -1)


BITS = (1, 2, 4)  # of text, audio and visual in the number of a subset
SUBSETS = (
    "none",
    "text",
    "audio",
    "text+audio",
    "visual",
    "text+visual",
    "audio+visual",
    "text+audio+visual",
)
PRESENT = {name: (bool(i & BITS[0]), bool(i & BITS[1]), bool(i & BITS[2])) for i, name in enumerate(SUBSETS)}


@dataclass(frozen=True, slots=True)
class Temperatures:
    """One temperature for each subset of the modalities, as no model is equally sure of itself in all.

    ``values`` are in the order of `SUBSETS`; "none" is what the context alone says.

    Raises:
        ValueError: not one for each subset, or one that is not above 0.
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.values) != len(SUBSETS) or not all(0 < v < float("inf") for v in self.values):
            raise ValueError(f"{self.values}: expected {len(SUBSETS)} temperatures above 0")

    @classmethod
    def of(cls, table: Mapping[str, float]) -> Temperatures:
        """From ``{"text": 1.2, ...}``, as `table` gives it.

        Raises:
            ValueError: a subset is missing or unknown.
        """
        if set(table) != set(SUBSETS):
            raise ValueError(f"temperatures of {', '.join(table)}; expected those of {', '.join(SUBSETS)}")
        return cls(tuple(float(table[name]) for name in SUBSETS))

    @classmethod
    def same(cls, temperature: float) -> Temperatures:
        """One for all."""
        return cls((temperature,) * len(SUBSETS))

    def table(self) -> dict[str, float]:
        """By name of the subset."""
        return dict(zip(SUBSETS, self.values, strict=True))

    def at(self, present: Tensor) -> Tensor:
        """The temperature ``[..., 1]`` of rows of ``present`` (bool ``[..., M]``: text, audio, visual)."""
        bits_M = torch.tensor(BITS, device=present.device)
        values = torch.tensor(self.values, dtype=torch.float64, device=present.device)
        return values[(present * bits_M).sum(-1, keepdim=True)]
