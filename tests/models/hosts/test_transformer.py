"""The conversation transformer against a loop over its equations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.hosts import build
from models.hosts.transformer import Layer, Transformer
from models.span import FULL, Span
from tests.models.hosts.given import (
    Given,
    check_gradients,
    check_half,
    check_half_stepped,
    check_masked,
    check_stepped,
    given,
    reach,
)


def host(span: Span, *, streams: int = 2, dim: int = 8, **options: Any) -> Transformer:
    """With every learned number away from zero."""
    torch.manual_seed(0)
    made = build("transformer", streams=streams, dim=dim, span=span, speakers=3, **options)
    assert isinstance(made, Transformer)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return made.double().eval()


def normal(row_D: Tensor) -> Tensor:
    return F.layer_norm(row_D, row_D.shape)


def loop(net: Transformer, data: Given, span: Span) -> Tensor:
    """Every row, head and pair by itself."""
    out_BNSD = torch.zeros_like(data.x_BNSD)
    for b in range(len(out_BNSD)):
        for s in range(net.streams):
            h = {n: data.x_BNSD[b, n, s] for n in data.there(b, s)}
            for layer in net.layers:
                assert isinstance(layer, Layer)
                h = {t: row(net, layer, h, t, s, data.speaker_BN[b], span) for t in h}
            for n, row_D in h.items():
                out_BNSD[b, n, s] = normal(row_D) * net.gain_SD[s] + net.shift_SD[s]
    return out_BNSD


def row(
    net: Transformer, layer: Layer, h: dict[int, Tensor], t: int, s: int, who_N: Tensor, span: Span
) -> Tensor:
    """Row ``t`` of the next layer from the rows ``h`` of this one."""

    def apply(linear: Any, x: Tensor) -> Tensor:
        return x @ linear.weight_SIO[s] + linear.bias_SO[s]  # type: ignore[no-any-return]

    e = net.dim // layer.heads
    near = [
        j
        for j in h
        if (span.past is None or t - j < span.past) and (span.future is None or j - t <= span.future)
    ]
    read = []
    for k in range(layer.heads):
        part = slice(k * e, (k + 1) * e)
        q, keys, values = apply(layer.ask, normal(h[t])), [], []
        scores = []
        for j in near:
            asked = apply(layer.ask, normal(h[j]))
            keys.append(asked[net.dim : 2 * net.dim][part])
            values.append(asked[2 * net.dim :][part])
            age = min(max(t - j, net.newest), net.oldest) - net.newest
            same = float(min(who_N[t], net.speakers - 1) == min(who_N[j], net.speakers - 1))
            score = (
                q[: net.dim][part] @ keys[-1] / e**0.5 + layer.age_SHA[s, k, age] + same * layer.same_SH[s, k]
            )
            scores.append(score)
        weights = torch.stack(scores).softmax(0)
        read.append(sum(w * v for w, v in zip(weights, values, strict=True)))
    middle = h[t] + apply(layer.tell, torch.cat(read))
    return middle + apply(layer.down, F.relu(apply(layer.up, normal(middle))))


@pytest.mark.parametrize("span", [Span(3, 0), Span(1, 0), Span(None, 0), Span(3, 2), FULL], ids=str)
@torch.no_grad()
def test_it_is_its_equations(span: Span) -> None:
    """Rows, heads and pairs one by one give the same; so do ages beyond the reach."""
    net, data = host(span, reach=4), given()
    torch.testing.assert_close(data.into(net), loop(net, data, span), atol=1e-12, rtol=0)


@pytest.mark.parametrize("span", [Span(3, 0), Span(3, 2), FULL], ids=str)
@torch.no_grad()
def test_absent_rows_padding_and_the_batch_are_not_read(span: Span) -> None:
    """NaN in any of them changes nothing."""
    check_masked(host(span), given())


@pytest.mark.parametrize(("window", "layers"), [(1, 1), (3, 1), (3, 3), (20, 2)])
@torch.no_grad()
def test_the_rolling_window_is_exact_in_every_layer(window: int, layers: int) -> None:
    """Stepping gives the rows of the whole to the last digits, also where layers widen what is seen."""
    check_stepped(host(Span(window, 0), layers=layers), given(n=12))


@torch.no_grad()
def test_the_window_has_an_edge() -> None:
    """A change is felt W - 1 utterances later for each layer and never before; both ways in a span ahead."""
    data = given(n=12, gaps=False)
    assert reach(host(Span(3, 0), layers=1), data, 4, 1) == (0, 2)
    assert reach(host(Span(3, 0), layers=2), data, 4, 1) == (0, 4)
    assert reach(host(Span(3, 1), layers=2), data, 4, 1) == (2, 4)
    assert reach(host(FULL), data, 4, 1) == (4, 7)


@torch.no_grad()
def test_streams_are_apart() -> None:
    """A change of one stream leaves the others as they are."""
    net, data = host(FULL), given(gaps=False)
    moved_BNSD = data.changed(3, 1).into(net) - data.into(net)
    assert (moved_BNSD[:, :, 0] == 0).all()
    assert moved_BNSD[:, :, 1].abs().min() > 0


@torch.no_grad()
def test_only_who_shares_the_speaker_counts() -> None:
    """Other numbers for the same people change nothing; those beyond the table are one person."""
    net, data = host(Span(4, 0)), given()
    renamed = Given(data.x_BNSD, data.present_BNS, 2 - data.speaker_BN, data.valid_BN)
    torch.testing.assert_close(renamed.into(net), data.into(net), atol=0, rtol=0)
    beyond = Given(
        data.x_BNSD, data.present_BNS, torch.where(data.speaker_BN == 2, 9, data.speaker_BN), data.valid_BN
    )
    torch.testing.assert_close(beyond.into(net), data.into(net), atol=0, rtol=0)
    one = Given(data.x_BNSD, data.present_BNS, torch.zeros_like(data.speaker_BN), data.valid_BN)
    assert (one.into(net) - data.into(net)).abs().max() > 0.01


@pytest.mark.parametrize("span", [Span(3, 0), FULL], ids=str)
def test_every_parameter_learns(span: Span) -> None:
    """None is idle and none meets NaN."""
    check_gradients(host(span, reach=3), given(n=10))


@torch.no_grad()
def test_mixed_precision() -> None:
    """Masks hold in half precision."""
    check_half(host(Span(3, 0)), given())
    check_half_stepped(host(Span(3, 0)), given())
    check_half(host(FULL), given())


@torch.no_grad()
def test_a_wider_feed_forward_is_an_option() -> None:
    """``ffn`` is twice the width unless given."""
    layer = host(FULL).layers[0]
    assert isinstance(layer, Layer)
    assert layer.up.weight_SIO.shape == (2, 8, 16)
    wide = host(FULL, ffn=5).layers[0]
    assert isinstance(wide, Layer)
    assert wide.up.weight_SIO.shape == (2, 8, 5)


@pytest.mark.parametrize("options", [{"heads": 3}, {"layers": 0}, {"ffn": 0}, {"reach": 0}, {"heads": 0}])
def test_impossible_sizes_are_refused(options: dict[str, int]) -> None:
    """With the numbers in the message."""
    with pytest.raises(ValueError, match="heads must divide the width 8"):
        host(FULL, **options)


@pytest.mark.parametrize("span", [FULL, Span(None, 0), Span(3, 1)], ids=str)
def test_what_looks_ahead_or_back_without_limit_cannot_be_stepped(span: Span) -> None:
    """The span says so."""
    with pytest.raises(ValueError, match="cannot be stepped"):
        host(span).init_state(1)
