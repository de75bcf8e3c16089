"""The plain fusions: sum, concatenation, gated sum.

Shape suffixes: R utterances, M modalities, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.fusions.base import Pointwise
from models.masks import masked_softmax
from models.span import Span


class Add(Pointwise):
    """The sum of the present modalities."""

    def rows(self, h_RMD: Tensor, present_RM: Tensor) -> Tensor:
        return h_RMD.sum(1)


class Concat(Pointwise):
    """One linear map of all modalities end to end, zeros for those absent."""

    def __init__(self, *, modalities: int, dim: int, span: Span) -> None:
        super().__init__(modalities=modalities, dim=dim, span=span)
        self.map = nn.Linear(modalities * dim, dim)

    def rows(self, h_RMD: Tensor, present_RM: Tensor) -> Tensor:
        z: Tensor = self.map(h_RMD.flatten(1))
        return z


class Gated(Pointwise):
    """A sum weighted by gates that compete: softmax over the present modalities of a score for each feature.

    After Arevalo et al., "Gated Multimodal Units for Information Fusion", arXiv 1702.01992, whose gates it
    takes from all modalities together; it leaves out their tanh map of each modality, for the rows come
    mapped, and its gates sum to one for any number of modalities (as theirs do for two), so that those
    present share what an absent one would have had.
    """

    def __init__(self, *, modalities: int, dim: int, span: Span) -> None:
        super().__init__(modalities=modalities, dim=dim, span=span)
        self.gate = nn.Linear(modalities * dim, modalities * dim)

    def rows(self, h_RMD: Tensor, present_RM: Tensor) -> Tensor:
        score_RDM = self.gate(h_RMD.flatten(1)).view_as(h_RMD).transpose(1, 2)
        weight_RDM = masked_softmax(score_RDM, present_RM.unsqueeze(1).expand_as(score_RDM))
        return torch.einsum("rdm,rmd->rd", weight_RDM, h_RMD)
