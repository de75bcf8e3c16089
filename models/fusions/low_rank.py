"""Low-rank multimodal fusion: tensor fusion whose weight is a sum of few rank-one tensors.

Liu et al., "Efficient Low-rank Multimodal Fusion with Modality-Specific Factors", ACL 2018, arXiv 1806.00064,
for modalities 1..M of one utterance:

    1  Z = [h^1; 1] (x) ... (x) [h^M; 1]                    as in tensor fusion, of the whole width
    2  z = W . Z + b
    3  W = sum over i = 1..r of  w_1^i (x) ... (x) w_M^i    each factor w_m^i is (D + 1) x D
    4  z = sum over i = 1..r of  prod over m of  w_m^i [h^m; 1]   + b     (product feature by feature)

(4) follows from (2) and (3) and never forms Z. A modality that is absent has h = 0: its factor is what w_m^i
holds for the constant 1.

Shape suffixes: R utterances, M modalities, D width in and out, F features with the constant (D + 1), K rank.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.fusions.base import Pointwise
from models.span import Span


class LowRankFusion(Pointwise):
    """Equation 4.

    Option ``rank``: r, at least 1. The factors have ``M * rank * (D + 1) * D`` weights. They start such that
    the rows of the constants make the mean over the ranks one: an absent modality then changes nothing.

    Raises:
        ValueError: ``rank`` below 1.
    """

    def __init__(self, *, modalities: int, dim: int, span: Span, rank: int = 4) -> None:
        super().__init__(modalities=modalities, dim=dim, span=span)
        if rank < 1:
            raise ValueError(f"rank {rank}: must be at least 1")
        factor = torch.randn(modalities, rank, dim + 1, dim) / dim**0.5
        factor[:, :, -1] = 1.0
        self.factor_MKFD = nn.Parameter(factor * rank ** (-1 / modalities))
        self.bias_D = nn.Parameter(torch.zeros(dim))

    def rows(self, h_RMD: Tensor, present_RM: Tensor) -> Tensor:
        h_RMF = torch.cat([h_RMD, torch.ones_like(h_RMD[..., :1])], -1)
        each_MRKD = torch.einsum("rmf,mkfd->mrkd", h_RMF, self.factor_MKFD)
        product_RKD = each_MRKD[0]
        for each_RKD in each_MRKD[1:]:
            product_RKD = product_RKD * each_RKD
        return product_RKD.sum(1) + self.bias_D
