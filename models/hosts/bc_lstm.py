"""bc-LSTM: a long short-term memory over the utterances of a conversation, one for each stream.

Poria et al., "Context-Dependent Sentiment Analysis in User-Generated Videos", ACL 2017 (P17-1081), section
3.2: the LSTM equations of Hochreiter & Schmidhuber (1997) over the utterances, then a dense layer,

    z_t = ReLU(W_z h_t + b_z)

With a span that looks ahead it is the paper's bidirectional network (bc-LSTM), h_t being both directions end
to end; with a causal span its unidirectional twin (sc-LSTM). A recurrent state has no window: each direction
reads all there is on its side. An absent stream leaves its state as it is.

Shape suffixes: B conversations, N utterances, S streams, D width, E width of all directions (D or 2 D).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.hosts import lstm
from models.hosts.base import Host
from models.hosts.dropout import Dropout
from models.masks import present_only
from models.span import Span
from models.state import State


class BcLstm(Host):
    """See the module; no options of its own. Dropout is on h, before the dense layer."""

    def __init__(
        self, *, streams: int, dim: int, span: Span, speakers: int = 8, dropout: float = 0.2
    ) -> None:
        super().__init__(streams=streams, dim=dim, span=span, speakers=speakers, dropout=dropout)
        directions = 1 if span.causal else 2
        self.past: Sequence[nn.LSTM] = _units(streams, dim)
        self.future: Sequence[nn.LSTM | None] = [None] * streams if span.causal else _units(streams, dim)
        self.drop = Dropout(dropout)
        self.dense = nn.ModuleList(nn.Linear(directions * dim, dim) for _ in range(streams))

    def forward(self, x_BNSD: Tensor, present_BNS: Tensor, speaker_BN: Tensor, valid_BN: Tensor) -> Tensor:
        present_BNS = present_BNS & valid_BN.unsqueeze(-1)
        x_BNSD = present_only(x_BNSD, present_BNS)
        read = [
            lstm.read(past, future, x_BNSD[:, :, s], present_BNS[:, :, s])
            for s, (past, future) in enumerate(zip(self.past, self.future, strict=True))
        ]
        return self._give(torch.stack(read, 2))

    def init_state(self, batch: int) -> State:
        if not self.span.causal:
            raise ValueError(f"bc-lstm with {self.span} cannot be stepped: it reads the utterances to come")
        zero_BSD = next(self.parameters()).new_zeros(batch, self.streams, self.dim)
        return State(h=zero_BSD, c=zero_BSD.clone())

    def step(
        self, x_BSD: Tensor, present_BS: Tensor, speaker_B: Tensor, state: State
    ) -> tuple[Tensor, State]:
        x_BSD = present_only(x_BSD, present_BS)
        moved = [
            lstm.step(unit, x_BSD[:, s], present_BS[:, s], state["h"][:, s], state["c"][:, s])
            for s, unit in enumerate(self.past)
        ]
        h_BSD, c_BSD = (torch.stack(list(rows), 1) for rows in zip(*moved, strict=True))
        return self._give(h_BSD), State(h=h_BSD, c=c_BSD)

    def _give(self, h: Tensor) -> Tensor:
        """The dense layer of each stream, ``[..., S, D]``."""
        h = self.drop(h)
        return F.relu(torch.stack([dense(h[..., s, :]) for s, dense in enumerate(self.dense)], -2))


def _units(streams: int, dim: int) -> Sequence[nn.LSTM]:
    return cast("list[nn.LSTM]", nn.ModuleList(nn.LSTM(dim, dim, batch_first=True) for _ in range(streams)))
