"""Low-rank matching attention (Shou et al., arXiv 2306.17799), causal, over a rolling window.

The paper's equations, for utterance t and modality m, h_j^k being row j of memory k:

    1  query        q_t^m = W_k h_t^m
    2  row score    s_tj^{m,k} = q_t^m . h_j^k
    3  weights      a_tj^{m,k} = softmax over valid j of  beta_k s_tj^{m,k}
    4  read-out     c_t^m = sum over k, j of a_tj^{m,k} h_j^k
    5  fusion       z_t = GELU(sum over present m of c_t^m) + sum over present m of h_t^m
    6  low rank     W_k = U_k V^T, so that s = (V^T h_t^m) . (U_k^T h_j^k), both in R^r, r << d

Where this departs from the authors' published code, and why: beta, a learned temperature for each memory,
stands for their tanh, which bounds every weight and makes the block almost a mean; every modality is a memory
with a value stream of its own, not text alone, so that what voice and face say enters z; V is shared and each
memory has a small U of its own instead of one W for all; and j runs over t - window < j <= t only.

A modality that is absent is masked as a query and as a memory. Masked entries may hold
anything, NaN included.

Shape suffixes: B conversations, T utterances asked of, J utterances remembered, M modalities asked with,
K modalities remembered (both 3), D width, R rank.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LowRankMatching(nn.Module):
    """Equations 1, 2 and 6: V shared by all modalities, one U and one temperature for each memory."""

    def __init__(self, modalities: int, dim: int, rank: int) -> None:
        super().__init__()
        self.V_DR = nn.Parameter(torch.randn(dim, rank) / dim**0.5)
        self.U_KDR = nn.Parameter(torch.randn(modalities, dim, rank) / dim**0.5)
        self.log_beta_K = nn.Parameter(
            torch.full((modalities,), -0.5 * torch.tensor(float(rank)).log().item())
        )

    def query(self, h_BTMD: Tensor) -> Tensor:
        """V^T h: what each present modality asks, ``[B, T, M, R]``."""
        return h_BTMD @ self.V_DR

    def key(self, h_BJKD: Tensor) -> Tensor:
        """U_k^T h: what each memory row answers to, ``[B, J, K, R]``; all that a step need not recompute."""
        return torch.einsum("bjkd,kdr->bjkr", h_BJKD, self.U_KDR)

    def forward(self, query_BTMR: Tensor, key_BJKR: Tensor) -> Tensor:
        """Scores times their temperature, ``[B, T, M, K, J]``."""
        s_BTMKJ = torch.einsum("btmr,bjkr->btmkj", query_BTMR, key_BJKR)
        return s_BTMKJ * self.log_beta_K.exp()[:, None]


def masked_softmax(score: Tensor, allowed: Tensor) -> Tensor:
    """Softmax over the last dimension where ``allowed``, zero elsewhere; nothing allowed is all zero."""
    score = torch.where(allowed, score, torch.finfo(score.dtype).min)
    return torch.where(allowed, F.softmax(score, -1), 0.0)


def read(score_BTMKJ: Tensor, h_BJKD: Tensor, allowed_BTJK: Tensor) -> Tensor:
    """Equations 3 and 4: the read-out c ``[B, T, M, D]``. ``h_BJKD`` must be finite (see `present_only`)."""
    allowed_BT1KJ = allowed_BTJK.transpose(2, 3).unsqueeze(2)
    a_BTMKJ = masked_softmax(score_BTMKJ, allowed_BT1KJ)
    return torch.einsum("btmkj,bjkd->btmd", a_BTMKJ, h_BJKD)


def fuse(c_BTMD: Tensor, h_BTMD: Tensor, present_BTM: Tensor) -> Tensor:
    """Equation 5: z ``[B, T, D]``."""
    here = present_BTM.unsqueeze(-1)
    return F.gelu(torch.where(here, c_BTMD, 0.0).sum(2)) + torch.where(here, h_BTMD, 0.0).sum(2)


def present_only(h: Tensor, present: Tensor) -> Tensor:
    """``h [..., D]`` with zeros where ``present [...]`` is False, whatever stood there."""
    return torch.where(present.unsqueeze(-1), h, 0.0)


def causal_window(n: int, window: int, device: torch.device | None = None) -> Tensor:
    """``[T, J]`` bool: j <= t and j > t - window."""
    age_TJ = torch.arange(n, device=device)[:, None] - torch.arange(n, device=device)
    return (age_TJ >= 0) & (age_TJ < window)


class LMAM(nn.Module):
    """The block: `forward` takes whole conversations, `step` one utterance and the memory of the last."""

    def __init__(self, *, modalities: int = 3, dim: int = 128, rank: int = 16, window: int = 16) -> None:
        super().__init__()
        if window < 1 or not 1 <= rank <= dim:
            raise ValueError(f"window {window} and rank {rank} must be at least 1, the rank at most {dim}")
        self.window = window
        self.match = LowRankMatching(modalities, dim, rank)

    def forward(self, h_BNMD: Tensor, present_BNM: Tensor) -> Tensor:
        """z ``[B, N, D]`` of conversations whose rows are asked and remembered."""
        h_BNMD = present_only(h_BNMD, present_BNM)
        near_TJ = causal_window(h_BNMD.shape[1], self.window, h_BNMD.device)
        allowed_BTJK = near_TJ[None, :, :, None] & present_BNM.unsqueeze(1)
        score_BTMKJ = self.match(self.match.query(h_BNMD), self.match.key(h_BNMD))
        return fuse(read(score_BTMKJ, h_BNMD, allowed_BTJK), h_BNMD, present_BNM)

    def step(
        self, h_BMD: Tensor, present_BM: Tensor, memory: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """z ``[B, D]`` of one utterance, and the memory with it in place of the oldest.

        ``memory`` is h ``[B, W, K, D]``, U^T h ``[B, W, K, R]`` and which rows are there ``[B, W, K]``.
        The cost is O(D R + W (R + D)) for each modality, whatever the length of the conversation.
        """
        h_BMD = present_only(h_BMD, present_BM)
        h_B1MD, present_B1M = h_BMD.unsqueeze(1), present_BM.unsqueeze(1)
        new = (h_B1MD, self.match.key(h_B1MD), present_B1M)
        h_BWKD, key_BWKR, there_BWK = (
            torch.cat([old[:, 1:], n], 1) for old, n in zip(memory, new, strict=True)
        )
        score_B1MKW = self.match(self.match.query(h_B1MD), key_BWKR)
        z_B1D = fuse(read(score_B1MKW, h_BWKD, there_BWK.unsqueeze(1)), h_B1MD, present_B1M)
        return z_B1D[:, 0], (h_BWKD, key_BWKR, there_BWK)

    def memory(self, batch: int) -> tuple[Tensor, Tensor, Tensor]:
        """An empty memory for ``batch`` conversations, of fixed size."""
        modalities, dim, rank = self.match.U_KDR.shape
        new = self.match.V_DR.new_zeros
        shape = (batch, self.window, modalities)
        return new(*shape, dim), new(*shape, rank), new(*shape, dtype=torch.bool)
