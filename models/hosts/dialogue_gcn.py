"""DialogueGCN: a graph of the utterances near each other, with a relation for who follows whom.

Ghosal et al., EMNLP 2019 (arXiv 1908.11540), for each stream by itself:

    sequential context   g_i = GRU(g_{i-1}, u_i); bidirectional where the span looks ahead
    edge weights         a_ij = softmax over j in i-p .. i+f of g_i^T W_e g_j
    first step           h1_i = ReLU(sum_r sum_{j in N_ir} a_ij / c_ir W_r g_j + a_ii W_0 g_i), c_ir = |N_ir|
    second step          h2_i = ReLU(sum_{j in N_i} W_2 h1_j + W_02 h1_i)
    result               W [g_i, h2_i] + b

The paper has a relation for each ordered pair of speakers and each direction in time. Here speakers are
anonymous, a number in order of appearance that means nothing in the next conversation, so the pairs are two,
same and other: with past and future four relations, two of them when nothing ahead is read; a node's edge to
itself has W_0. The paper's attention over all nodes before its classifier is left to the fusion and the head.

Every sum and every c_ir is over the neighbours of the *receiving* node, so a causal graph never changes a row
that has been given: `step` keeps g and h1 of the window and equals `forward`. A stream that is absent has no
node there; its row of the result is zero. The recurrent unit carries context from before the window.

Shape suffixes: B conversations, N utterances, T receiving, J sending, S streams, D width, K streams and
directions (S, or 2 S when bidirectional), E width of a direction (D or D / 2), G gates (3 E), R relations,
Q relations times width, W utterances kept.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.hosts.base import Host
from models.hosts.dropout import Dropout
from models.hosts.linear import StreamLinear
from models.hosts.recurrence import gru, predecessors
from models.masks import masked_softmax, present_only
from models.span import Span
from models.state import State, rolled


class Gru(nn.Module):
    """One gated recurrent unit (Cho et al. 2014) for each stream and direction, as one batched product."""

    def __init__(self, streams: int, dim: int, directions: int) -> None:
        super().__init__()
        if dim % directions:
            raise ValueError(f"width {dim} must be even for two directions")
        self.directions, self.width = directions, dim // directions
        k = streams * directions
        self.read = StreamLinear(k, dim, 3 * self.width)
        bound = self.width**-0.5
        self.own_KEG = nn.Parameter(torch.empty(k, self.width, 3 * self.width).uniform_(-bound, bound))
        self.own_KG = nn.Parameter(torch.zeros(k, 3 * self.width))

    def forward(self, x_SNBD: Tensor, present_SNB: Tensor) -> Tensor:
        """g ``[S, N, B, D]``; of an absent row, the state that it leaves as it is."""
        s = len(x_SNBD)
        if self.directions == 2:
            x_SNBD = torch.cat([x_SNBD, x_SNBD.flip(1)])
            present_SNB = torch.cat([present_SNB, present_SNB.flip(1)])
        before_KNB = predecessors(present_SNB)
        h_KNBE = gru(self.read(x_SNBD), present_SNB, before_KNB, self.own_KEG, self.own_KG)
        if self.directions == 1:
            return h_KNBE
        return torch.cat([h_KNBE[:s], h_KNBE[s:].flip(1)], -1)

    def step(self, x_SBD: Tensor, present_SB: Tensor, h_SBE: Tensor) -> Tensor:
        """The state after one utterance."""
        own_SBG = torch.baddbmm(self.own_KG.unsqueeze(1), h_SBE, self.own_KEG).to(h_SBE.dtype)
        r, z, new = self.read(x_SBD).to(h_SBE.dtype).chunk(3, -1)
        own_r, own_z, own_new = own_SBG.chunk(3, -1)
        candidate_SBE = torch.tanh(torch.addcmul(new, torch.sigmoid(r + own_r), own_new))
        after_SBE = torch.lerp(candidate_SBE, h_SBE, torch.sigmoid(z + own_z))
        return torch.where(present_SB.unsqueeze(-1), after_SBE, h_SBE)


class DialogueGcn(Host):
    """See the module.

    Args:
        past, future: how many utterances before and after are neighbours, where the span allows them.

    Raises:
        ValueError: a negative option, or an odd width where two directions share it.
    """

    def __init__(
        self,
        *,
        streams: int,
        dim: int,
        span: Span,
        speakers: int = 8,
        dropout: float = 0.2,
        past: int = 10,
        future: int = 10,
    ) -> None:
        super().__init__(streams=streams, dim=dim, span=span, speakers=speakers, dropout=dropout)
        if min(past, future) < 0:
            raise ValueError(f"past {past} and future {future} must be at least 0")
        self.near = Span(
            past + 1 if span.past is None else min(past + 1, span.past),
            future if span.future is None else min(future, span.future),
        )
        self.encoder = Gru(streams, dim, 1 if span.causal else 2)
        bound, relations = dim**-0.5, 3 if self.near.causal else 5
        self.match_SDD = nn.Parameter(torch.empty(streams, dim, dim).uniform_(-bound, bound))
        self.relation_SQD = nn.Parameter(torch.empty(streams, relations * dim, dim).uniform_(-bound, bound))
        self.second = StreamLinear(streams, 2 * dim, dim, bias=False)
        self.result = StreamLinear(streams, 2 * dim, dim)
        self.drop = Dropout(dropout)

    def forward(self, x_BNSD: Tensor, present_BNS: Tensor, speaker_BN: Tensor, valid_BN: Tensor) -> Tensor:
        present_BNS = present_BNS & valid_BN.unsqueeze(-1)
        n, device = x_BNSD.shape[1], x_BNSD.device
        x_SNBD = present_only(x_BNSD, present_BNS).permute(2, 1, 0, 3)
        g_SBND = self.drop(self.encoder(x_SNBD, present_BNS.permute(2, 1, 0)).transpose(1, 2))
        allowed_SBNN = self.near.mask(n, device) & present_BNS.permute(2, 0, 1).unsqueeze(2)
        age_NN = torch.arange(n, device=device)[:, None] - torch.arange(n, device=device)
        who_BN = speaker_BN.clamp(max=self.speakers - 1)
        kind_BRNN = self._relations(age_NN, who_BN.unsqueeze(2) == who_BN.unsqueeze(1))
        h1_SBND = self._first(g_SBND, g_SBND, kind_BRNN, allowed_SBNN)
        h_SBND = self._second(g_SBND, h1_SBND, h1_SBND, (age_NN != 0) & allowed_SBNN)
        return present_only(h_SBND.permute(1, 2, 0, 3), present_BNS)

    def init_state(self, batch: int) -> State:
        new, s = self.match_SDD.new_zeros, self.streams
        rows = min(self.span.window, self.near.window)
        return State(
            gru=new(batch, s, self.dim),
            g=new(batch, rows, s, self.dim),
            h1=new(batch, rows, s, self.dim),
            there=new(batch, rows, s, dtype=torch.bool),
            who=new(batch, rows, dtype=torch.long),
        )

    def step(
        self, x_BSD: Tensor, present_BS: Tensor, speaker_B: Tensor, state: State
    ) -> tuple[Tensor, State]:
        w = min(self.span.window, self.near.window)
        x_SBD = present_only(x_BSD, present_BS).transpose(0, 1)
        gru_SBD = self.encoder.step(x_SBD, present_BS.T, state["gru"].transpose(0, 1))
        new = State(g=gru_SBD.transpose(0, 1), there=present_BS, who=speaker_B.clamp(max=self.speakers - 1))
        kept = {name: rolled(state[name], row.unsqueeze(1)) for name, row in new.items()}
        age_1W = torch.arange(w - 1, -1, -1, device=x_BSD.device).unsqueeze(0)
        allowed_SB1W = kept["there"].permute(2, 0, 1).unsqueeze(2)
        kind_BR1W = self._relations(age_1W, (kept["who"] == new["who"].unsqueeze(1)).unsqueeze(1))
        g_SB1D, g_SBWD = self.drop(gru_SBD).unsqueeze(2), kept["g"].permute(2, 0, 1, 3)
        h1_SB1D = self._first(g_SB1D, g_SBWD, kind_BR1W, allowed_SB1W)
        kept["h1"] = rolled(state["h1"], h1_SB1D.permute(1, 2, 0, 3))
        h1_SBWD = kept["h1"].permute(2, 0, 1, 3)
        h_SB1D = self._second(g_SB1D, h1_SB1D, h1_SBWD, (age_1W != 0) & allowed_SB1W)
        after = State(gru=new["g"], **kept)
        return present_only(h_SB1D.squeeze(2).transpose(0, 1), present_BS), after

    def _relations(self, age_TJ: Tensor, same_BTJ: Tensor) -> Tensor:
        """``[B, R, T, J]`` bool: past same, past other, (future same, future other,) the node itself."""
        kinds = [same_BTJ & (age_TJ > 0), ~same_BTJ & (age_TJ > 0)]
        if not self.near.causal:
            kinds += [same_BTJ & (age_TJ < 0), ~same_BTJ & (age_TJ < 0)]
        return torch.stack([*kinds, (age_TJ == 0).expand_as(same_BTJ)], 1)

    def _first(self, g_SBTD: Tensor, g_SBJD: Tensor, kind_BRTJ: Tensor, allowed_SBTJ: Tensor) -> Tensor:
        """h1 ``[S, B, T, D]`` of nodes T from their neighbours J."""
        s, b, t, d = g_SBTD.shape
        asked_SBTD = torch.bmm(g_SBTD.flatten(1, 2), self.match_SDD).view(s, b, t, d)
        a_SBTJ = masked_softmax(asked_SBTD @ g_SBJD.transpose(2, 3), allowed_SBTJ)
        edge_SBRTJ = (kind_BRTJ & allowed_SBTJ.unsqueeze(2)).to(g_SBTD.dtype)
        share_SBRTJ = edge_SBRTJ / edge_SBRTJ.sum(-1, keepdim=True).clamp_min(1)
        sent_SBQD = (share_SBRTJ * a_SBTJ.unsqueeze(2)).flatten(2, 3) @ g_SBJD
        heard_SBTQ = sent_SBQD.view(s, b, -1, t, d).transpose(2, 3).flatten(3)
        return F.relu(torch.bmm(heard_SBTQ.flatten(1, 2), self.relation_SQD)).view(s, b, t, d)

    def _second(self, g_SBTD: Tensor, h1_SBTD: Tensor, h1_SBJD: Tensor, edge_SBTJ: Tensor) -> Tensor:
        """The result ``[S, B, T, D]`` of nodes T from the first step of their neighbours J."""
        heard_SBTD = edge_SBTJ.to(h1_SBTD.dtype) @ h1_SBJD
        h2_SBTD = self.drop(F.relu(self.second(torch.cat([heard_SBTD, h1_SBTD], -1))))
        result_SBTD: Tensor = self.result(torch.cat([g_SBTD, h2_SBTD], -1))
        return result_SBTD
