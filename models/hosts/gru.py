"""The host that ships: causal recurrent streams for each modality, joined by low-rank matching attention.

Each modality has its own map to width D and two gated recurrent units (Cho et al. 2014): one over the whole
conversation, one over the utterances of the same speaker (the party state of DialogueRNN, Majumder et al.
2019). A modality that is absent leaves its states as they are. Everything looks back only.

Shape suffixes: B conversations, N utterances, M modalities, D width, G gates (3 D), S speakers told apart,
W utterances remembered, R rank, C classes, T/A/V text, audio and visual features.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.dialogue import MODALITIES, Dialogue, Turn
from models.lmam import Form
from models.masks import present_only
from models.span import Span
from models.state import State as Memory


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes; ``window`` and ``speakers`` in numbers of utterances and people, ``dropout`` 0..1.

    ``audio`` counts the measures of the voice, ``voice`` what the voice network says of it (0: it is not
    heard); `models.dialogue.voice_vector` joins them.
    """

    text: int = 384
    audio: int = 7
    voice: int = 0
    visual: int = 64
    dim: int = 128
    rank: int = 16
    window: int = 16
    speakers: int = 8
    classes: int = 7
    dropout: float = 0.2

    @property
    def heard(self) -> int:
        """A of `Turn.audio_BA`."""
        return self.audio + (self.voice + 1 if self.voice else 0)


@dataclass(frozen=True, slots=True)
class State:
    """All that a conversation carries from one utterance to the next; its size never grows."""

    global_BMD: Tensor
    party_BSMD: Tensor
    memory_BWMD: Tensor
    key_BWMR: Tensor
    there_BWM: Tensor

    def to(self, device: str | torch.device) -> State:
        """The same state on ``device``."""
        return State(**{n: t.to(device) for n, t in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        """A flat dict for storage; ``State(**tensors)`` is the way back."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


class Streams(nn.Module):
    """One gated recurrent unit for each modality, run as one batched product."""

    def __init__(self, modalities: int, dim: int) -> None:
        super().__init__()
        bound = dim**-0.5
        self.input_MDG = nn.Parameter(torch.empty(modalities, dim, 3 * dim).uniform_(-bound, bound))
        self.hidden_MDG = nn.Parameter(torch.empty(modalities, dim, 3 * dim).uniform_(-bound, bound))
        self.bias_MG = nn.Parameter(torch.zeros(modalities, 3 * dim))
        self.hidden_bias_MG = nn.Parameter(torch.zeros(modalities, 3 * dim))

    def gates(self, x: Tensor) -> Tensor:
        """What the input ``[..., M, D]`` adds to the gates, ``[..., M, 3 D]``."""
        return torch.einsum("...md,mdg->...mg", x, self.input_MDG) + self.bias_MG

    def forward(self, gates_BMG: Tensor, h_BMD: Tensor) -> Tensor:
        """The next hidden state."""
        own_BMG = torch.einsum("bmd,mdg->bmg", h_BMD, self.hidden_MDG) + self.hidden_bias_MG
        r, z, n = gates_BMG.chunk(3, -1)
        r_own, z_own, n_own = own_BMG.chunk(3, -1)
        update = torch.sigmoid(z + z_own)
        return (1 - update) * torch.tanh(n + torch.sigmoid(r + r_own) * n_own) + update * h_BMD


class GruLmam(nn.Module):
    """The conversation model; `Steppable` over `Dialogue` and `Turn`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        c = self.config = config
        m = len(MODALITIES)
        # the embedding of a voice is scaled; where it is absent, a norm would blow up the measures
        sizes = ((c.text, c.text > 16), (c.heard, c.heard > 16 and not c.voice), (c.visual, c.visual > 16))
        self.maps = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(s), nn.Linear(s, c.dim)) if normed else nn.Linear(s, c.dim)
            for s, normed in sizes
        )
        self.speaker = nn.Embedding(c.speakers, c.dim)
        nn.init.normal_(self.speaker.weight, std=0.02)
        self.whole, self.party = Streams(m, c.dim), Streams(m, c.dim)
        self.drop = nn.Dropout(c.dropout)
        self.lmam = Form(rank=c.rank, memory="all").build(modalities=m, dim=c.dim, span=Span(c.window))
        self.head = nn.Sequential(nn.LayerNorm(c.dim), nn.Dropout(c.dropout), nn.Linear(c.dim, c.classes))

    def init_state(self, batch: int) -> State:
        """Before the first utterance of ``batch`` conversations."""
        c, m = self.config, len(MODALITIES)
        new = self.speaker.weight.new_zeros
        memory = self.lmam.memory(batch)
        return State(
            new(batch, m, c.dim),
            new(batch, c.speakers, m, c.dim),
            memory["h"],
            memory["key"],
            memory["there"],
        )

    def step(self, turn: Turn, state: State) -> tuple[Tensor, State]:
        """Logits ``[B, C]`` of one utterance of each conversation, and the state after it."""
        x_BMD = self._inputs((turn.text_BT, turn.audio_BA, turn.visual_BV), turn.present_BM, turn.speaker_B)
        gates = self.whole.gates(x_BMD), self.party.gates(x_BMD)
        h_BMD, state = self._recur(x_BMD, gates, turn.present_BM, self._who(turn.speaker_B), state)
        memory = Memory(h=state.memory_BWMD, key=state.key_BWMR, there=state.there_BWM)
        z_BD, memory = self.lmam.step(h_BMD, turn.present_BM, memory)
        state = replace(state, memory_BWMD=memory["h"], key_BWMR=memory["key"], there_BWM=memory["there"])
        logits_BC: Tensor = self.head(z_BD)
        return logits_BC, state

    def forward(self, dialogue: Dialogue) -> Tensor:
        """Logits ``[B, N, C]`` of whole conversations, each utterance from itself and what came before.

        What stands in the rows of padding means nothing.
        """
        d = dialogue
        present_BNM = d.present_BNM & d.valid_BN.unsqueeze(-1)
        speaker_BN = torch.where(d.valid_BN, d.speaker_BN, 0)
        x_BNMD = self._inputs((d.text_BNT, d.audio_BNA, d.visual_BNV), present_BNM, speaker_BN)
        whole_BNMG, party_BNMG = self.whole.gates(x_BNMD), self.party.gates(x_BNMD)
        who_BN = self._who(speaker_BN)
        state, rows = self.init_state(x_BNMD.shape[0]), []
        for n in range(x_BNMD.shape[1]):
            gates = whole_BNMG[:, n], party_BNMG[:, n]
            h_BMD, state = self._recur(x_BNMD[:, n], gates, present_BNM[:, n], who_BN[:, n], state)
            rows.append(h_BMD)
        logits_BNC: Tensor = self.head(self.lmam(torch.stack(rows, 1), present_BNM))
        return logits_BNC

    def _who(self, speaker: Tensor) -> Tensor:
        return speaker.clamp(max=self.config.speakers - 1)

    def _inputs(self, features: tuple[Tensor, Tensor, Tensor], present: Tensor, speaker: Tensor) -> Tensor:
        """Each modality at width D with its speaker, ``[..., M, D]``; zero where absent."""
        mapped = [
            map_(present_only(f, present[..., m]))
            for m, (map_, f) in enumerate(zip(self.maps, features, strict=True))
        ]
        x = F.gelu(torch.stack(mapped, -2)) + self.speaker(self._who(speaker)).unsqueeze(-2)
        return present_only(self.drop(x), present)

    def _recur(
        self, x_BMD: Tensor, gates: tuple[Tensor, Tensor], present_BM: Tensor, who_B: Tensor, state: State
    ) -> tuple[Tensor, State]:
        """h = input + conversation + speaker, and the state in which both streams have moved on."""
        at = (torch.arange(who_B.shape[0], device=who_B.device), who_B)
        before_BMD = state.party_BSMD[at]
        here = present_BM.unsqueeze(-1)
        whole_BMD = torch.where(here, self.whole(gates[0], state.global_BMD), state.global_BMD)
        party_BMD = torch.where(here, self.party(gates[1], before_BMD), before_BMD)
        state = replace(state, global_BMD=whole_BMD, party_BSMD=state.party_BSMD.index_put(at, party_BMD))
        return x_BMD + whole_BMD + party_BMD, state
