"""Speaker-aware gated recurrent streams: the host of the model that ships, as an exchangeable part.

Each stream has two gated recurrent units (Cho et al. 2014): one over the whole conversation, one over the
utterances of the same speaker (the party state of DialogueRNN, Majumder et al., arXiv 1811.00405); what it
gives is input + conversation + speaker. An absent stream leaves its states as they are. It looks back only,
whatever the span.

Shape suffixes: B conversations, N utterances, S streams, D width, P speakers told apart, G gates (3 D),
M units (of the conversation, then of the party, for each stream).
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.hosts.base import Host
from models.hosts.gru import Streams
from models.hosts.recurrence import gru, predecessors, taken
from models.masks import present_only
from models.span import Span
from models.state import State


class SpeakerGru(Host):
    """See the module; no options of its own."""

    def __init__(
        self, *, streams: int, dim: int, span: Span, speakers: int = 8, dropout: float = 0.2
    ) -> None:
        super().__init__(streams=streams, dim=dim, span=span, speakers=speakers, dropout=dropout)
        self.whole, self.party = Streams(streams, dim), Streams(streams, dim)

    def forward(self, x_BNSD: Tensor, present_BNS: Tensor, speaker_BN: Tensor, valid_BN: Tensor) -> Tensor:
        present_BNS = present_BNS & valid_BN.unsqueeze(-1)
        x_BNSD = present_only(x_BNSD, present_BNS)
        x_SNBD, present_SNB = x_BNSD.permute(2, 1, 0, 3), present_BNS.permute(2, 1, 0)
        who_SNB = speaker_BN.clamp(max=self.speakers - 1).t().expand_as(present_SNB)
        before = predecessors(present_SNB), predecessors(present_SNB, who_SNB, self.speakers)
        # Both units of every stream as one product.
        units = self.whole, self.party
        gates_MNBG = taken(
            torch.cat([x_SNBD, x_SNBD]),
            torch.cat([u.input_MDG for u in units]),
            torch.cat([u.bias_MG for u in units]),
        )
        h_MNBD = gru(
            gates_MNBG,
            torch.cat([present_SNB, present_SNB]),
            torch.cat(before),
            torch.cat([u.hidden_MDG for u in units]),
            torch.cat([u.hidden_bias_MG for u in units]),
        )
        whole_SNBD, party_SNBD = h_MNBD.chunk(2)
        return (x_SNBD + whole_SNBD + party_SNBD).permute(2, 1, 0, 3)

    def init_state(self, batch: int) -> State:
        new, s, d = self.whole.bias_MG.new_zeros, self.streams, self.dim
        return State(whole=new(batch, s, d), party=new(batch, self.speakers, s, d))

    def step(
        self, x_BSD: Tensor, present_BS: Tensor, speaker_B: Tensor, state: State
    ) -> tuple[Tensor, State]:
        x_BSD = present_only(x_BSD, present_BS)
        gates = self.whole.gates(x_BSD), self.party.gates(x_BSD)
        return self._recur(x_BSD, gates, present_BS, speaker_B, state)

    def _recur(
        self,
        x_BSD: Tensor,
        gates: tuple[Tensor, Tensor],
        present_BS: Tensor,
        speaker_B: Tensor,
        state: State,
    ) -> tuple[Tensor, State]:
        """The output and the state in which both units of every present stream have moved on."""
        who_B = speaker_B.clamp(max=self.speakers - 1)
        at = (torch.arange(who_B.shape[0], device=who_B.device), who_B)
        here, before_BSD = present_BS.unsqueeze(-1), state["party"][at]
        whole_BSD = torch.where(here, self.whole(gates[0], state["whole"]), state["whole"])
        party_BSD = torch.where(here, self.party(gates[1], before_BSD), before_BSD)
        after = State(whole=whole_BSD, party=state["party"].index_put(at, party_BSD))
        return x_BSD + whole_BSD + party_BSD, after
