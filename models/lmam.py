"""Low-rank matching attention (Shou et al., arXiv 2306.17799): as published, low-rank, and repaired.

For utterance t, asking modality m and remembered modality k, h_t^m being a row of width d:

    1  query        q_t^m = W h_t^m + b
    2  row score    s_tj^{m,k} = q_t^m . h_j^k
    3  weights      a_tj^{m,k} = softmax over valid j of  squash(s_tj^{m,k})
    4  read-out     c_t^m = sum over k, j of a_tj^{m,k} h_j^k
    5  fusion       z_t = GELU(sum over present m of c_t^m) + sum over k of h_t^k
    6  low rank     W = U V^T, so that s = (V^T h_t^m) . (U^T h_j^k), both in R^r, r << d

As published, k is text alone, the squash is tanh, W is one full matrix and every j of the dialogue is valid.
`Form` names that and its four repairs, each apart:

* ``squash``: tanh bounds the weights and makes the block almost a mean; a learned temperature stands in its
  place, or on it;
* ``memory``: with text alone what voice and face say moves weights but never enters z; with all, every
  modality is remembered, with a softmax and a value stream of its own;
* ``sharing``: one W serves all modalities, or V is shared and each modality has a small U;
* the span (`models.span`): which j are valid.

A modality that is absent in an utterance is masked there, as a query and as memory; what its row holds, NaN
included, is never read. The authors' code has no absent text. Where no remembered modality is present here,
the last term of equation 5 is the sum of those that are, so that an utterance without words is not empty.

Shape suffixes: B conversations, T utterances asked of, J utterances remembered, N utterances that are both,
M modalities asked with, K modalities remembered (1 or M), W rows of a rolling memory, D width, R rank.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.masks import masked_softmax, present_only
from models.span import Span
from models.state import State, rolled

# What equation 3 does to a score before the softmax; beta is the learned temperature, one for each memory.
SQUASH: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "tanh": lambda s, beta: s.tanh(),
    "temperature": lambda s, beta: beta * s,
    "tanh+temperature": lambda s, beta: beta * s.tanh(),
    "none": lambda s, beta: s,
}
MEMORY = ("text", "all")
SHARING = ("one", "modality")


class Matching(nn.Module, ABC):
    """Equations 1 and 2, and the logits of equation 3: how well a row that asks matches one remembered."""

    stored = True  # the key is not the row itself: a step keeps it rather than work it out again

    def __init__(self, squash: str, memories: int, size: int) -> None:
        """``size`` is R, the numbers in a key; a temperature in place of the tanh starts at R^-1/2."""
        super().__init__()
        self.squash, self.size = squash, size
        start = torch.full((memories,), 0.0 if "tanh" in squash else -0.5 * math.log(size))
        self.log_beta_K = nn.Parameter(start) if "temperature" in squash else None

    @abstractmethod
    def query(self, h_BTMD: Tensor) -> Tensor:
        """What each modality asks, ``[B, T, M, R]``, R numbers that the key has too."""

    @abstractmethod
    def key(self, h_BJKD: Tensor) -> Tensor:
        """What each memory row answers to, ``[B, J, K, R]``."""

    def score(self, query_BTMR: Tensor, key_BJKR: Tensor) -> Tensor:
        """Equation 2, ``[B, T, M, K, J]``."""
        return torch.einsum("btmr,bjkr->btmkj", query_BTMR, key_BJKR)

    def forward(self, query_BTMR: Tensor, key_BJKR: Tensor) -> Tensor:
        """The squashed scores, ``[B, T, M, K, J]``."""
        s_BTMKJ = self.score(query_BTMR, key_BJKR)
        beta_K1 = s_BTMKJ.new_ones(1) if self.log_beta_K is None else self.log_beta_K.exp()[:, None]
        return SQUASH[self.squash](s_BTMKJ, beta_K1)


class FullMatching(Matching):
    """Equation 1 as published: one full weight with bias, ``d^2 + d`` parameters. The key is the row."""

    stored = False

    def __init__(self, squash: str, memories: int, dim: int) -> None:
        super().__init__(squash, memories, dim)
        self.W = nn.Linear(dim, dim)

    def query(self, h_BTMD: Tensor) -> Tensor:
        q_BTMD: Tensor = self.W(h_BTMD)
        return q_BTMD

    def key(self, h_BJKD: Tensor) -> Tensor:
        return h_BJKD


class LowRankMatching(Matching):
    """Equation 6: one ``W = U V^T``, ``2 d r`` parameters; fewer than ``d^2`` while r < d / 2."""

    def __init__(self, squash: str, memories: int, dim: int, rank: int) -> None:
        super().__init__(squash, memories, rank)
        self.V_DR = _factor(dim, rank)
        self.U_DR = _factor(dim, rank)

    def query(self, h_BTMD: Tensor) -> Tensor:
        return h_BTMD @ self.V_DR

    def key(self, h_BJKD: Tensor) -> Tensor:
        return h_BJKD @ self.U_DR


class PerMemoryMatching(Matching):
    """``W_k = U_k V^T``: V is shared by all that ask, each modality remembered has a U: ``(1 + K) d r``."""

    def __init__(self, squash: str, memories: int, dim: int, rank: int) -> None:
        super().__init__(squash, memories, rank)
        self.V_DR = _factor(dim, rank)
        self.U_KDR = _factor(memories, dim, rank)

    def query(self, h_BTMD: Tensor) -> Tensor:
        return h_BTMD @ self.V_DR

    def key(self, h_BJKD: Tensor) -> Tensor:
        return torch.einsum("bjkd,kdr->bjkr", h_BJKD, self.U_KDR)


class PerQueryMatching(Matching):
    """``W_m = V U_m^T``: the same sharing where one modality is remembered: ``(1 + M) d r``.

    Each modality that asks has a U, and V stands on the side of the memory: a row there has one key of r
    numbers whoever asks.
    """

    def __init__(self, squash: str, modalities: int, dim: int, rank: int) -> None:
        super().__init__(squash, 1, rank)
        self.V_DR = _factor(dim, rank)
        self.U_MDR = _factor(modalities, dim, rank)

    def query(self, h_BTMD: Tensor) -> Tensor:
        return torch.einsum("btmd,mdr->btmr", h_BTMD, self.U_MDR)

    def key(self, h_BJKD: Tensor) -> Tensor:
        return h_BJKD @ self.V_DR


class NoMatching(Matching):
    """Every score is 0, every valid row has the same weight: what the tanh tends to. No parameters."""

    stored = False

    def __init__(self, dim: int) -> None:
        super().__init__("none", 1, dim)

    def query(self, h_BTMD: Tensor) -> Tensor:
        return h_BTMD

    def key(self, h_BJKD: Tensor) -> Tensor:
        return h_BJKD

    def score(self, query_BTMR: Tensor, key_BJKR: Tensor) -> Tensor:
        b, t, m, _ = query_BTMR.shape
        return query_BTMR.new_zeros(b, t, m, key_BJKR.shape[2], key_BJKR.shape[1])


def _factor(*shape: int) -> nn.Parameter:
    """A low-rank factor ``[..., D, R]`` that keeps the variance of what it maps."""
    return nn.Parameter(torch.randn(shape) / shape[-2] ** 0.5)


def read(logit_BTMKJ: Tensor, h_BJKD: Tensor, allowed_BTJK: Tensor) -> Tensor:
    """Equations 3 and 4: the read-out c ``[B, T, M, D]``. ``h_BJKD`` must be finite (see `present_only`)."""
    allowed_BT1KJ = allowed_BTJK.transpose(2, 3).unsqueeze(2)
    a_BTMKJ = masked_softmax(logit_BTMKJ, allowed_BT1KJ)
    return torch.einsum("btmkj,bjkd->btmd", a_BTMKJ, h_BJKD)


def fuse(c_BTMD: Tensor, h_BTMD: Tensor, present_BTM: Tensor, memories: int) -> Tensor:
    """Equation 5: z ``[B, T, D]``. ``h_BTMD`` is zero where absent, the remembered modalities come first."""
    c_BTD = torch.where(present_BTM.unsqueeze(-1), c_BTMD, 0.0).sum(2)
    remembered_BT1 = present_BTM[..., :memories].any(-1, keepdim=True)
    own_BTD = torch.where(remembered_BT1, h_BTMD[..., :memories, :].sum(2), h_BTMD.sum(2))
    return F.gelu(c_BTD) + own_BTD


class LMAM(nn.Module):
    """The block: `forward` takes whole conversations, `step` one utterance and the memory of the last.

    Args:
        match: equations 1 and 2; memories: K, how many of the modalities are remembered, the first ones;
        span: which utterances are valid in equation 3. See `Form` for the usual ones.
    """

    def __init__(self, match: Matching, *, memories: int, dim: int, span: Span) -> None:
        super().__init__()
        self.match, self.memories, self.dim, self.span = match, memories, dim, span
        self.like: Tensor  # empty: where the block stands, of which type, weights or none
        self.register_buffer("like", torch.empty(0), persistent=False)

    def forward(self, h_BNMD: Tensor, present_BNM: Tensor) -> Tensor:
        """z ``[B, N, D]`` of conversations whose rows are asked and remembered."""
        h_BNMD = present_only(h_BNMD, present_BNM)
        h_BNKD, there_BNK = h_BNMD[:, :, : self.memories], present_BNM[..., : self.memories]
        near_TJ = self.span.mask(h_BNMD.shape[1], h_BNMD.device)
        allowed_BTJK = near_TJ[None, :, :, None] & there_BNK.unsqueeze(1)
        logit_BTMKJ = self.match(self.match.query(h_BNMD), self.match.key(h_BNKD))
        return fuse(read(logit_BTMKJ, h_BNKD, allowed_BTJK), h_BNMD, present_BNM, self.memories)

    def step(self, h_BMD: Tensor, present_BM: Tensor, memory: State) -> tuple[Tensor, State]:
        """z ``[B, D]`` of one utterance, and the memory with it in place of the oldest.

        The cost is O(D R + W (R + D)) for each modality, whatever the length of the conversation.
        """
        h_B1MD, present_B1M = present_only(h_BMD, present_BM).unsqueeze(1), present_BM.unsqueeze(1)
        h_B1KD, there_B1K = h_B1MD[:, :, : self.memories], present_B1M[..., : self.memories]
        new = {"h": h_B1KD, "there": there_B1K}
        if self.match.stored:
            new["key"] = self.match.key(h_B1KD)
        memory = State(**{n: rolled(memory[n], row) for n, row in new.items()})
        key_BWKR = memory["key"] if self.match.stored else self.match.key(memory["h"])
        logit_B1MKW = self.match(self.match.query(h_B1MD), key_BWKR)
        c_B1MD = read(logit_B1MKW, memory["h"], memory["there"].unsqueeze(1))
        return fuse(c_B1MD, h_B1MD, present_B1M, self.memories)[:, 0], memory

    def memory(self, batch: int) -> State:
        """An empty memory of fixed size: ``h [B, W, K, D]``, which rows are ``there [B, W, K]`` and, where
        it is not h itself, ``key [B, W, K, R]``; on the device of the weights.

        Raises:
            ValueError: the span cannot be stepped.
        """
        new, shape = self.like.new_zeros, (batch, self.span.window, self.memories)
        memory = {"h": new(*shape, self.dim), "there": new(*shape, dtype=torch.bool)}
        if self.match.stored:
            memory["key"] = new(*shape, self.match.size)
        return State(**memory)


RANK = 16  # of the small form


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """Which LMAM: the default is the small one; `PUBLISHED` is the authors'; the module names the choices.

    Attributes:
        rank: of the matching weight, or None for a full one; squash: a key of `SQUASH`;
        memory: "text" (the first modality) or "all"; sharing: "one" W, or a U for each "modality".

    Raises:
        ValueError: no such choice, or one U for each modality without a rank. TypeError: a rank that is no
            whole number.
    """

    rank: int | None = RANK
    squash: str = "temperature"
    memory: str = "text"
    sharing: str = "modality"

    def __post_init__(self) -> None:
        for name, known in (("squash", SQUASH), ("memory", MEMORY), ("sharing", SHARING)):
            if getattr(self, name) not in known:
                raise ValueError(f"no {name} {getattr(self, name)!r}; there are {', '.join(known)}")
        if self.rank is not None and not isinstance(self.rank, int):
            raise TypeError(f"rank {self.rank!r}: expected a whole number, or none for the full weight")
        if self.rank is None and self.sharing == "modality":
            raise ValueError("sharing 'modality' needs a rank: V is shared and U is not; a full W is 'one'")

    def build(self, *, modalities: int, dim: int, span: Span) -> LMAM:
        """The block for rows ``[..., modalities, dim]``.

        Raises:
            ValueError: a rank below 1 or above ``dim``.
        """
        memories = 1 if self.memory == "text" else modalities
        return LMAM(self._matching(modalities, memories, dim), memories=memories, dim=dim, span=span)

    def _matching(self, modalities: int, memories: int, dim: int) -> Matching:
        if self.rank is None:
            return FullMatching(self.squash, memories, dim)
        if not 1 <= self.rank <= dim:
            raise ValueError(f"rank {self.rank}: expected 1 to {dim}, the width")
        if self.sharing == "one":
            return LowRankMatching(self.squash, memories, dim, self.rank)
        if self.memory == "all":
            return PerMemoryMatching(self.squash, memories, dim, self.rank)
        return PerQueryMatching(self.squash, modalities, dim, self.rank)


PUBLISHED = Form(rank=None, squash="tanh", memory="text", sharing="one")
