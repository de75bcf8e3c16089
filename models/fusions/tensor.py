"""Tensor fusion: every product of features of different modalities.

Zadeh et al., "Tensor Fusion Network for Multimodal Sentiment Analysis", EMNLP 2017, arXiv 1707.07250; the
tensor fusion layer, for modalities 1..M of one utterance:

    1  s^m = ReLU(A_m h^m + a_m)                      the embedding of a modality, of small width
    2  Z   = [1; s^1] (x) [1; s^2] (x) ... (x) [1; s^M]   outer product: (small + 1)^M numbers
    3  z   = W vec(Z) + b

The one in each factor keeps the products of fewer modalities, so that Z holds the unimodal, bimodal and
trimodal terms. A modality that is absent has s = 0: what it would multiply is gone, the rest stands.
The paper's embeddings take raw features; here they take the rows of the host, so that (1) is one layer.

Shape suffixes: R utterances, M modalities, D width, S small width, Z products.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.fusions.base import Pointwise
from models.masks import present_only
from models.span import Span


class TensorFusion(Pointwise):
    """Equations 1 to 3.

    Option ``small``: the width S of each factor, at least 1. W has ``(S + 1) ** M * D`` weights.

    Raises:
        ValueError: ``small`` below 1.
    """

    def __init__(self, *, modalities: int, dim: int, span: Span, small: int = 32) -> None:
        super().__init__(modalities=modalities, dim=dim, span=span)
        if small < 1:
            raise ValueError(f"small {small}: the width of a factor must be at least 1")
        self.embed = nn.ModuleList(nn.Linear(dim, small) for _ in range(modalities))
        self.out = nn.Linear((small + 1) ** modalities, dim)

    def rows(self, h_RMD: Tensor, present_RM: Tensor) -> Tensor:
        product_RZ = torch.ones_like(h_RMD[:, 0, :1])
        for m, embed in enumerate(self.embed):
            s_RS = present_only(F.relu(embed(h_RMD[:, m])), present_RM[:, m])
            factor_RS = torch.cat([torch.ones_like(s_RS[:, :1]), s_RS], 1)
            product_RZ = (product_RZ.unsqueeze(2) * factor_RS.unsqueeze(1)).flatten(1)
        z_RD: Tensor = self.out(product_RZ)
        return z_RD
