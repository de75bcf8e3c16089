"""Dropout that draws eight bits for an element instead of a number: drawing is what dropout costs."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Zeros elements with the probability ``share``, to the next 1/256, and scales the rest: the mean stays.

    Raises:
        ValueError: a share below 0, or so near to 1 that nothing would be left.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        if not 0 <= share < 1 - 1 / 512:
            raise ValueError(f"dropout {share}: must be from 0, below 1")
        self.dropped = round(256 * share)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` of any shape; as it is when evaluating."""
        if not self.training or self.dropped == 0:
            return x
        drawn = torch.empty((x.numel() + 7) // 8, dtype=torch.int64, device=x.device).random_(-(2**63), None)
        kept = drawn.view(torch.uint8)[: x.numel()].view(x.shape) >= self.dropped
        return x * kept.to(x.dtype).mul_(256 / (256 - self.dropped))

    def extra_repr(self) -> str:
        return f"share={self.dropped}/256"
