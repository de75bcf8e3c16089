"""Attention from one modality to the utterances of another: the crossmodal transformer and its lightest form.

Tsai et al., "Multimodal Transformer for Unaligned Multimodal Language Sequences" (MulT), ACL 2019,
arXiv 1906.00295. With ``attend`` the multi-head attention of `models.fusions.self_attention`, over the
utterances j of source modality s that the span lets t read, and x the rows of target modality m:

    1  x'_t = x_t + attend(LN(x_t), LN(h_j^s))          crossmodal attention: h^s are the source's own rows,
    2  x''_t = x'_t + f(LN(x'_t))                       in every layer; f is D -> 4 D -> ReLU -> D
    3  z_t = W [LN(x^(s -> m)_t for every pair s -> m] + b

Because every layer reads the source's own rows (the paper's "low-level features"), the keys and values of an
utterance never change: a step keeps those of the last W and computes one new row of each. The residuals
are those of the authors' published code. What differs here, and why: no positions are added, so that a
rolling window is exact (the host knows the order); each target modality is given by the concatenation of
its pairs, without the self-attention that the paper runs over it: sequence is the host's part.

`CrossModalAttention` is the light form: the first modality (text where there is one) asks each modality,
itself included, through one attention layer, without (2):

    4  z_t = sum over present m of h_t^m + sum over s of attend_s(h_t^1, h_j^s)

A modality that is absent is masked as source and as target.

Shape suffixes: B conversations, T utterances asked of, J utterances remembered, W of them kept, M modalities,
D width, S slots of memory (one for each attention).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.fusions.base import Fusion
from models.fusions.self_attention import MultiHead
from models.masks import present_only
from models.span import Span
from models.state import State, rolled


class Remembering(Fusion):
    """A fusion that reads keys and values of other utterances, made once for each; ``sources`` by slot."""

    sources: list[int]

    @abstractmethod
    def remember(self, h_BJMD: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values ``[B, J, S, D]`` of utterances."""

    @abstractmethod
    def read(self, h_BTMD: Tensor, present_BTM: Tensor, kept: tuple[Tensor, Tensor], may: Tensor) -> Tensor:
        """z ``[B, T, D]``; ``may [B, T, J, M]``: t reads modality m of j. Absent rows of h are zero."""

    def forward(self, h_BNMD: Tensor, present_BNM: Tensor) -> Tensor:
        h_BNMD = present_only(h_BNMD, present_BNM)
        near_TJ = self.span.mask(h_BNMD.shape[1], h_BNMD.device)
        may_BTJM = near_TJ[None, :, :, None] & present_BNM.unsqueeze(1)
        return self.read(h_BNMD, present_BNM, self.remember(h_BNMD), may_BTJM)

    def init_state(self, batch: int) -> State:
        new, rows = next(self.parameters()).new_zeros, (batch, self.span.window)
        shape = (*rows, len(self.sources), self.dim)
        return State(key=new(shape), value=new(shape), there=new((*rows, self.modalities), dtype=torch.bool))

    def step(self, h_BMD: Tensor, present_BM: Tensor, state: State) -> tuple[Tensor, State]:
        h_B1MD, present_B1M = present_only(h_BMD, present_BM).unsqueeze(1), present_BM.unsqueeze(1)
        key_B1SD, value_B1SD = self.remember(h_B1MD)
        new = {"key": key_B1SD, "value": value_B1SD, "there": present_B1M}
        state = State(**{name: rolled(state[name], row) for name, row in new.items()})
        kept = state["key"], state["value"]
        return self.read(h_B1MD, present_B1M, kept, state["there"].unsqueeze(1)).squeeze(1), state


def _remember(asked: Sequence[MultiHead | Layer], sources: list[int], h: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values ``[B, J, S, D]`` of ``h [B, J, M, D]``, slot by slot."""
    kept = [one.remember(h[:, :, s]) for one, s in zip(asked, sources, strict=True)]
    return torch.stack([key for key, _ in kept], 2), torch.stack([value for _, value in kept], 2)


class CrossModalAttention(Remembering):
    """Equation 4: M attentions of 4 (D^2 + D) parameters. Option ``heads``: a divisor of D."""

    def __init__(self, *, modalities: int, dim: int, span: Span, heads: int = 4) -> None:
        super().__init__(modalities=modalities, dim=dim, span=span)
        self.sources = list(range(modalities))
        self.attend = cast("list[MultiHead]", nn.ModuleList(MultiHead(dim, heads) for _ in self.sources))

    def remember(self, h_BJMD: Tensor) -> tuple[Tensor, Tensor]:
        return _remember(self.attend, self.sources, h_BJMD)

    def read(self, h_BTMD: Tensor, present_BTM: Tensor, kept: tuple[Tensor, Tensor], may: Tensor) -> Tensor:
        key_BJSD, value_BJSD = kept
        z_BTD = h_BTMD.sum(2)
        for slot, (attend, s) in enumerate(zip(self.attend, self.sources, strict=True)):
            z_BTD = z_BTD + attend(h_BTMD[:, :, 0], key_BJSD[:, :, slot], value_BJSD[:, :, slot], may[..., s])
        return z_BTD


class Layer(nn.Module):
    """Equations 1 and 2 for one pair; target and source share the first norm, as in the authors' code."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attend = MultiHead(dim, heads)
        self.wide, self.narrow = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def remember(self, h_BJD: Tensor) -> tuple[Tensor, Tensor]:
        """Key and value ``[B, J, D]`` of the source's rows."""
        return self.attend.remember(self.before(h_BJD))

    def forward(self, x_BTD: Tensor, key_BJD: Tensor, value_BJD: Tensor, allowed_BTJ: Tensor) -> Tensor:
        """The target's next rows ``[B, T, D]``."""
        x_BTD = x_BTD + self.attend(self.before(x_BTD), key_BJD, value_BJD, allowed_BTJ)
        next_BTD: Tensor = x_BTD + self.narrow(F.relu(self.wide(self.between(x_BTD))))
        return next_BTD


class CrossModal(Remembering):
    """Equations 1 to 3: a crossmodal transformer for every ordered pair; a single modality asks itself.

    Options ``heads`` (a divisor of D) and ``layers`` (at least 1) of each transformer.

    Raises:
        ValueError: ``layers`` below 1, or heads that do not divide the width.
    """

    def __init__(self, *, modalities: int, dim: int, span: Span, heads: int = 4, layers: int = 1) -> None:
        super().__init__(modalities=modalities, dim=dim, span=span)
        if layers < 1:
            raise ValueError(f"layers {layers}: must be at least 1")
        every = [(m, s) for m in range(modalities) for s in range(modalities) if m != s]
        self.pairs, self.layers = every or [(0, 0)], layers
        self.sources = [s for _, s in self.pairs for _ in range(layers)]
        self.transformer = cast("list[Layer]", nn.ModuleList(Layer(dim, heads) for _ in self.sources))
        self.norm = nn.ModuleList(nn.LayerNorm(dim) for _ in self.pairs)
        self.join = nn.Linear(len(self.pairs) * dim, dim)

    def remember(self, h_BJMD: Tensor) -> tuple[Tensor, Tensor]:
        return _remember(self.transformer, self.sources, h_BJMD)

    def read(self, h_BTMD: Tensor, present_BTM: Tensor, kept: tuple[Tensor, Tensor], may: Tensor) -> Tensor:
        key_BJSD, value_BJSD = kept
        rows = []
        for p, ((m, s), norm) in enumerate(zip(self.pairs, self.norm, strict=True)):
            x_BTD = h_BTMD[:, :, m]
            for slot in range(p * self.layers, (p + 1) * self.layers):
                kept_BJD = key_BJSD[:, :, slot], value_BJSD[:, :, slot]
                x_BTD = self.transformer[slot](x_BTD, *kept_BJD, may[..., s])
            rows.append(present_only(norm(x_BTD), present_BTM[..., m]))
        z_BTD: Tensor = self.join(torch.cat(rows, -1))
        return z_BTD
