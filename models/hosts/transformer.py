"""The conversation transformer: windowed self-attention over the utterances of each stream.

Layers of multi-head attention and a feed-forward map (Vaswani et al., arXiv 1706.03762), normalised before
each of the two (Xiong et al., arXiv 2002.04745). The score of utterance j for utterance t in one head is

    q_t . k_j / sqrt(E) + age[t - j] + same * [the speaker of j is the speaker of t]

with a learned number for each age (relative positions as in Shaw et al., arXiv 1803.02155, and Raffel et al.,
arXiv 1910.10683) and one for the same speaker. Nothing depends on the place in the conversation, so that a
window that rolls is exact: `step` keeps the keys and values of the last W rows of every layer, and gives what
`forward` gives with the window's mask at every layer (L layers see L (W - 1) utterances back). An utterance
in which a stream is absent is no key of that stream; its row of the result is zero.

Shape suffixes: B conversations, N utterances, T asking, J asked, S streams, D width, L layers, H heads,
E width of a head, A ages, F feed-forward width, W utterances remembered, R rows.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.hosts.base import Host
from models.hosts.dropout import Dropout
from models.hosts.linear import StreamLinear
from models.masks import present_only
from models.span import Span
from models.state import State, rolled

NEVER = -3e4  # added to a score it makes the weight exactly zero, in half precision too


class Layer(nn.Module):
    """Pre-norm attention and feed-forward, the weights of all streams in one product.

    The gain and shift of each normalisation are part of the map after it.
    """

    def __init__(self, streams: int, dim: int, heads: int, ffn: int, ages: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.ask = StreamLinear(streams, dim, 3 * dim)
        self.tell = StreamLinear(streams, dim, dim)
        self.up = StreamLinear(streams, dim, ffn)
        self.down = StreamLinear(streams, ffn, dim)
        self.age_SHA = nn.Parameter(torch.zeros(streams, heads, ages))
        self.same_SH = nn.Parameter(torch.zeros(streams, heads))
        self.drop = Dropout(dropout)

    def asked(self, h_SBTD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value of each row, ``[S, B, T, D]`` each."""
        q, k, v = self.ask(F.layer_norm(h_SBTD, h_SBTD.shape[-1:])).chunk(3, -1)
        return q, k, v

    def bias(self, place_TJ: Tensor, same_BTJ: Tensor, mask_SBTJ: Tensor) -> Tensor:
        """What is added to the scores, ``[S, B, H, T, J]``; ``place_TJ`` is the place in ``age_SHA``."""
        age_S1HTJ, same_S1H11 = (
            self.age_SHA[:, :, place_TJ].unsqueeze(1),
            self.same_SH[:, None, :, None, None],
        )
        return torch.addcmul(age_S1HTJ, same_BTJ[:, None], same_S1H11).add_(mask_SBTJ.unsqueeze(2))

    def forward(
        self, h_SBTD: Tensor, q_SBTD: Tensor, k_SBJD: Tensor, v_SBJD: Tensor, bias_SBHTJ: Tensor
    ) -> Tensor:
        """The next layer's rows ``[S, B, T, D]``."""
        q, k, v = (t.reshape(*t.shape[:-1], self.heads, -1).transpose(2, 3) for t in (q_SBTD, k_SBJD, v_SBJD))
        score = torch.baddbmm(
            bias_SBHTJ.flatten(0, 2),
            q.flatten(0, 2),
            k.flatten(0, 2).transpose(1, 2),
            alpha=q.shape[-1] ** -0.5,
        )
        read = torch.bmm(F.softmax(score, -1), v.flatten(0, 2)).view_as(q)
        h_SBTD = h_SBTD + self.drop(self.tell(read.transpose(2, 3).flatten(3)))
        inner = F.relu(self.up(F.layer_norm(h_SBTD, h_SBTD.shape[-1:])))
        after_SBTD: Tensor = h_SBTD + self.drop(self.down(inner))
        return after_SBTD


class Transformer(Host):
    """See the module.

    Args:
        layers: L; heads: H, a divisor of the width; ffn: F, twice the width unless given;
        reach: ages at or beyond this many utterances share one number where the span has no limit.

    Raises:
        ValueError: a width that the heads do not divide, or an option below 1.
    """

    def __init__(
        self,
        *,
        streams: int,
        dim: int,
        span: Span,
        speakers: int = 8,
        dropout: float = 0.2,
        layers: int = 2,
        heads: int = 4,
        ffn: int | None = None,
        reach: int = 32,
    ) -> None:
        super().__init__(streams=streams, dim=dim, span=span, speakers=speakers, dropout=dropout)
        ffn = 2 * dim if ffn is None else ffn
        if min(layers, heads, ffn, reach) < 1 or dim % heads:
            raise ValueError(
                f"{layers} layers, {heads} heads, ffn {ffn}, reach {reach}: each must be at least 1, "
                f"and the heads must divide the width {dim}"
            )
        self.oldest = reach if span.past is None else span.past - 1
        self.newest = -reach if span.future is None else -span.future
        ages = self.oldest - self.newest + 1
        self.layers = nn.ModuleList(Layer(streams, dim, heads, ffn, ages, dropout) for _ in range(layers))
        self.gain_SD = nn.Parameter(torch.ones(streams, dim))
        self.shift_SD = nn.Parameter(torch.zeros(streams, dim))

    def forward(self, x_BNSD: Tensor, present_BNS: Tensor, speaker_BN: Tensor, valid_BN: Tensor) -> Tensor:
        present_BNS = present_BNS & valid_BN.unsqueeze(-1)
        n, device = x_BNSD.shape[1], x_BNSD.device
        h_SBND = present_only(x_BNSD, present_BNS).permute(2, 0, 1, 3)
        allowed_SBNN = self.span.mask(n, device) & present_BNS.permute(2, 0, 1).unsqueeze(2)
        who_BN = speaker_BN.clamp(max=self.speakers - 1)
        same_BNN, mask_SBNN = self._numbers(who_BN.unsqueeze(2) == who_BN.unsqueeze(1), allowed_SBNN)
        age_NN = torch.arange(n, device=device)[:, None] - torch.arange(n, device=device)
        place_NN = age_NN.clamp(self.newest, self.oldest) - self.newest
        for layer in self._layers():
            h_SBND = layer(h_SBND, *layer.asked(h_SBND), layer.bias(place_NN, same_BNN, mask_SBNN))
        return self._result(h_SBND.permute(1, 2, 0, 3), present_BNS)

    def init_state(self, batch: int) -> State:
        new, w = self.gain_SD.new_zeros, self.span.window
        rows = (batch, len(self.layers), w, self.streams, self.dim)
        return State(
            key=new(rows),
            value=new(rows),
            there=new((batch, w, self.streams), dtype=torch.bool),
            who=new((batch, w), dtype=torch.long),
        )

    def step(
        self, x_BSD: Tensor, present_BS: Tensor, speaker_B: Tensor, state: State
    ) -> tuple[Tensor, State]:
        w = self.span.window
        h_SB1D = present_only(x_BSD, present_BS).transpose(0, 1).unsqueeze(2)
        there_BWS = rolled(state["there"], present_BS.unsqueeze(1))
        who_B1 = speaker_B.clamp(max=self.speakers - 1).unsqueeze(1)
        who_BW = rolled(state["who"], who_B1)
        allowed_SB1W = there_BWS.permute(2, 0, 1).unsqueeze(2)
        same_B1W, mask_SB1W = self._numbers((who_BW == who_B1).unsqueeze(1), allowed_SB1W)
        place_1W = torch.arange(w - 1, -1, -1, device=x_BSD.device).unsqueeze(0) - self.newest
        keys, values = [], []
        for i, layer in enumerate(self._layers()):
            q_SB1D, k_SB1D, v_SB1D = layer.asked(h_SB1D)
            k_BWSD, v_BWSD = (
                rolled(state[name][:, i], new_SB1D.permute(1, 2, 0, 3))
                for name, new_SB1D in (("key", k_SB1D), ("value", v_SB1D))
            )
            bias = layer.bias(place_1W, same_B1W, mask_SB1W)
            h_SB1D = layer(h_SB1D, q_SB1D, k_BWSD.permute(2, 0, 1, 3), v_BWSD.permute(2, 0, 1, 3), bias)
            keys.append(k_BWSD)
            values.append(v_BWSD)
        after = State(key=torch.stack(keys, 1), value=torch.stack(values, 1), there=there_BWS, who=who_BW)
        return self._result(h_SB1D.squeeze(2).transpose(0, 1), present_BS), after

    def _numbers(self, same_BTJ: Tensor, allowed_SBTJ: Tensor) -> tuple[Tensor, Tensor]:
        """1 for the same speaker, else 0; and 0 for what may be read, else `NEVER`."""
        dtype = self.gain_SD.dtype
        return same_BTJ.to(dtype), (~allowed_SBTJ).to(dtype) * NEVER

    def _layers(self) -> list[Layer]:
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    def _result(self, h: Tensor, present: Tensor) -> Tensor:
        """Normalised rows ``[..., S, D]``, zero where the stream is absent."""
        normal = F.layer_norm(h, h.shape[-1:]) * self.gain_SD + self.shift_SD
        return present_only(normal, present)
