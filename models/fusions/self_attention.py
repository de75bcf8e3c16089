"""Multi-head self-attention over the modalities of one utterance.

Vaswani et al., "Attention Is All You Need", arXiv 1706.03762; scaled dot-product attention and multi-head
attention, with e = D / heads:

    1  head_i(x, y) = softmax over j of ((W_Q^i x) . (W_K^i y_j) / sqrt(e))  W_V^i y_j,  summed over j
    2  attend(x, y) = W_O [head_1; ...; head_H]
    3  z = mean over present m of  h^m + attend(h^m, the present h)

Shape suffixes: B conversations, T rows asked with, J rows remembered, R utterances, M modalities, D width,
H heads, E width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.fusions.base import Pointwise
from models.masks import masked_softmax, present_only
from models.span import Span


class MultiHead(nn.Module):
    """Equations 1 and 2, all maps with a bias: 4 (D^2 + D) parameters.

    Raises:
        ValueError: ``heads`` does not divide ``dim``.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or dim % heads:
            raise ValueError(f"{heads} heads do not divide a width of {dim}")
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x_BTD: Tensor, key_BJD: Tensor, value_BJD: Tensor, allowed_BTJ: Tensor) -> Tensor:
        """``[B, T, D]``: each row of x asks the rows that it may; where it may ask none, W_O of zero."""
        query_BTHE, key_BJHE, value_BJHE = map(self._heads, (self.query(x_BTD), key_BJD, value_BJD))
        score_BHTJ = torch.einsum("bthe,bjhe->bhtj", query_BTHE, key_BJHE) / key_BJHE.shape[-1] ** 0.5
        weight_BHTJ = masked_softmax(score_BHTJ, allowed_BTJ.unsqueeze(1))
        read_BTHE = torch.einsum("bhtj,bjhe->bthe", weight_BHTJ, value_BJHE)
        out_BTD: Tensor = self.out(read_BTHE.flatten(-2))
        return out_BTD

    def remember(self, h_BJD: Tensor) -> tuple[Tensor, Tensor]:
        """Key and value ``[B, J, D]`` of rows that are to be asked."""
        return self.key(h_BJD), self.value(h_BJD)

    def _heads(self, h_BJD: Tensor) -> Tensor:
        return h_BJD.view(*h_BJD.shape[:-1], self.heads, -1)


class SelfAttention(Pointwise):
    """Equation 3; an utterance without a modality gives zeros. Option ``heads``: a divisor of D."""

    def __init__(self, *, modalities: int, dim: int, span: Span, heads: int = 4) -> None:
        super().__init__(modalities=modalities, dim=dim, span=span)
        self.attend = MultiHead(dim, heads)

    def rows(self, h_RMD: Tensor, present_RM: Tensor) -> Tensor:
        allowed_RMM = present_RM.unsqueeze(1) & present_RM.unsqueeze(2)
        read_RMD = self.attend(h_RMD, *self.attend.remember(h_RMD), allowed_RMM)
        count_R1 = present_RM.sum(1, keepdim=True).clamp_min(1)
        return present_only(h_RMD + read_RMD, present_RM).sum(1) / count_R1
