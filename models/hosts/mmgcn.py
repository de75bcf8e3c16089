"""MMGCN: one graph in which every utterance has a node for each stream, and a deep convolution over it.

Hu et al., ACL 2021 (arXiv 2107.06779). The nodes x are the encoded streams. Two nodes i, j of one stream are
joined where the span lets one look at the other, two of one utterance always:

    A_ij = 1 - arccos(cos(x_i, x_j)) / pi         in a stream
    A_ij = gamma (1 - arccos(cos(x_i, x_j)) / pi)      in an utterance
    P = D^(-1/2) (A + I) D^(-1/2), D the degrees of A + I      where the span looks ahead, as published
    P = D^(-1) (A + I)                                         where the span is causal
    H_0 = ReLU(x W_H + b_H)
    H_l = ReLU(((1 - alpha) P H_{l-1} + alpha H_0) ((1 - beta_l) I + beta_l W_l)),  beta_l = log(eta / l + 1)
    result = W [x, H_L] + b                                                         for each stream

with initial residual and identity mapping from GCNII (Chen et al., arXiv 2007.02133). The degree of an older
node grows with every utterance that looks back at it; divided by the degree of the *receiving* node alone,
the causal graph never changes a row that has been given, so `step` keeps x and H_0 .. H_{L-1} of the window
and equals `forward` (L layers see L (W - 1) utterances back).

As in the paper the first stream, text where there is text, is encoded by an LSTM (bidirectional where the
span looks ahead) and the others by a linear map, here the model's own on its inputs; the embedding of the
speaker is in the inputs already. A stream that is absent has no node there; its row of the result is zero.

Shape suffixes: B conversations, N utterances, T receiving, J sending, S streams, D width, L layers,
W utterances remembered.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.hosts import lstm
from models.hosts.base import Host
from models.hosts.dropout import Dropout
from models.hosts.linear import StreamLinear
from models.masks import present_only
from models.span import Span
from models.state import State, rolled

PARALLEL = 1 - 1e-5  # the slope of arccos has no bound at 1


class Encoder(nn.Module):
    """An LSTM over the present rows of one stream; an absent row leaves its state as it is."""

    def __init__(self, dim: int, *, both: bool) -> None:
        super().__init__()
        if both and dim % 2:
            raise ValueError(f"width {dim} must be even for two directions")
        width = dim // 2 if both else dim
        self.past = nn.LSTM(dim, width, batch_first=True)
        self.future = nn.LSTM(dim, width, batch_first=True) if both else None

    def forward(self, x_BND: Tensor, present_BN: Tensor) -> Tensor:
        """The hidden state after each utterance, ``[B, N, D]``."""
        return lstm.read(self.past, self.future, x_BND, present_BN)

    def step(self, x_BD: Tensor, present_B: Tensor, h_BD: Tensor, c_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden state and cell after one utterance."""
        return lstm.step(self.past, x_BD, present_B, h_BD, c_BD)


class Mmgcn(Host):
    """See the module.

    Args:
        layers: L; alpha: share of the first layer in every other, 0..1; eta: how much the maps of the layers
        count; gamma: the weight of edges between streams. The defaults of alpha and eta are those of GCNII.

    Raises:
        ValueError: an option out of range, or an odd width where two directions share it.
    """

    def __init__(
        self,
        *,
        streams: int,
        dim: int,
        span: Span,
        speakers: int = 8,
        dropout: float = 0.2,
        layers: int = 4,
        alpha: float = 0.1,
        eta: float = 0.5,
        gamma: float = 0.7,
    ) -> None:
        super().__init__(streams=streams, dim=dim, span=span, speakers=speakers, dropout=dropout)
        if layers < 1 or not 0 <= alpha <= 1 or eta < 0 or gamma < 0:
            raise ValueError(
                f"layers {layers}, alpha {alpha}, eta {eta}, gamma {gamma}: at least one layer, "
                "alpha in 0..1, the others not negative"
            )
        self.alpha, self.gamma = alpha, gamma
        self.betas = [math.log(eta / layer + 1) for layer in range(1, layers + 1)]
        self.encoder = Encoder(dim, both=not span.causal)
        self.first = nn.Linear(dim, dim)
        bound = dim**-0.5
        self.map_LDD = nn.Parameter(torch.empty(layers, dim, dim).uniform_(-bound, bound))
        self.result = StreamLinear(streams, 2 * dim, dim)
        self.drop = Dropout(dropout)

    def forward(self, x_BNSD: Tensor, present_BNS: Tensor, speaker_BN: Tensor, valid_BN: Tensor) -> Tensor:
        present_BNS = present_BNS & valid_BN.unsqueeze(-1)
        n, device = x_BNSD.shape[1], x_BNSD.device
        x_SBND, present_SBN = (
            present_only(x_BNSD, present_BNS).permute(2, 0, 1, 3),
            present_BNS.permute(2, 0, 1),
        )
        x_SBND = torch.cat([self.encoder(x_SBND[0], present_SBN[0]).unsqueeze(0), x_SBND[1:]])
        unit_SBND, self_NN = _unit(x_SBND), torch.eye(n, dtype=torch.bool, device=device)
        edge_SBNN = self.span.mask(n, device) & present_SBN.unsqueeze(2)
        within_SBNN = _within(unit_SBND, unit_SBND, edge_SBNN, self_NN)
        across_BNSS = self._across(unit_SBND, present_SBN)
        degree_SBN = within_SBNN.sum(-1) + across_BNSS.sum(-1).permute(2, 0, 1)
        if self.span.causal:
            within_SBNN = within_SBNN / degree_SBN.unsqueeze(-1)
            across_BNSS = across_BNSS / degree_SBN.permute(1, 2, 0).unsqueeze(-1)
        else:
            root_SBN = degree_SBN.rsqrt()
            within_SBNN = within_SBNN * root_SBN.unsqueeze(-1) * root_SBN.unsqueeze(-2)
            root_BNS = root_SBN.permute(1, 2, 0)
            across_BNSS = across_BNSS * root_BNS.unsqueeze(-1) * root_BNS.unsqueeze(-2)
        h_SBND = first_SBND = self._start(x_SBND)
        for layer in range(len(self.betas)):
            h_SBND = self._layer(layer, within_SBNN, across_BNSS, h_SBND, h_SBND, first_SBND)
        return self._end(x_SBND, h_SBND, present_BNS)

    def init_state(self, batch: int) -> State:
        new, s, d, w = self.map_LDD.new_zeros, self.streams, self.dim, self.span.window
        return State(
            lstm=new(batch, d),
            cell=new(batch, d),
            unit=new(batch, w, s, d),
            layer=new(batch, len(self.betas), w, s, d),
            there=new(batch, w, s, dtype=torch.bool),
        )

    def step(
        self, x_BSD: Tensor, present_BS: Tensor, speaker_B: Tensor, state: State
    ) -> tuple[Tensor, State]:
        w, present_SB1 = self.span.window, present_BS.T.unsqueeze(-1)
        x_BSD = present_only(x_BSD, present_BS)
        lstm_BD, cell_BD = self.encoder.step(x_BSD[:, 0], present_BS[:, 0], state["lstm"], state["cell"])
        x_SB1D = torch.cat([lstm_BD.unsqueeze(1), x_BSD[:, 1:]], 1).transpose(0, 1).unsqueeze(2)
        unit_SB1D = _unit(x_SB1D)
        unit_BWSD = rolled(state["unit"], unit_SB1D.permute(1, 2, 0, 3))
        there_BWS = rolled(state["there"], present_BS.unsqueeze(1))
        self_1W = torch.arange(w, device=x_BSD.device).unsqueeze(0) == w - 1
        edge_SB1W = there_BWS.permute(2, 0, 1).unsqueeze(2)
        within_SB1W = _within(unit_SB1D, unit_BWSD.permute(2, 0, 1, 3), edge_SB1W, self_1W)
        across_B1SS = self._across(unit_SB1D, present_SB1)
        degree_SB1 = within_SB1W.sum(-1) + across_B1SS.sum(-1).permute(2, 0, 1)
        within_SB1W = within_SB1W / degree_SB1.unsqueeze(-1)
        across_B1SS = across_B1SS / degree_SB1.permute(1, 2, 0).unsqueeze(-1)
        h_SB1D = first_SB1D = self._start(x_SB1D)
        layers = []
        for layer in range(len(self.betas)):
            layers.append(rolled(state["layer"][:, layer], h_SB1D.permute(1, 2, 0, 3)))
            h_SBWD = layers[-1].permute(2, 0, 1, 3)
            h_SB1D = self._layer(layer, within_SB1W, across_B1SS, h_SBWD, h_SB1D, first_SB1D)
        h_BSD = self._end(x_SB1D, h_SB1D, present_BS.unsqueeze(1)).squeeze(1)
        layer_BLWSD = torch.stack(layers, 1)
        return h_BSD, State(lstm=lstm_BD, cell=cell_BD, unit=unit_BWSD, layer=layer_BLWSD, there=there_BWS)

    def _across(self, unit_SBTD: Tensor, present_SBT: Tensor) -> Tensor:
        """Edges between the streams of an utterance, ``[B, T, S, S]``."""
        unit_BTSD, present_BTS = unit_SBTD.permute(1, 2, 0, 3), present_SBT.permute(1, 2, 0)
        other_SS = ~torch.eye(self.streams, dtype=torch.bool, device=unit_SBTD.device)
        edge_BTSS = present_BTS.unsqueeze(-1) & present_BTS.unsqueeze(-2) & other_SS
        return torch.where(edge_BTSS, self.gamma * _angular(unit_BTSD, unit_BTSD), 0.0)

    def _start(self, x_SBTD: Tensor) -> Tensor:
        """H_0."""
        return F.relu(self.first(self.drop(x_SBTD)))

    def _layer(
        self,
        layer: int,
        within_SBTJ: Tensor,
        across_BTSS: Tensor,
        h_SBJD: Tensor,
        h_SBTD: Tensor,
        first_SBTD: Tensor,
    ) -> Tensor:
        """Rows T of the layer after ``h``, from its rows J in each stream and T in each utterance."""
        heard_SBTD = within_SBTJ @ h_SBJD + (across_BTSS @ h_SBTD.permute(1, 2, 0, 3)).permute(2, 0, 1, 3)
        mixed_SBTD = torch.lerp(heard_SBTD, first_SBTD.to(heard_SBTD.dtype), self.alpha)
        beta, map_DD = self.betas[layer], self.map_LDD[layer]
        one_DD = torch.eye(len(map_DD), dtype=map_DD.dtype, device=map_DD.device)
        dropped_SBTD: Tensor = self.drop(F.relu(mixed_SBTD @ torch.lerp(one_DD, map_DD, beta)))
        return dropped_SBTD

    def _end(self, x_SBTD: Tensor, h_SBTD: Tensor, present_BTS: Tensor) -> Tensor:
        """The result ``[B, T, S, D]``."""
        result_SBTD = self.result(torch.cat([x_SBTD, h_SBTD], -1))
        return present_only(result_SBTD.permute(1, 2, 0, 3), present_BTS)


def _unit(x: Tensor) -> Tensor:
    return F.normalize(x, dim=-1, eps=1e-3)


def _angular(unit_TD: Tensor, unit_JD: Tensor) -> Tensor:
    """Angular similarity of unit rows ``[..., T, J]``, 0..1."""
    cosine_TJ = unit_TD @ unit_JD.transpose(-1, -2)
    cosine_TJ = cosine_TJ.to(
        torch.promote_types(cosine_TJ.dtype, torch.float32)
    )  # half precision rounds to 1
    return (1 - torch.acos(cosine_TJ.clamp(-PARALLEL, PARALLEL)) / math.pi).to(unit_TD.dtype)


def _within(unit_SBTD: Tensor, unit_SBJD: Tensor, edge_SBTJ: Tensor, self_TJ: Tensor) -> Tensor:
    """The part of A + I in the streams, ``[S, B, T, J]``."""
    weight_SBTJ = torch.where(edge_SBTJ & ~self_TJ, _angular(unit_SBTD, unit_SBJD), 0.0)
    return weight_SBTJ + self_TJ.to(weight_SBTJ.dtype)
