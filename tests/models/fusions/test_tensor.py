"""Tensor fusion against its three equations in plain loops."""

from __future__ import annotations

from itertools import product
from math import prod

import pytest
import torch
from torch import Tensor

from models.fusions.tensor import TensorFusion
from models.span import Span
from tests.models.fusions.rows import gradients, make_rows, stepped


def make(modalities: int = 3, small: int = 2) -> TensorFusion:
    torch.manual_seed(0)
    return TensorFusion(modalities=modalities, dim=8, span=Span(3, 0), small=small).double()


@torch.no_grad()
def oracle(fusion: TensorFusion, h_MD: Tensor, present_M: Tensor) -> Tensor:
    """z of one utterance: each product of one entry of every factor, times its weight."""
    w, factors = fusion.state_dict(), []
    for m in range(len(h_MD)):
        s = w[f"embed.{m}.weight"] @ h_MD[m] + w[f"embed.{m}.bias"]
        width = len(s)
        factors.append([1.0, *(max(float(x), 0.0) for x in s)] if present_M[m] else [1.0, *[0.0] * width])
    z_D = w["out.bias"].clone()
    for cell, picked in enumerate(product(*(range(len(f)) for f in factors))):
        z_D += prod(f[i] for f, i in zip(factors, picked, strict=True)) * w["out.weight"][:, cell]
    return z_D


@pytest.mark.parametrize("modalities", [1, 2, 3])
def test_the_rows_are_what_the_equations_say(modalities: int) -> None:
    """Whole and stepped; an absent modality (NaN here) leaves the products without it."""
    fusion = make(modalities)
    h_BNMD, present_BNM = make_rows(m=modalities)
    pairs = zip(h_BNMD.flatten(0, 1), present_BNM.flatten(0, 1), strict=True)
    want = torch.stack([oracle(fusion, h, p) for h, p in pairs]).view(2, 6, 8)
    with torch.no_grad():
        torch.testing.assert_close(fusion(h_BNMD, present_BNM), want, atol=1e-10, rtol=0)
    torch.testing.assert_close(stepped(fusion, h_BNMD, present_BNM), want, atol=1e-10, rtol=0)


def test_gradients_are_finite_and_none_flows_to_what_is_absent() -> None:
    h_BNMD, present_BNM = make_rows()
    grad_BNMD = gradients(make(), h_BNMD, present_BNM)
    assert torch.isfinite(grad_BNMD).all()
    assert (grad_BNMD[~present_BNM] == 0).all()


def test_the_default_is_finite_in_size_at_full_width() -> None:
    """Three modalities of width 128: three maps to 32, and (32 + 1)^3 products to 128."""
    with torch.device("meta"):
        fusion = TensorFusion(modalities=3, dim=128, span=Span())
    assert sum(p.numel() for p in fusion.parameters()) == 3 * 129 * 32 + (33**3 + 1) * 128


def test_a_factor_without_width_is_refused() -> None:
    with pytest.raises(ValueError, match="small 0"):
        make(small=0)
