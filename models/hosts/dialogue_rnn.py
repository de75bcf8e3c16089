"""DialogueRNN: the states of the conversation, of each party and of the emotion, each a gated recurrent unit.

Majumder et al., "DialogueRNN: An Attentive RNN for Emotion Detection in Conversations", AAAI 2019
(arXiv 1811.00405), for the utterance u_t of the speaker s, with (+) for end to end:

    global state     g_t = GRU_G(g_{t-1}, u_t (+) q_{s,t-1})
    attention        a_t = softmax(u_t^T W_a [g_1 .. g_{t-1}]),  c_t = a_t [g_1 .. g_{t-1}]^T
    speaker          q_{s,t} = GRU_P(q_{s,t-1}, u_t (+) c_t)
    other parties    q_{i,t} = q_{i,t-1}, or with ``listeners`` GRU_L(q_{i,t-1}, v_{i,t} (+) c_t)
    emotion          e_t = GRU_E(e_{t-1}, q_{s,t})
    output           l_t = ReLU(W_l e_t + b_l)

v_{i,t}, the face of the listener, is in no data set here: what the listener hears, u_t, stands for it. All
widths are D. W (u (+) q) is computed as W' u + W'' q, the first of them for the whole conversation at once.

A span that looks ahead makes the bidirectional network: a second one reads the valid part from its end, and
e_t is both end to end. The states reach back to the beginning; the attention reads the g_j of the span, t
itself left out, so that a step remembers past - 1 of them. An absent stream leaves its states as they are,
and has no row in the memory of the attention.

Shape suffixes: B conversations, N utterances, S streams, K streams of all directions (S or 2 S), M units (the
K global ones, then the K of the parties), D width, G gates (3 D), P parties, W global states remembered.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from models.hosts.attended_recurrence import Weights, attended
from models.hosts.base import Host
from models.hosts.dropout import Dropout
from models.hosts.gru import Streams
from models.hosts.linear import StreamLinear
from models.hosts.recurrence import gru, predecessors, taken
from models.masks import masked_softmax, present_only
from models.span import Span
from models.state import State, rolled


class DialogueRnn(Host):
    """See the module. ``listeners``: every other party moves on as well when one speaks."""

    def __init__(
        self,
        *,
        streams: int,
        dim: int,
        span: Span,
        speakers: int = 8,
        dropout: float = 0.2,
        listeners: bool = False,
    ) -> None:
        super().__init__(streams=streams, dim=dim, span=span, speakers=speakers, dropout=dropout)
        directions = 1 if span.causal else 2
        k = self.all_streams = directions * streams
        self.heard = StreamLinear(2 * k, dim, 3 * dim, bias=False)  # W' of the global and the party units
        self.units = Streams(2 * k, dim)  # and their W'', which takes q for the former, c for the latter
        self.ask = StreamLinear(k, dim, dim, bias=False)
        self.emotion = Streams(k, dim)
        if listeners:
            self.heard_listening, self.listener = StreamLinear(k, dim, 3 * dim, bias=False), Streams(k, dim)
        self.listeners = listeners
        self.drop = Dropout(dropout)
        self.give = StreamLinear(streams, directions * dim, dim)

    def forward(self, x_BNSD: Tensor, present_BNS: Tensor, speaker_BN: Tensor, valid_BN: Tensor) -> Tensor:
        present_BNS = present_BNS & valid_BN.unsqueeze(-1)
        x_KNBD = present_only(x_BNSD, present_BNS).permute(2, 1, 0, 3)
        present_KNB = present_BNS.permute(2, 1, 0)
        who_KNB = speaker_BN.clamp(max=self.speakers - 1).t().expand_as(present_KNB)
        if not self.span.causal:
            # Padding comes first when turned round, and like all that is absent it leaves the states at zero.
            x_KNBD, present_KNB, who_KNB = (torch.cat([t, t.flip(1)]) for t in (x_KNBD, present_KNB, who_KNB))
        run = self._one_by_one if self.listeners else self._at_once
        e_KNBD = run(x_KNBD, present_KNB, who_KNB)
        if not self.span.causal:
            past_SNBD, future_SNBD = e_KNBD.chunk(2)
            e_KNBD = torch.cat([past_SNBD, future_SNBD.flip(1)], -1)
        return self._give(e_KNBD).permute(2, 1, 0, 3)

    def _give(self, e_SXE: Tensor) -> Tensor:
        """l ``[S, ..., D]``."""
        return F.relu(self.give(self.drop(e_SXE)))

    def _at_once(self, x_KNBD: Tensor, present_KNB: Tensor, who_KNB: Tensor) -> Tensor:
        """The emotion states of whole conversations."""
        u, e = self.units, self.emotion
        alone_KNB = predecessors(present_KNB)
        q_KNBD = attended(
            self.heard(torch.cat([x_KNBD, x_KNBD])) + u.bias_MG[:, None, None],
            self.ask(x_KNBD),
            present_KNB,
            torch.cat([alone_KNB, predecessors(present_KNB, who_KNB, self.speakers)]),
            self._reach(x_KNBD.shape[1]),
            Weights(u.input_MDG, u.hidden_MDG, u.hidden_bias_MG),
        )
        gates_KNBG = taken(q_KNBD, e.input_MDG, e.bias_MG)
        return gru(gates_KNBG, present_KNB, alone_KNB, e.hidden_MDG, e.hidden_bias_MG)

    def _reach(self, n: int) -> list[int]:
        """How many of the ``n`` global states before its own each of K streams may read."""
        past = n if self.span.past is None else min(n, self.span.past - 1)
        # What is to come is the past of a direction that reads from the end.
        future = n if self.span.future is None else min(n, self.span.future)
        return [past] * self.streams + [future] * (self.all_streams - self.streams)

    def _one_by_one(self, x_KNBD: Tensor, present_KNB: Tensor, who_KNB: Tensor) -> Tensor:
        """`_at_once` by way of `_recur`, for parties that move on while others speak."""
        reach, device = self._reach(x_KNBD.shape[1]), x_KNBD.device
        age_W1 = torch.arange(max(reach), 0, -1, device=device).unsqueeze(1)
        near_WK = age_W1 <= torch.tensor(reach, device=device)
        state, rows = self._blank(x_KNBD.shape[2], max(reach)), []
        for x_KBD, present_KB, who_KB in zip(
            *(t.unbind(1) for t in (x_KNBD, present_KNB, who_KNB)), strict=True
        ):
            seen = State(**{**state.tensors(), "there": state["there"] & near_WK})
            state = self._recur(x_KBD.transpose(0, 1), present_KB.t(), who_KB.t(), seen)
            rows.append(state["emotion"].transpose(0, 1))
        return torch.stack(rows, 1)

    def init_state(self, batch: int) -> State:
        return self._blank(batch, self.span.window - 1)

    def _blank(self, batch: int, rows: int) -> State:
        new, k, d = self.units.bias_MG.new_zeros, self.all_streams, self.dim
        return State(
            whole=new(batch, k, d),
            party=new(batch, self.speakers, k, d),
            emotion=new(batch, k, d),
            memory=new(batch, rows, k, d),
            there=new(batch, rows, k, dtype=torch.bool),
        )

    def step(
        self, x_BSD: Tensor, present_BS: Tensor, speaker_B: Tensor, state: State
    ) -> tuple[Tensor, State]:
        who_BS = speaker_B.clamp(max=self.speakers - 1).unsqueeze(1).expand_as(present_BS)
        state = self._recur(present_only(x_BSD, present_BS), present_BS, who_BS, state)
        return self._give(state["emotion"].transpose(0, 1)).transpose(0, 1), state

    def _recur(self, x_BKD: Tensor, present_BK: Tensor, who_BK: Tensor, state: State) -> State:
        """The state in which every unit of every present stream has moved on."""
        here, x_KBD = present_BK.unsqueeze(-1), x_BKD.transpose(0, 1)
        at_B1KD = who_BK[:, None, :, None].expand_as(state["party"][:, :1])
        q_BKD = state["party"].gather(1, at_B1KD).squeeze(1)
        score_BKW = torch.einsum("kbd,bwkd->bkw", self.ask(x_KBD), state["memory"])
        weight_BKW = masked_softmax(score_BKW, state["there"].transpose(1, 2))
        c_BKD = torch.einsum("bkw,bwkd->bkd", weight_BKW, state["memory"])
        old_BMD, other_BMD = torch.cat([state["whole"], q_BKD], 1), torch.cat([q_BKD, c_BKD], 1)
        heard_BMG = self.heard(torch.cat([x_KBD, x_KBD])).transpose(0, 1)
        new_BMD = self.units(heard_BMG + self.units.gates(other_BMD), old_BMD)
        g_BKD, q_BKD = torch.where(here.repeat(1, 2, 1), new_BMD, old_BMD).chunk(2, 1)
        e_BKD = self.emotion(self.emotion.gates(q_BKD), state["emotion"])
        party_BPKD = self._listen(x_KBD, c_BKD, here, state["party"]) if self.listeners else state["party"]
        return State(
            whole=g_BKD,
            party=party_BPKD.scatter(1, at_B1KD, q_BKD.unsqueeze(1)),
            emotion=torch.where(here, e_BKD, state["emotion"]),
            memory=rolled(state["memory"], g_BKD.unsqueeze(1)),
            there=rolled(state["there"], present_BK.unsqueeze(1)),
        )

    def _listen(self, x_KBD: Tensor, c_BKD: Tensor, here_BK1: Tensor, party_BPKD: Tensor) -> Tensor:
        """Every party as if it had listened."""
        gates_BKG = self.heard_listening(x_KBD).transpose(0, 1) + self.listener.gates(c_BKD)
        gates_BPKG = gates_BKG.unsqueeze(1).expand(*party_BPKD.shape[:3], -1)
        new = self.listener(gates_BPKG.flatten(0, 1), party_BPKD.flatten(0, 1)).view_as(party_BPKD)
        return torch.where(here_BK1.unsqueeze(1), new, party_BPKD)
