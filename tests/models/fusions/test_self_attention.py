"""Multi-head attention against its equations in plain loops, and over the modalities of an utterance."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from models.fusions.self_attention import MultiHead, SelfAttention
from models.span import Span
from tests.models.fusions.rows import gradients, make_rows, stepped


def affine(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    """One linear map by its name."""
    return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]


def attend_one(weights: dict[str, Tensor], heads: int, x: Tensor, rows: list[Tensor]) -> Tensor:
    """Equations 1 and 2 for one row x and the rows that it may ask, head by head and row by row."""
    e = len(x) // heads
    q, read = affine(weights, "query", x), torch.zeros_like(x)
    for i in range(heads):
        part = slice(i * e, (i + 1) * e)
        scores = [float(q[part] @ affine(weights, "key", y)[part]) / math.sqrt(e) for y in rows]
        total = sum(math.exp(s) for s in scores)
        for s, y in zip(scores, rows, strict=True):
            read[part] += math.exp(s) / total * affine(weights, "value", y)[part]
    return affine(weights, "out", read)


@torch.no_grad()
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_attention_is_what_its_equations_say(heads: int) -> None:
    """Every row asks the rows that it may; one that may ask none reads nothing."""
    torch.manual_seed(0)
    attend = MultiHead(8, heads).double()
    x, y = torch.randn(2, 3, 8, dtype=torch.float64), torch.randn(2, 5, 8, dtype=torch.float64)
    allowed = torch.rand(2, 3, 5) < 0.5
    allowed[0, 1] = False
    weights = attend.state_dict()
    want = torch.stack(
        [
            torch.stack(
                [
                    attend_one(weights, heads, x[b, t], [y[b, j] for j in range(5) if allowed[b, t, j]])
                    for t in range(3)
                ]
            )
            for b in range(2)
        ]
    )
    torch.testing.assert_close(attend(x, *attend.remember(y), allowed), want, atol=1e-10, rtol=0)
    torch.testing.assert_close(want[0, 1], attend.out.bias)


@torch.no_grad()
def test_attention_is_that_of_torch() -> None:
    """With the same weights it equals `torch.nn.MultiheadAttention`."""
    torch.manual_seed(0)
    ours, theirs = MultiHead(8, 2), torch.nn.MultiheadAttention(8, 2, batch_first=True)
    theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
    theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
    theirs.out_proj.load_state_dict(ours.out.state_dict())
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    x, y = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    got = ours(x, *ours.remember(y), torch.ones(2, 3, 5, dtype=torch.bool))
    torch.testing.assert_close(got, theirs(x, y, y)[0], atol=1e-6, rtol=0)


def make(modalities: int = 3, heads: int = 2) -> SelfAttention:
    torch.manual_seed(0)
    return SelfAttention(modalities=modalities, dim=8, span=Span(3, 0), heads=heads).double()


@torch.no_grad()
def oracle(fusion: SelfAttention, h_MD: Tensor, present_M: Tensor) -> Tensor:
    """Equation 3 of one utterance."""
    weights = fusion.attend.state_dict()
    here = [h for h, p in zip(h_MD, present_M, strict=True) if p]
    rows = [h + attend_one(weights, fusion.attend.heads, h, here) for h in here]
    return torch.stack(rows).mean(0) if rows else torch.zeros(h_MD.shape[1], dtype=torch.float64)


@pytest.mark.parametrize("modalities", [1, 2, 3])
def test_the_rows_are_what_the_equation_says(modalities: int) -> None:
    """Whole and stepped; an absent modality (NaN here) is neither asked nor asks."""
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


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="3 heads"):
        make(heads=3)
