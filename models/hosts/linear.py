"""Linear maps of several streams as one batched product: S streams cost one kernel.

Shape suffixes: S streams, R rows, I inputs, O outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StreamLinear(nn.Module):
    """One linear map for each stream, with the first values of `torch.nn.Linear`."""

    def __init__(self, streams: int, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight_SIO = nn.Parameter(torch.empty(streams, inputs, outputs).uniform_(-bound, bound))
        self.bias_SO = nn.Parameter(torch.empty(streams, outputs).uniform_(-bound, bound)) if bias else None

    def forward(self, x_SRI: Tensor) -> Tensor:
        """``[S, R, O]``; or, of rows in several dimensions ``[S, ..., I]``, ``[S, ..., O]``."""
        flat_SRI = x_SRI.flatten(1, -2)
        if self.bias_SO is None:
            y_SRO = torch.bmm(flat_SRI, self.weight_SIO)
        else:
            y_SRO = torch.baddbmm(self.bias_SO.unsqueeze(1), flat_SRI, self.weight_SIO)
        return y_SRO.view(*x_SRI.shape[:-1], -1)
