"""bc-LSTM: a long short-term memory over the utterances of a conversation, one for each stream.

Poria et al., "Context-Dependent Sentiment Analysis in User-Generated Videos", ACL 2017 (P17-1081), section
3.2: the LSTM equations of Hochreiter & Schmidhuber (1997) over the utterances, then a dense layer,

    z_t = ReLU(W_z h_t + b_z)

With a span that looks ahead it is the paper's bidirectional network (bc-LSTM), h_t being both directions end
to end; with a causal span its unidirectional twin (sc-LSTM). A recurrent state has no window: each direction
reads all there is on its side. An absent stream leaves its state as it is.

Shape suffixes: B conversations, N utterances, S streams, D width, E width of all directions (D or 2 D),
H states (N + 1, the first of them zero).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
        self.past = nn.ModuleList(nn.LSTM(dim, dim, batch_first=True) for _ in range(streams))
        if not span.causal:
            self.future = nn.ModuleList(nn.LSTM(dim, dim, batch_first=True) for _ in range(streams))
        self.drop = Dropout(dropout)
        self.dense = nn.ModuleList(nn.Linear(directions * dim, dim) for _ in range(streams))

    def forward(self, x_BNSD: Tensor, present_BNS: Tensor, speaker_BN: Tensor, valid_BN: Tensor) -> Tensor:
        present_BNS = present_BNS & valid_BN.unsqueeze(-1)
        x_BNSD = present_only(x_BNSD, present_BNS)
        h_BNSE = _read(self.past, x_BNSD, present_BNS)
        if not self.span.causal:
            # Padding comes first when turned round, and like all that is absent it leaves the state at zero.
            ahead_BNSD = _read(self.future, x_BNSD.flip(1), present_BNS.flip(1)).flip(1)
            h_BNSE = torch.cat([h_BNSE, ahead_BNSD], -1)
        return self._give(h_BNSE)

    def init_state(self, batch: int) -> State:
        if not self.span.causal:
            raise ValueError(f"bc-lstm with {self.span} cannot be stepped: it reads the utterances to come")
        zero_BSD = next(self.parameters()).new_zeros(batch, self.streams, self.dim)
        return State(h=zero_BSD, c=zero_BSD.clone())

    def step(
        self, x_BSD: Tensor, present_BS: Tensor, speaker_B: Tensor, state: State
    ) -> tuple[Tensor, State]:
        x_BSD, here = present_only(x_BSD, present_BS), present_BS.unsqueeze(-1)
        moved = [
            torch.lstm_cell(x_BSD[:, s], [state["h"][:, s], state["c"][:, s]], *lstm.parameters())
            for s, lstm in enumerate(self.past)
        ]
        h_BSD, c_BSD = (torch.stack(list(rows), 1) for rows in zip(*moved, strict=True))
        h_BSD, c_BSD = torch.where(here, h_BSD, state["h"]), torch.where(here, c_BSD, state["c"])
        return self._give(h_BSD), State(h=h_BSD, c=c_BSD)

    def _give(self, h: Tensor) -> Tensor:
        """The dense layer of each stream, ``[..., S, D]``."""
        h = self.drop(h)
        return F.relu(torch.stack([dense(h[..., s, :]) for s, dense in enumerate(self.dense)], -2))


def _read(units: nn.ModuleList, x_BNSD: Tensor, present_BNS: Tensor) -> Tensor:
    """h ``[B, N, S, D]`` of each stream after each utterance.

    The present rows are moved together, so that one call of the fast LSTM reads them; an absent utterance
    then finds the state after the latest that was present.
    """
    # The fast LSTM has no half precision on every processor: it reads in the precision of its weights.
    x_BNSD = x_BNSD.to(next(units.parameters()).dtype)
    order_BNS = torch.argsort((~present_BNS).to(torch.uint8), dim=1, stable=True)
    x_BNSD = x_BNSD.gather(1, order_BNS.unsqueeze(-1).expand_as(x_BNSD))
    with torch.autocast(x_BNSD.device.type, enabled=False):
        h_BNSD = torch.stack([lstm(x_BNSD[:, :, s].contiguous())[0] for s, lstm in enumerate(units)], 2)
    h_BHSD = F.pad(h_BNSD, (0, 0, 0, 0, 1, 0))
    return h_BHSD.gather(1, present_BNS.cumsum(1).unsqueeze(-1).expand_as(h_BNSD))
