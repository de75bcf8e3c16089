"""Low-rank fusion against the tensor that it never forms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.fusions.low_rank import LowRankFusion
from models.span import Span
from tests.models.fusions.rows import gradients, make_rows, stepped


def make(modalities: int = 3, rank: int = 3, dim: int = 4) -> LowRankFusion:
    torch.manual_seed(0)
    fusion = LowRankFusion(modalities=modalities, dim=dim, span=Span(3, 0), rank=rank).double()
    torch.nn.init.normal_(fusion.factor_MKFD)  # away from the start, where the constants are all alike
    torch.nn.init.normal_(fusion.bias_D)
    return fusion


@torch.no_grad()
def oracle(fusion: LowRankFusion, h_MD: Tensor, present_M: Tensor) -> Tensor:
    """z of one utterance by equations 1 to 3: the whole weight tensor times the whole outer product."""
    m, rank, _, dim = fusion.factor_MKFD.shape
    h_MD = torch.where(present_M.unsqueeze(-1), h_MD, 0.0)
    z_D = fusion.bias_D.clone()
    for d in range(dim):
        weight, outer = torch.zeros(()), torch.ones((), dtype=torch.float64)
        for i in range(rank):
            one = torch.ones((), dtype=torch.float64)
            for k in range(m):
                one = torch.tensordot(one, fusion.factor_MKFD[k, i, :, d], dims=0)
            weight = weight + one
        for k in range(m):
            outer = torch.tensordot(outer, torch.tensor([*h_MD[k], 1.0], dtype=torch.float64), dims=0)
        z_D[d] += (weight * outer).sum()
    return z_D


@pytest.mark.parametrize("modalities", [1, 2, 3])
@pytest.mark.parametrize("rank", [1, 3])
def test_the_rows_are_what_the_whole_tensor_gives(modalities: int, rank: int) -> None:
    """Equation 4 equals equations 1 to 3, whole and stepped, whatever is absent."""
    fusion = make(modalities, rank)
    h_BNMD, present_BNM = make_rows(m=modalities, dim=4)
    pairs = zip(h_BNMD.flatten(0, 1), present_BNM.flatten(0, 1), strict=True)
    want = torch.stack([oracle(fusion, h, p) for h, p in pairs]).view(2, 6, 4)
    with torch.no_grad():
        torch.testing.assert_close(fusion(h_BNMD, present_BNM), want, atol=1e-10, rtol=0)
    torch.testing.assert_close(stepped(fusion, h_BNMD, present_BNM), want, atol=1e-10, rtol=0)


def test_gradients_are_finite_and_none_flows_to_what_is_absent() -> None:
    h_BNMD, present_BNM = make_rows(dim=4)
    grad_BNMD = gradients(make(), h_BNMD, present_BNM)
    assert torch.isfinite(grad_BNMD).all()
    assert (grad_BNMD[~present_BNM] == 0).all()


@torch.no_grad()
def test_it_starts_as_a_product_that_an_absent_modality_leaves_alone() -> None:
    """Nothing present gives ones, and rows of unit variance a finite variance near one for each degree."""
    torch.manual_seed(0)
    fusion = LowRankFusion(modalities=3, dim=64, span=Span(), rank=4)
    nothing = fusion(torch.zeros(1, 1, 3, 64), torch.zeros(1, 1, 3, dtype=torch.bool))
    torch.testing.assert_close(nothing, torch.ones(1, 1, 64))
    z = fusion(torch.randn(1, 200, 3, 64), torch.ones(1, 200, 3, dtype=torch.bool))
    # (1 + a)(1 + b)(1 + c) with unit variances has variance 7; a mean over four ranks leaves a quarter.
    assert 0.7 < float(z.var()) < 4


@pytest.mark.parametrize("rank", [1, 4])
def test_the_parameters_are_the_factors_and_a_bias(rank: int) -> None:
    with torch.device("meta"):
        fusion = LowRankFusion(modalities=3, dim=128, span=Span(), rank=rank)
    assert sum(p.numel() for p in fusion.parameters()) == 3 * rank * 129 * 128 + 128


def test_a_rank_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="rank 0"):
        make(rank=0)
