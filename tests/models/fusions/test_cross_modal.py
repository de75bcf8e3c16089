"""Crossmodal attention, deep and light, against the equations in plain loops over utterances."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.fusions.base import Fusion
from models.fusions.cross_modal import CrossModal, CrossModalAttention
from models.span import FULL, Span
from tests.models.fusions.rows import gradients, make_rows, stepped
from tests.models.fusions.test_self_attention import attend_one

SPANS = (FULL, Span(None, 0), Span(3, 0), Span(1, 0), Span(2, 1))


def deep(modalities: int = 3, span: Span | None = None, layers: int = 2) -> CrossModal:
    torch.manual_seed(0)
    span = span or Span(3, 0)
    fusion = CrossModal(modalities=modalities, dim=8, span=span, heads=2, layers=layers)
    for name, p in fusion.named_parameters():  # norms that do something
        if ".before." in name or ".between." in name or name.startswith("norm."):
            torch.nn.init.normal_(p)
    return fusion.double()


def light(modalities: int = 3, span: Span | None = None) -> CrossModalAttention:
    torch.manual_seed(0)
    return CrossModalAttention(modalities=modalities, dim=8, span=span or Span(3, 0), heads=2).double()


def part(fusion: Fusion, prefix: str) -> dict[str, Tensor]:
    """The weights of one part, by their names within it."""
    return {k.removeprefix(prefix): v for k, v in fusion.state_dict().items() if k.startswith(prefix)}


def norm(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape, weights[f"{name}.weight"], weights[f"{name}.bias"])


def seen(span: Span, t: int, n: int) -> list[int]:
    """The utterances that t may look at, from the words of `Span`."""
    first = 0 if span.past is None else t - span.past + 1
    last = n - 1 if span.future is None else t + span.future
    return [j for j in range(n) if first <= j <= last]


@torch.no_grad()
def light_oracle(fusion: CrossModalAttention, h: Tensor, present: Tensor) -> Tensor:
    """Equation 4, one utterance after the other, for one conversation ``h [N, M, D]``."""
    n, modalities, dim = h.shape
    h = torch.where(present.unsqueeze(-1), h, 0.0)
    rows = []
    for t in range(n):
        z = torch.zeros(dim, dtype=torch.float64)
        for m in range(modalities):
            z = z + h[t, m]
        for s in range(modalities):
            there = [h[j, s] for j in seen(fusion.span, t, n) if present[j, s]]
            z = z + attend_one(part(fusion, f"attend.{s}."), 2, h[t, 0], there)
        rows.append(z)
    return torch.stack(rows)


@torch.no_grad()
def deep_oracle(fusion: CrossModal, h: Tensor, present: Tensor) -> Tensor:
    """Equations 1 to 3, one utterance, pair and layer after the other, for one conversation."""
    n, modalities, dim = h.shape
    h = torch.where(present.unsqueeze(-1), h, 0.0)
    pairs = [(m, s) for m in range(modalities) for s in range(modalities) if m != s] or [(0, 0)]
    rows = []
    for t in range(n):
        ends = []
        for p, (m, s) in enumerate(pairs):
            x = h[t, m]
            for layer in range(fusion.layers):
                w = part(fusion, f"transformer.{p * fusion.layers + layer}.")
                attend = {k.removeprefix("attend."): v for k, v in w.items() if k.startswith("attend.")}
                there = [norm(w, "before", h[j, s]) for j in seen(fusion.span, t, n) if present[j, s]]
                x = x + attend_one(attend, 2, norm(w, "before", x), there)
                wide = (w["wide.weight"] @ norm(w, "between", x) + w["wide.bias"]).clamp_min(0)
                x = x + w["narrow.weight"] @ wide + w["narrow.bias"]
            end = norm(part(fusion, "norm."), str(p), x)
            ends.append(end if present[t, m] else torch.zeros(dim, dtype=torch.float64))
        rows.append(fusion.join.weight @ torch.cat(ends) + fusion.join.bias)
    return torch.stack(rows)


@pytest.mark.parametrize("modalities", [1, 2, 3])
@pytest.mark.parametrize("span", SPANS, ids=str)
def test_the_light_form_is_what_its_equation_says(modalities: int, span: Span) -> None:
    """Whole, and stepped where it can be; NaN stands in what is absent."""
    fusion = light(modalities, span)
    h_BNMD, present_BNM = make_rows(m=modalities)
    want = torch.stack([light_oracle(fusion, h, p) for h, p in zip(h_BNMD, present_BNM, strict=True)])
    check(fusion, h_BNMD, present_BNM, want)


@pytest.mark.parametrize("modalities", [1, 2, 3])
@pytest.mark.parametrize("span", SPANS, ids=str)
def test_the_transformer_is_what_its_equations_say(modalities: int, span: Span) -> None:
    """Two layers, whole, and stepped where it can be; NaN stands in what is absent."""
    fusion = deep(modalities, span)
    h_BNMD, present_BNM = make_rows(m=modalities)
    want = torch.stack([deep_oracle(fusion, h, p) for h, p in zip(h_BNMD, present_BNM, strict=True)])
    check(fusion, h_BNMD, present_BNM, want)


def check(fusion: Fusion, h_BNMD: Tensor, present_BNM: Tensor, want: Tensor) -> None:
    with torch.no_grad():
        torch.testing.assert_close(fusion(h_BNMD, present_BNM), want, atol=1e-10, rtol=0)
    if fusion.span.causal and fusion.span.past is not None:
        torch.testing.assert_close(stepped(fusion, h_BNMD, present_BNM), want, atol=1e-10, rtol=0)
    else:
        with pytest.raises(ValueError, match="cannot be stepped"):
            fusion.init_state(1)


@pytest.mark.parametrize("fusion", [light(span=FULL), deep(span=FULL)], ids=["light", "transformer"])
def test_gradients_are_finite_and_none_flows_to_what_is_absent(fusion: Fusion) -> None:
    """But a key's bias moves every score of a row alike: the softmax gives it none, as it should."""
    h_BNMD, present_BNM = make_rows()
    grad_BNMD = gradients(fusion, h_BNMD, present_BNM)
    assert torch.isfinite(grad_BNMD).all()
    assert (grad_BNMD[~present_BNM] == 0).all()


@pytest.mark.parametrize("fusion", [light(), deep()], ids=["light", "transformer"])
@torch.no_grad()
def test_a_step_forgets_what_leaves_the_window(fusion: Fusion) -> None:
    """After W utterances the first one has no say left, and had one until then."""
    h_BNMD, present_BNM = torch.randn(1, 6, 3, 8, dtype=torch.float64), torch.ones(1, 6, 3, dtype=torch.bool)
    other = h_BNMD.clone()
    other[:, 0] = -other[:, 0]
    apart = (stepped(fusion, h_BNMD, present_BNM) - stepped(fusion, other, present_BNM)).abs().amax(-1)[0]
    assert (apart[:3] > 1e-6).all()
    assert (apart[3:] == 0).all()


def test_the_light_form_has_three_attentions_of_four_maps() -> None:
    """198,144 parameters at width 128: the comparison row of the study."""
    with torch.device("meta"):
        fusion = CrossModalAttention(modalities=3, dim=128, span=Span())
    assert sum(p.numel() for p in fusion.parameters()) == 3 * 4 * (128**2 + 128) == 198_144


def test_the_transformer_has_six_pairs() -> None:
    """Each with attention, two maps and three norms, and one map that joins them."""
    d = 16
    with torch.device("meta"):
        fusion = CrossModal(modalities=3, dim=d, span=Span())
    pair = 4 * (d * d + d) + (8 * d * d + 5 * d) + 3 * 2 * d
    assert sum(p.numel() for p in fusion.parameters()) == 6 * pair + 6 * d * d + d


@pytest.mark.parametrize(
    ("layers", "heads", "says"), [(0, 2, "layers 0"), (1, 3, "3 heads"), (1, 0, "0 heads")]
)
def test_wrong_sizes_are_refused(layers: int, heads: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        CrossModal(modalities=3, dim=8, span=Span(), heads=heads, layers=layers)
