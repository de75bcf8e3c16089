"""Long short-term memories of torch over the present utterances of a stream; absent ones leave the state.

The units are `torch.nn.LSTM`, batch first and one layer, as their host holds them: what is here has no
parameters. Without an utterance before it a state is zero.

Shape suffixes: B conversations, N utterances, H states (N + 1, the first of them zero), D width of the input,
E width of a direction (F of all).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def read(past: nn.LSTM, future: nn.LSTM | None, x_BND: Tensor, present_BN: Tensor) -> Tensor:
    """The hidden state after each utterance, ``[B, N, F]``; end to end with that of ``future``, which reads
    from the end of the conversation."""
    past_BNE = _read(past, x_BND, present_BN)
    if future is None:
        return past_BNE
    # Padding comes first when turned round, and like all that is absent it leaves the state at zero.
    return torch.cat([past_BNE, _read(future, x_BND.flip(1), present_BN.flip(1)).flip(1)], -1)


def step(unit: nn.LSTM, x_BD: Tensor, present_B: Tensor, h_BE: Tensor, c_BE: Tensor) -> tuple[Tensor, Tensor]:
    """Hidden state and cell after one utterance, each ``[B, E]``."""
    moved = torch.lstm_cell(x_BD, [h_BE, c_BE], *unit.parameters())
    here_B1 = present_B.unsqueeze(-1)
    return torch.where(here_B1, moved[0], h_BE), torch.where(here_B1, moved[1], c_BE)


def _read(unit: nn.LSTM, x_BND: Tensor, present_BN: Tensor) -> Tensor:
    """``[B, N, E]``. The present rows are moved together, so that one call of the fast LSTM reads them; an
    absent utterance then finds the state after the latest that was present."""
    order_BN = torch.argsort((~present_BN).to(torch.uint8), dim=1, stable=True)
    packed_BND = x_BND.gather(1, order_BN.unsqueeze(-1).expand_as(x_BND))
    # The fast LSTM has no half precision on every processor: it reads in the precision of its weights.
    with torch.autocast(x_BND.device.type, enabled=False):
        h_BNE: Tensor = unit(packed_BND.to(next(unit.parameters()).dtype))[0]
    h_BHE = F.pad(h_BNE, (0, 0, 1, 0))
    return h_BHE.gather(1, present_BN.cumsum(1).unsqueeze(-1).expand_as(h_BNE))
