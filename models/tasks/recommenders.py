"""GRU4Rec and SASRec over items alone, and over items and categories with any fusion between the two.

    item only (the baselines):   scores = E . core(E[items])
    with categories:             scores = E . fusion(core(E[items]), core(C[categories]))

E is the item embedding, at the entrance and at the exit (tied, as in SASRec and as GRU4Rec's authors have it
in their later code); each stream has a core of its own. Two models that differ in the fusion alone share
every other parameter, drawn from the same random numbers.

* gru4rec: one gated recurrent layer (Hidasi et al., arXiv 1511.06939);
* sasrec: learned positions and causal self-attention, one head (Kang and McAuley, arXiv 1808.09781).

Both are trained by the same sampled softmax over every event (their papers: pairwise losses), because that is
known to be the better choice for either and so that rows differ in the model alone.

Shape suffixes: B sequences, N events, M streams, D width, V items, P events of all sequences, K candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import fusions
from models.span import Span

STREAMS = ("item", "category")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes and parts; no fusion is the item-only baseline. ``dropout`` is 0..1; ``length`` the longest."""

    items: int
    categories: int
    core: str = "gru4rec"
    fusion: str | None = None
    dim: int = 64
    length: int = 20
    layers: int = 1
    dropout: float = 0.2
    fusion_options: Mapping[str, Any] = field(default_factory=dict)


class GruCore(nn.Module):
    """``h = GRU(x)``: GRU4Rec's sequence model."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.gru = nn.GRU(config.dim, config.dim, config.layers, batch_first=True)

    def forward(self, x_BND: Tensor, valid_BN: Tensor) -> Tensor:
        h_BND: Tensor = self.gru(x_BND)[0]  # padding stands at the end: no event reads it
        return h_BND


class Block(nn.Module):
    """Self-attention over the events so far, then a pointwise network; norm first, residual around."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.drop = nn.Dropout(dropout)

    def forward(self, x_BND: Tensor) -> Tensor:
        q_BND, k_BND, v_BND = self.qkv(self.norm1(x_BND)).chunk(3, -1)
        read_BND = F.scaled_dot_product_attention(q_BND, k_BND, v_BND, is_causal=True)
        x_BND = x_BND + self.drop(self.out(read_BND))
        changed: Tensor = x_BND + self.drop(self.down(F.relu(self.up(self.norm2(x_BND)))))
        return changed


class SasCore(nn.Module):
    """``h = norm(blocks(x + positions))``: SASRec's sequence model."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.position = nn.Embedding(config.length, config.dim)
        nn.init.normal_(self.position.weight, std=config.dim**-0.5)
        self.blocks = nn.ModuleList(Block(config.dim, config.dropout) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, x_BND: Tensor, valid_BN: Tensor) -> Tensor:
        x_BND = x_BND + self.position.weight[: x_BND.shape[1]]
        for block in self.blocks:
            x_BND = block(x_BND)
        h_BND: Tensor = self.norm(x_BND)
        return h_BND


CORES: dict[str, type[GruCore] | type[SasCore]] = {"gru4rec": GruCore, "sasrec": SasCore}


class Recommender(nn.Module):
    """What follows each event of a click sequence.

    Raises:
        ValueError: no such core or fusion.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        c = self.config = config
        if c.core not in CORES:
            raise ValueError(f"no recommender {c.core!r}; there are {', '.join(CORES)}")
        self.item = _embedding(c.items, c.dim)
        streams = STREAMS if c.fusion else STREAMS[:1]
        self.category = _embedding(c.categories, c.dim) if c.fusion else None
        self.cores = nn.ModuleList(CORES[c.core](c) for _ in streams)
        self.drop = nn.Dropout(c.dropout)
        # Last, so that everything before draws the same random numbers whatever the fusion.
        self.fusion = (
            fusions.build(c.fusion, modalities=2, dim=c.dim, span=Span(c.length), **c.fusion_options)
            if c.fusion
            else None
        )

    def forward(self, items_BN: Tensor, categories_BN: Tensor, valid_BN: Tensor) -> Tensor:
        """z ``[B, N, D]``, which `scores` compares with every item; rows of padding mean nothing."""
        x_BMND = [self.item(items_BN)]
        if self.category is not None:
            x_BMND.append(self.category(categories_BN))
        h = [core(self.drop(x_BND), valid_BN) for core, x_BND in zip(self.cores, x_BMND, strict=True)]
        if self.fusion is None:
            z_BND: Tensor = self.drop(h[0])
            return z_BND
        h_BNMD = torch.stack(h, 2)
        fused_BND: Tensor = self.drop(self.fusion(h_BNMD, valid_BN.unsqueeze(-1).expand(h_BNMD.shape[:3])))
        return fused_BND

    def scores(self, z_RD: Tensor) -> Tensor:
        """Scores ``[R, V]`` of the items 1..V."""
        scores_RV: Tensor = z_RD @ self.item.weight[1:].T
        return scores_RV


def _embedding(entries: int, dim: int) -> nn.Embedding:
    """Rows of expected length 1; row 0 is padding, zero for good."""
    made = nn.Embedding(entries + 1, dim, padding_idx=0)
    nn.init.normal_(made.weight, std=dim**-0.5)
    with torch.no_grad():
        made.weight[0] = 0
    return made


class Candidates:
    """Softmax over all items, or over a sample of them that stands for all.

    ``size`` items are drawn with replacement, each in proportion to its count to the power 0.75. The target
    is always there, as itself; the logit of a drawn item is lowered by the log of how often it is expected,
    so that the sum over them estimates, without bias, that over all items but the target (Bengio and Senecal
    2008). Size 0 is all items, exactly.
    """

    def __init__(self, counts_V: Tensor, size: int, generator: torch.Generator) -> None:
        self.size, self.generator = size, generator
        weight_V = (counts_V.double() + 1) ** 0.75  # an item that training lacks can be drawn too
        self.share_V = (weight_V / weight_V.sum()).float()
        self.log_expected_V = (self.share_V * max(size, 1)).log()

    def loss(self, model: Recommender, z_PD: Tensor, targets_P: Tensor) -> Tensor:
        """Mean cross-entropy of the targets (1..V)."""
        if not self.size:
            return F.cross_entropy(model.scores(z_PD), targets_P - 1)
        drawn_K = 1 + torch.multinomial(self.share_V, self.size, replacement=True, generator=self.generator)
        # One look-up for both: its gradient is as large as the table.
        row_PD, row_KD = torch.tensor_split(model.item(torch.cat([targets_P, drawn_K])), [len(targets_P)])
        own_P = (z_PD * row_PD).sum(1)
        other_PK = z_PD @ row_KD.T - self.log_expected_V[drawn_K - 1]
        other_PK = other_PK.masked_fill(targets_P.unsqueeze(1) == drawn_K, torch.finfo(z_PD.dtype).min)
        every_P = torch.logsumexp(torch.cat([own_P.unsqueeze(1), other_PK], 1), 1)
        return (every_P - own_P).mean()
