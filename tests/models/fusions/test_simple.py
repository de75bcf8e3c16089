"""Sum, concatenation and gated sum against their definitions, one utterance and one feature at a time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from models.fusions import FUSIONS, build
from models.fusions.base import Fusion
from models.span import FULL, Span
from tests.models.fusions.rows import gradients, make_rows, stepped

PLAIN = ("add", "concat", "gated")


def make(name: str, modalities: int = 3) -> Fusion:
    torch.manual_seed(0)
    return build(name, modalities=modalities, dim=8, span=Span(3, 0)).double()


@torch.no_grad()
def oracle(name: str, fusion: Fusion, h_MD: Tensor, present_M: Tensor) -> list[float]:
    """z of one utterance, from the definitions."""
    m, d = h_MD.shape
    h = [[float(h_MD[i, j]) if present_M[i] else 0.0 for j in range(d)] for i in range(m)]
    flat = torch.tensor([x for row in h for x in row], dtype=torch.float64)
    if name == "add":
        return [sum(h[i][j] for i in range(m)) for j in range(d)]
    weights = fusion.state_dict()
    if name == "concat":
        return (weights["map.weight"] @ flat + weights["map.bias"]).tolist()
    score = (weights["gate.weight"] @ flat + weights["gate.bias"]).tolist()
    z = []
    for j in range(d):
        here = [i for i in range(m) if present_M[i]]
        total = sum(math.exp(score[i * d + j]) for i in here)
        z.append(sum(math.exp(score[i * d + j]) / total * h[i][j] for i in here))
    return z


@pytest.mark.parametrize("modalities", [1, 2, 3])
@pytest.mark.parametrize("name", PLAIN)
def test_the_rows_are_what_the_definition_says(name: str, modalities: int) -> None:
    """Whole and stepped; an absent modality (NaN here) is read by neither."""
    fusion = make(name, modalities)
    h_BNMD, present_BNM = make_rows(m=modalities)
    want = torch.tensor(
        [
            [oracle(name, fusion, h, p) for h, p in zip(hs, ps, strict=True)]
            for hs, ps in zip(h_BNMD, present_BNM, strict=True)
        ],
        dtype=torch.float64,
    )
    with torch.no_grad():
        torch.testing.assert_close(fusion(h_BNMD, present_BNM), want, atol=1e-10, rtol=0)
    torch.testing.assert_close(stepped(fusion, h_BNMD, present_BNM), want, atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", PLAIN)
def test_gradients_are_finite_and_none_flows_to_what_is_absent(name: str) -> None:
    """NaN in an absent row does not come back through the mask."""
    h_BNMD, present_BNM = make_rows()
    grad_BNMD = gradients(make(name), h_BNMD, present_BNM)
    assert torch.isfinite(grad_BNMD).all()
    assert (grad_BNMD[~present_BNM] == 0).all()
    assert (grad_BNMD[present_BNM] != 0).any()


@pytest.mark.parametrize("name", FUSIONS)
def test_an_utterance_with_nothing_is_finite(name: str) -> None:
    """Every fusion there is: no modality at all, alone in its conversation, in float32."""
    torch.manual_seed(0)
    fusion = build(name, modalities=3, dim=16, span=Span(3, 0))
    h, present = torch.full((1, 1, 3, 16), torch.nan), torch.zeros(1, 1, 3, dtype=torch.bool)
    with torch.no_grad():
        assert torch.isfinite(fusion(h, present)).all()
        assert torch.isfinite(fusion.step(h[:, 0], present[:, 0], fusion.init_state(1))[0]).all()


@pytest.mark.parametrize("name", FUSIONS)
@pytest.mark.parametrize("modalities", [1, 2, 3])
def test_every_fusion_takes_one_to_three_modalities(name: str, modalities: int) -> None:
    """Text alone, a pair, and all three, with the conversation in sight or a window of it."""
    h_BNMD, present_BNM = make_rows(m=modalities, dim=16)
    for span in (FULL, Span(3, 0), Span(2, 2), Span(1, 0)):
        torch.manual_seed(0)
        fusion = build(name, modalities=modalities, dim=16, span=span).double().eval()
        with torch.no_grad():
            z_BND = fusion(h_BNMD, present_BNM)
        assert z_BND.shape == (2, 6, 16)
        assert torch.isfinite(z_BND).all()
        if span.causal:
            torch.testing.assert_close(stepped(fusion, h_BNMD, present_BNM), z_BND, atol=1e-10, rtol=0)


@pytest.mark.parametrize(("modalities", "dim"), [(0, 8), (3, 0)])
def test_a_size_of_nothing_is_refused(modalities: int, dim: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        build("add", modalities=modalities, dim=dim, span=Span())
