"""The host without context against a loop over its layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from models.hosts import build
from models.hosts.text_cnn import TextCnn
from models.span import FULL, Span
from tests.models.hosts.given import (
    Given,
    check_alone,
    check_gradients,
    check_half,
    check_stepped,
    given,
    reach,
)


def host(span: Span = FULL, **options: Any) -> TextCnn:
    """With biases that leave no filter idle."""
    torch.manual_seed(0)
    made = build("text-cnn", streams=2, dim=8, span=span, **options)
    assert isinstance(made, TextCnn)
    for layer in made.layers:
        torch.nn.init.uniform_(layer.bias, 1, 2)  # type: ignore[arg-type]
    return made.double().eval()


def loop(net: TextCnn, data: Given) -> Tensor:
    """Every utterance of every stream by itself, filter by filter."""
    out_BNSD = torch.empty_like(data.x_BNSD)
    for b in range(len(out_BNSD)):
        for n in range(out_BNSD.shape[1]):
            for s in range(net.streams):
                row = data.x_BNSD[b, n, s] if n in data.there(b, s) else torch.zeros(net.dim)
                for layer in net.layers:
                    assert isinstance(layer, torch.nn.Conv1d)
                    assert layer.bias is not None
                    filters = range(s * net.dim, (s + 1) * net.dim)
                    row = torch.stack([(layer.weight[f, :, 0] * row).sum() + layer.bias[f] for f in filters])
                    row = row.clamp_min(0)
                out_BNSD[b, n, s] = row
    return out_BNSD


@pytest.mark.parametrize("layers", [1, 2, 4])
@torch.no_grad()
def test_it_is_its_equation(layers: int) -> None:
    """Filters one by one give the same."""
    net, data = host(layers=layers), given()
    assert len(net.layers) == layers
    torch.testing.assert_close(data.into(net), loop(net, data), atol=1e-12, rtol=0)


@torch.no_grad()
def test_it_has_no_context_with_any_span() -> None:
    """Only the utterance itself is felt, and the parameters are the same."""
    data = given(n=12, gaps=False)
    want = data.into(host(FULL))
    for span in (FULL, Span(4, 0), Span(4, 2)):
        assert reach(host(span), data, 4, 1) == (0, 0)
        torch.testing.assert_close(data.into(host(span)), want, atol=0, rtol=0)


@torch.no_grad()
def test_streams_are_apart() -> None:
    """A change of one stream leaves the others as they are."""
    net, data = host(), given(gaps=False)
    moved_BNSD = data.changed(3, 1).into(net) - data.into(net)
    assert (moved_BNSD[:, :, 0] == 0).all()
    assert moved_BNSD[:, 3, 1].abs().amax(-1).min() > 0


@torch.no_grad()
def test_absent_rows_padding_and_the_batch_are_not_read() -> None:
    """NaN in any of them changes nothing."""
    check_alone(host(), given())


@torch.no_grad()
def test_it_is_stepped_without_a_state() -> None:
    """With every span: there is nothing to remember."""
    for span in (FULL, Span(4, 0)):
        check_stepped(host(span), given(n=12))
        assert not host(span).init_state(2)


def test_every_parameter_learns() -> None:
    """None is idle and none meets NaN."""
    check_gradients(host(), given(n=10))


@torch.no_grad()
def test_mixed_precision() -> None:
    """Masks hold in half precision."""
    check_half(host(), given())


class Nothing(torch.nn.Module):
    """Drops all."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


@torch.no_grad()
def test_dropout_is_before_every_layer() -> None:
    """All of it dropped, nothing but the last biases is left; what is kept when evaluating is all."""
    net, data = host(dropout=0.5), given(gaps=False)
    torch.testing.assert_close(data.into(net), data.into(net), atol=0, rtol=0)
    net.train()
    assert (data.into(net) - data.into(net)).abs().max() > 0.01
    net.drop = Nothing()  # type: ignore[assignment]
    bias_SD = net.layers[-1].bias.view(2, 8)  # type: ignore[operator]
    torch.testing.assert_close(data.into(net), bias_SD.expand_as(data.x_BNSD), atol=0, rtol=0)


def test_no_layers_are_refused() -> None:
    """With the number in the message."""
    with pytest.raises(ValueError, match="0 layers"):
        host(layers=0)
