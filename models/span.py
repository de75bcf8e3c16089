"""Which utterances of a conversation an utterance may look at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Span:
    """Utterance t looks at j where t - past < j <= t + future, in utterances; None is without limit.

    ``past`` counts the utterance itself. A model that is to be stepped needs ``future`` 0 and a finite past:
    its memory has that many rows.

    Raises:
        ValueError: ``past`` below 1 or ``future`` below 0.
    """

    past: int | None = 16
    future: int | None = 0

    def __post_init__(self) -> None:
        if (self.past is not None and self.past < 1) or (self.future is not None and self.future < 0):
            raise ValueError(f"{self}: past must be at least 1 (the utterance itself), future at least 0")

    @property
    def causal(self) -> bool:
        """Nothing later than the utterance itself is read."""
        return self.future == 0

    @property
    def steps(self) -> bool:
        """A model can be stepped: nothing later is read, and what is remembered has a limit."""
        return self.causal and self.past is not None

    @property
    def window(self) -> int:
        """Rows of memory that a step needs.

        Raises:
            ValueError: the span looks ahead or has no limit, so that it cannot be stepped.
        """
        if self.past is None or not self.causal:
            raise ValueError(f"{self} cannot be stepped: it needs future 0 and a finite past")
        return self.past

    def mask(self, n: int, device: torch.device | None = None) -> Tensor:
        """``[T, J]`` bool for ``n`` utterances: t may look at j."""
        age_TJ = torch.arange(n, device=device)[:, None] - torch.arange(n, device=device)
        allowed = torch.ones_like(age_TJ, dtype=torch.bool)
        if self.past is not None:
            allowed &= age_TJ < self.past
        if self.future is not None:
            allowed &= age_TJ >= -self.future
        return allowed


FULL = Span(None, None)
