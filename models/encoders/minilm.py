"""MiniLM, a six-layer BERT, in plain torch: token ids to one mean-pooled row a text.

Linear layers run on the tokens of all texts packed end to end without padding; only the attention sees a
padded rectangle. With `Config.context` the tokens of an utterance attend to each other and to the last tokens
of what was said before it in the conversation, whose keys and values are as they were then: training on whole
conversations and `step` with a `Memory` compute the same, and a step costs what is new alone. What a layer
remembers was itself read in its context, so that the reach grows with the layers (Dai et al. 2019,
Transformer-XL, arXiv 1901.02860).

Shape suffixes: n texts, P tokens of all texts end to end, L tokens of the longest, M tokens that a text reads
at most, A all tokens (remembered ones before those of the texts), D features, H heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor, nn

AGES = 3  # one, two, or more utterances ago
FAINT = -2.0  # added at first to what a text thinks of earlier tokens: the published network knows none


@dataclass(frozen=True, kw_only=True)
class Config:
    """The size of the encoder; the defaults are MiniLM's."""

    vocabulary: int = 30522
    dim: int = 384
    heads: int = 12
    hidden: int = 1536
    layers: int = 6
    positions: int = 512
    max_tokens: int = 64
    context: int = 0  # tokens of what was said before that an utterance reads


@dataclass(frozen=True, slots=True)
class Memory:
    """What was said before, as each layer reads it: keys and values ``[tokens, 2 D]``, the newest last, and
    how many utterances ago each was said, from 0. A value."""

    layers: tuple[Tensor, ...]
    ago: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where token p of the packed row stands: text ``row_P``, position ``column_P``; n texts, L at most.

    ``key_nM`` are the tokens that each text reads, in order, and ``age_nM`` how many utterances ago they were
    said: 0 its own, -1 where there is none.
    """

    row_P: Tensor
    column_P: Tensor
    key_nM: Tensor
    age_nM: Tensor
    longest: int

    @classmethod
    def of(
        cls,
        sizes: Sequence[int],
        nth: Sequence[int],
        context: int,
        device: torch.device,
        ago: Sequence[int] = (),
    ) -> Layout:
        """For texts of ``sizes`` tokens; ``nth``: which of its conversation a text is, its earlier ones
        directly before it; ``ago``: of remembered tokens, which belong to the first text's conversation."""
        size_n, first_n = torch.tensor(sizes), torch.tensor(nth)
        n = len(sizes)
        row_P = torch.arange(n).repeat_interleave(size_n)
        text_A = torch.cat([-1 - torch.tensor(ago, dtype=torch.long), row_P])
        start_n = len(ago) + torch.tensor([0, *accumulate(sizes)][:-1])
        began_n = torch.where(torch.arange(n) == first_n, 0, start_n[torch.arange(n) - first_n])
        past_n = torch.minimum(start_n - began_n, torch.tensor(context))
        read_n = past_n + size_n
        at_M = torch.arange(int(read_n.max()))
        there_nM = at_M < read_n.unsqueeze(1)
        key_nM = torch.where(there_nM, (start_n - past_n).unsqueeze(1) + at_M, 0)
        age_nM = torch.where(there_nM, torch.arange(n).unsqueeze(1) - text_A[key_nM], -1)
        column_P = torch.cat([torch.arange(s) for s in sizes])
        row_P, column_P, key_nM, age_nM = (t.to(device) for t in (row_P, column_P, key_nM, age_nM))
        return cls(row_P, column_P, key_nM, age_nM, max(sizes))

    def pad(self, x_PD: Tensor) -> Tensor:
        """``x_PD`` as ``[n, L, D]``, zero where a text is over."""
        out = x_PD.new_zeros(len(self.key_nM), self.longest, x_PD.shape[1])
        return out.index_put((self.row_P, self.column_P), x_PD)

    def mean(self, x_PD: Tensor) -> Tensor:
        """The mean of each text's tokens, ``[n, D]``."""
        n = len(self.key_nM)
        sum_nD = x_PD.new_zeros(n, x_PD.shape[1]).index_add(0, self.row_P, x_PD)
        mean_nD: Tensor = sum_nD / torch.bincount(self.row_P, minlength=n).unsqueeze(1)
        return mean_nD


class Layer(nn.Module):
    """One post-norm transformer layer over packed tokens."""

    def __init__(self, config: Config, dropout: float) -> None:
        super().__init__()
        d = config.dim
        self.heads = config.heads
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.up, self.down = nn.Linear(d, config.hidden), nn.Linear(config.hidden, d)
        self.norm1, self.norm2 = nn.LayerNorm(d, 1e-12), nn.LayerNorm(d, 1e-12)
        self.drop = nn.Dropout(dropout)
        self.earlier_HA = nn.Parameter(torch.full((config.heads, AGES), FAINT)) if config.context else None

    def forward(self, x_PD: Tensor, at: Layout, before_AD: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``x_PD`` one layer on, and the keys and values ``[A, 2 D]`` of all tokens."""
        (n, m), d = at.key_nM.shape, x_PD.shape[1]
        q_PD, kv_AD = self.qkv(x_PD).split([d, 2 * d], 1)
        if before_AD is not None:
            kv_AD = torch.cat([before_AD, kv_AD])
        q_nHLd = at.pad(q_PD).view(n, at.longest, self.heads, -1).transpose(1, 2)
        k_nHMd, v_nHMd = kv_AD[at.key_nM].view(n, m, 2, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        read = F.scaled_dot_product_attention(q_nHLd, k_nHMd, v_nHMd, attn_mask=self._mask(at.age_nM))
        read_PD = read.transpose(1, 2).reshape(n, at.longest, d)[at.row_P, at.column_P]
        x_PD = self.norm1(x_PD + self.drop(self.out(read_PD)))
        out: Tensor = self.norm2(x_PD + self.drop(self.down(F.gelu(self.up(x_PD)))))
        return out, kv_AD

    def _mask(self, age_nM: Tensor) -> Tensor:
        """``[n, 1, 1, M]`` bool, or what is added by head and age."""
        if self.earlier_HA is None:
            return (age_nM >= 0)[:, None, None]
        own_H1 = self.earlier_HA.new_zeros(len(self.earlier_HA), 1)
        none_H1 = torch.full_like(own_H1, -torch.inf)
        of_age = torch.cat([own_H1, self.earlier_HA, none_H1], 1)  # the last one: age -1
        return of_age[:, age_nM.clamp_max(AGES)].transpose(0, 1).unsqueeze(2)


class MiniLM(nn.Module):
    """The network: token ids of n texts in, one mean-pooled row each out.

    ``read`` layers, counted from the last, are pooled side by side: the last layer of a published sentence
    encoder was trained to tell what is meant, and those before it keep more of how it is said.
    """

    def __init__(self, config: Config | None = None, dropout: float = 0.1, read: int = 1) -> None:
        super().__init__()
        c = self.config = config or Config()
        self.read = read
        self.word, self.position = nn.Embedding(c.vocabulary, c.dim), nn.Embedding(c.positions, c.dim)
        self.norm, self.drop = nn.LayerNorm(c.dim, 1e-12), nn.Dropout(dropout)
        self.layers = nn.ModuleList(Layer(c, dropout) for _ in range(c.layers))

    def forward(self, ids: Sequence[Sequence[int]], nth: Sequence[int] | None = None) -> Tensor:
        """Features ``[n, read * D]`` of n token lists.

        ``nth``: which of its conversation each is, from 0, with its earlier ones directly before it (default:
        every text by itself). Without `Config.context` it makes no difference.
        """
        sizes = [len(i) for i in ids]
        at = Layout.of(sizes, nth or [0] * len(ids), self.config.context, self.word.weight.device)
        return self._run(ids, at, None)[0]

    def start(self) -> Memory:
        """Nothing was said yet."""
        empty = self.word.weight.new_zeros(0, 2 * self.config.dim)
        return Memory((empty,) * self.config.layers, ())

    def step(self, ids: Sequence[int], memory: Memory) -> tuple[Tensor, Memory]:
        """Features ``[read * D]`` of a conversation's next utterance, and what is remembered after it."""
        device, most = self.word.weight.device, self.config.context
        at = Layout.of([len(ids)], [0], most, device, memory.ago)
        features_nD, layers = self._run([ids], at, memory.layers)
        if not most:
            return features_nD[0], memory
        ago = (*(a + 1 for a in memory.ago), *[0] * len(ids))[-most:]
        return features_nD[0], Memory(tuple(kv_AD[-most:].clone() for kv_AD in layers), ago)

    def _run(
        self, ids: Sequence[Sequence[int]], at: Layout, before: Sequence[Tensor] | None
    ) -> tuple[Tensor, list[Tensor]]:
        token_P = torch.tensor([t for i in ids for t in i], device=self.word.weight.device)
        states = [self.drop(self.norm(self.word(token_P) + self.position(at.column_P)))]
        remembered = []
        for i, layer in enumerate(self.layers):
            x_PD, kv_AD = layer(states[-1], at, before[i] if before else None)
            states.append(x_PD)
            remembered.append(kv_AD)
        return torch.cat([at.mean(x_PD) for x_PD in states[-self.read :]], 1), remembered
