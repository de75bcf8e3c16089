"""MMGCN against a loop over the equations of the paper."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.hosts import build
from models.hosts.mmgcn import Mmgcn
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

Node = tuple[int, int]  # stream, utterance


def host(span: Span, *, streams: int = 3, dim: int = 8, **options: Any) -> Mmgcn:
    """Small and in float64."""
    torch.manual_seed(0)
    made = build("mmgcn", streams=streams, dim=dim, span=span, **options)
    assert isinstance(made, Mmgcn)
    return made.double().eval()


def read(lstm: nn.LSTM, rows: dict[int, Tensor]) -> dict[int, Tensor]:
    """Hochreiter & Schmidhuber 1997 over rows in their order."""
    h = c = torch.zeros(lstm.hidden_size, dtype=torch.float64)
    said = {}
    w_i, w_h, b_i, b_h = lstm.parameters()
    for n, x in rows.items():
        enter, forget, new, leave = (w_i @ x + b_i + w_h @ h + b_h).chunk(4)
        c = forget.sigmoid() * c + enter.sigmoid() * new.tanh()
        h = leave.sigmoid() * c.tanh()
        said[n] = h
    return said


def nodes(net: Mmgcn, data: Given, b: int) -> dict[Node, Tensor]:
    """x of each node of a conversation."""
    rows = {n: data.x_BNSD[b, n, 0] for n in data.there(b, 0)}
    text = read(net.encoder.past, rows)
    if net.encoder.future is not None:
        ahead = read(net.encoder.future, dict(reversed(rows.items())))
        text = {n: torch.cat([text[n], ahead[n]]) for n in text}
    x = {(0, n): row for n, row in text.items()}
    x.update({(s, n): data.x_BNSD[b, n, s] for s in range(1, net.streams) for n in data.there(b, s)})
    return x


def weight(net: Mmgcn, a: Node, b: Node, x: dict[Node, Tensor], span: Span) -> float:
    """The entry of A + I for receiver ``a`` and sender ``b``."""
    if a == b:
        return 1.0
    age = a[1] - b[1]
    near = (span.past is None or age < span.past) and (span.future is None or -age <= span.future)
    angular = 1 - math.acos(float(x[a] @ x[b] / (x[a].norm() * x[b].norm()))) / math.pi
    if a[0] == b[0]:
        return angular if near else 0.0
    return net.gamma * angular if age == 0 else 0.0


def loop(net: Mmgcn, data: Given, span: Span) -> Tensor:
    """Nodes and edges one by one."""
    out_BNSD = torch.zeros_like(data.x_BNSD)
    for b in range(len(out_BNSD)):
        x = nodes(net, data, b)
        a = {i: {j: weight(net, i, j, x, span) for j in x} for i in x}
        degree = {i: sum(a[i].values()) for i in x}
        first = {i: net.first(x[i]).relu() for i in x}
        h = first
        for layer, w_DD in enumerate(net.map_LDD):
            h, last = {}, h
            beta = math.log(0.5 / (layer + 1) + 1)
            for i in x:
                heard = torch.zeros_like(x[i])
                for j in x:
                    by = degree[i] if span.causal else math.sqrt(degree[i] * degree[j])
                    heard = heard + a[i][j] / by * last[j]
                mixed = 0.9 * heard + 0.1 * first[i]
                h[i] = ((1 - beta) * mixed + beta * mixed @ w_DD).relu()
        for s, n in x:
            assert net.result.bias_SO is not None
            both = torch.cat([x[s, n], h[s, n]])
            out_BNSD[b, n, s] = both @ net.result.weight_SIO[s] + net.result.bias_SO[s]
    return out_BNSD


@pytest.mark.parametrize("span", [Span(3, 0), Span(1, 0), Span(None, 0), Span(3, 2), FULL], ids=str)
@pytest.mark.parametrize("streams", [1, 3])
@torch.no_grad()
def test_it_is_its_equations(span: Span, streams: int) -> None:
    """Nodes and edges one by one give the same, with each form's normalisation."""
    net, data = host(span, streams=streams), given(streams=streams)
    torch.testing.assert_close(data.into(net), loop(net, data, span), atol=1e-12, rtol=0)


@pytest.mark.parametrize("span", [Span(3, 0), Span(3, 2), FULL], ids=str)
@torch.no_grad()
def test_absent_rows_padding_and_the_batch_are_not_read(span: Span) -> None:
    """NaN in any of them changes nothing."""
    check_masked(host(span), given(streams=3))


@pytest.mark.parametrize(("window", "layers"), [(1, 1), (3, 1), (3, 4), (20, 2)])
@torch.no_grad()
def test_stepping_is_exact_in_every_layer(window: int, layers: int) -> None:
    """Stepping gives the rows of the whole to the last digits, also where layers widen what is seen."""
    check_stepped(host(Span(window, 0), layers=layers), given(streams=3, n=12))


@torch.no_grad()
def test_the_window_has_an_edge() -> None:
    """A change of a stream without LSTM is felt W - 1 utterances later for each layer, in full everywhere."""
    data = given(streams=3, n=12, gaps=False)
    assert reach(host(Span(3, 0), layers=1), data, 4, 1) == (0, 2)
    assert reach(host(Span(3, 0), layers=2), data, 4, 1) == (0, 4)
    assert reach(host(Span(2, 0), layers=4), data, 4, 1) == (0, 4)
    assert reach(host(FULL), data, 4, 1) == (4, 7)


@torch.no_grad()
def test_the_first_stream_is_read_in_order() -> None:
    """Its LSTM carries context from before the window; back from what follows where the span looks ahead."""
    data = given(streams=1, n=12, gaps=False)
    assert reach(host(Span(1, 0), streams=1, layers=1), data, 4, 0) == (0, 7)
    assert reach(host(Span(2, 1), streams=1, layers=1), data, 4, 0) == (4, 7)


@torch.no_grad()
def test_streams_of_an_utterance_hear_each_other() -> None:
    """With gamma 0 they do not; neither does an utterance hear another stream of a later one."""
    data = given(streams=3, gaps=False)
    for gamma, heard in ((0.7, True), (0.0, False)):
        net = host(Span(1, 0), gamma=gamma)
        moved_BNS = (data.changed(3, 1).into(net) - data.into(net)).abs().amax(3) > 1e-14
        assert moved_BNS[:, 3, 1].all()
        assert bool(moved_BNS[:, 3, 2].all()) is heard
        assert not moved_BNS[:, [0, 1, 2, 4, 5, 6, 7]].any()


@torch.no_grad()
def test_identical_utterances_are_finite() -> None:
    """An angle of zero, at which the slope of arccos is infinite, and rows of zero."""
    net = host(FULL)
    x_BNSD = torch.ones(1, 4, 3, 8, dtype=torch.float64)
    x_BNSD[:, 2:] = 0
    x_BNSD.requires_grad_()
    everything = torch.ones(1, 4, 3, dtype=torch.bool)
    with torch.enable_grad():
        h_BNSD = net(x_BNSD, everything, torch.zeros(1, 4, dtype=torch.long), everything[..., 0])
        (grad,) = torch.autograd.grad(h_BNSD.square().sum(), x_BNSD)
    assert torch.isfinite(h_BNSD).all()
    assert torch.isfinite(grad).all()
    assert grad.abs().max() > 0.01


@pytest.mark.parametrize("span", [Span(3, 0), FULL], ids=str)
def test_every_parameter_learns(span: Span) -> None:
    """None is idle and none meets NaN."""
    check_gradients(host(span), given(streams=3, n=10))


@torch.no_grad()
def test_mixed_precision() -> None:
    """Angles hold in half precision."""
    check_half(host(Span(3, 0)), given(streams=3))
    check_half_stepped(host(Span(3, 0)), given(streams=3))
    check_half(host(FULL), given(streams=3))


@pytest.mark.parametrize(
    "options", [{"layers": 0}, {"alpha": 1.1}, {"alpha": -0.1}, {"eta": -1.0}, {"gamma": -1.0}]
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    """With the numbers in the message."""
    with pytest.raises(ValueError, match="at least one layer"):
        host(FULL, **options)


def test_two_directions_need_an_even_width() -> None:
    """One direction does not."""
    with pytest.raises(ValueError, match="width 7 must be even"):
        host(FULL, dim=7)
    assert host(Span(3, 0), dim=7).dim == 7


@pytest.mark.parametrize("span", [FULL, Span(None, 0), Span(3, 1)], ids=str)
def test_what_looks_ahead_or_back_without_limit_cannot_be_stepped(span: Span) -> None:
    """The span says so."""
    with pytest.raises(ValueError, match="cannot be stepped"):
        host(span).init_state(1)
