"""DialogueGCN against a loop over the equations of the paper."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from models.hosts import build
from models.hosts.dialogue_gcn import DialogueGcn
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


def host(span: Span, *, streams: int = 2, dim: int = 8, **options: Any) -> DialogueGcn:
    """Small and in float64."""
    torch.manual_seed(0)
    made = build("dialogue-gcn", streams=streams, dim=dim, span=span, speakers=3, **options)
    assert isinstance(made, DialogueGcn)
    return made.double().eval()


def read(net: DialogueGcn, rows: dict[int, Tensor], k: int) -> dict[int, Tensor]:
    """Unit ``k`` over rows in their order: Cho et al. 2014, the reset gate on the product as in torch."""
    gru, e = net.encoder, net.encoder.width
    h, said = torch.zeros(e, dtype=torch.float64), {}
    bias_SO = gru.read.bias_SO
    assert bias_SO is not None
    for n, x in rows.items():
        of_input = x @ gru.read.weight_SIO[k] + bias_SO[k]
        of_state = h @ gru.own_KEG[k] + gru.own_KG[k]
        r = torch.sigmoid(of_input[:e] + of_state[:e])
        z = torch.sigmoid(of_input[e : 2 * e] + of_state[e : 2 * e])
        new = torch.tanh(of_input[2 * e :] + r * of_state[2 * e :])
        h = (1 - z) * new + z * h
        said[n] = h
    return said


def context(net: DialogueGcn, data: Given, b: int, s: int) -> dict[int, Tensor]:
    """g of each node."""
    rows = {n: data.x_BNSD[b, n, s] for n in data.there(b, s)}
    g = read(net, rows, s)
    if net.span.causal:
        return g
    ahead = read(net, dict(reversed(rows.items())), net.streams + s)
    return {n: torch.cat([g[n], ahead[n]]) for n in g}


def loop(net: DialogueGcn, data: Given, past: int, future: int) -> Tensor:
    """Nodes, relations and edges one by one; ``past`` and ``future`` are the p and f of the paper."""
    out_BNSD, d = torch.zeros_like(data.x_BNSD), net.dim
    for b in range(len(out_BNSD)):
        who_N = data.speaker_BN[b].clamp(max=net.speakers - 1)
        for s in range(net.streams):
            g = context(net, data, b, s)
            w_r = torch.split(net.relation_SQD[s], d)
            near = {i: [j for j in g if -future <= i - j <= past] for i in g}
            h1 = {}
            for i in g:
                a = torch.stack([g[i] @ net.match_SDD[s] @ g[j] for j in near[i]]).softmax(0)
                weight = dict(zip(near[i], a, strict=True))
                heard = weight[i] * g[i] @ w_r[-1]
                for r in range(len(w_r) - 1):
                    linked = [j for j in near[i] if j != i and relation(i, j, who_N) == r]
                    for j in linked:
                        heard = heard + weight[j] / len(linked) * g[j] @ w_r[r]
                h1[i] = heard.relu()
            for i in g:
                around = sum((h1[j] for j in near[i] if j != i), torch.zeros_like(h1[i]))
                h2 = (around @ net.second.weight_SIO[s, :d] + h1[i] @ net.second.weight_SIO[s, d:]).relu()
                assert net.result.bias_SO is not None
                both = torch.cat([g[i], h2])
                out_BNSD[b, i, s] = both @ net.result.weight_SIO[s] + net.result.bias_SO[s]
    return out_BNSD


def relation(i: int, j: int, who_N: Tensor) -> int:
    """Past of the same speaker, past of another, future of the same, future of another."""
    return 2 * (j > i) + int(who_N[i] != who_N[j])


CASES = [
    (Span(3, 0), {}, 2, 0),
    (Span(1, 0), {}, 0, 0),
    (Span(16, 0), {"past": 4}, 4, 0),
    (Span(None, 0), {"past": 3, "future": 5}, 3, 0),
    (FULL, {"past": 2, "future": 1}, 2, 1),
    (FULL, {}, 10, 10),
    (Span(4, 2), {}, 3, 2),
]


@pytest.mark.parametrize(("span", "options", "past", "future"), CASES, ids=str)
@torch.no_grad()
def test_it_is_its_equations(span: Span, options: dict[str, int], past: int, future: int) -> None:
    """Nodes, relations and edges one by one give the same, in the window that span and options allow."""
    net, data = host(span, **options), given(n=14)
    torch.testing.assert_close(data.into(net), loop(net, data, past, future), atol=1e-12, rtol=0)


@pytest.mark.parametrize("span", [Span(3, 0), Span(3, 2), FULL], ids=str)
@torch.no_grad()
def test_absent_rows_padding_and_the_batch_are_not_read(span: Span) -> None:
    """NaN in any of them changes nothing."""
    check_masked(host(span), given())


@pytest.mark.parametrize(("span", "past"), [(Span(1, 0), 10), (Span(3, 0), 10), (Span(9, 0), 4)])
@torch.no_grad()
def test_stepping_is_exact(span: Span, past: int) -> None:
    """Stepping gives the rows of the whole to the last digits, with the memory of the shorter window."""
    net = host(span, past=past)
    check_stepped(net, given(n=14))
    assert net.init_state(5)["h1"].shape == (5, min(span.window, past + 1), 2, 8)


@torch.no_grad()
def test_the_window_has_an_edge() -> None:
    """Without the recurrent unit a change is felt two windows away, one for each step, and no further."""

    def forgetful(span: Span, **options: Any) -> DialogueGcn:
        net = host(span, **options)
        e = net.encoder.width
        assert net.encoder.read.bias_SO is not None
        net.encoder.read.bias_SO[:, e : 2 * e] = -1e4
        net.encoder.own_KEG.zero_()
        return net

    data = given(n=12, gaps=False)
    assert reach(forgetful(Span(3, 0)), data, 4, 1) == (0, 4)
    assert reach(forgetful(Span(9, 0), past=1), data, 4, 1) == (0, 2)
    assert reach(forgetful(FULL, past=2, future=1), data, 4, 1) == (2, 4)
    assert reach(forgetful(Span(3, 1), past=2, future=9), data, 4, 1) == (2, 4)


@torch.no_grad()
def test_the_full_form_reads_ahead_and_the_causal_one_does_not() -> None:
    """A change is felt in what stands before it only where the span looks ahead."""
    data = given(n=12, gaps=False)
    assert reach(host(Span(3, 0)), data, 6, 0) == (0, 5)
    assert reach(host(FULL), data, 6, 0) == (6, 5)


@torch.no_grad()
def test_an_absent_row_leaves_the_recurrent_state_exactly() -> None:
    """Bit by bit, in float32 too."""
    net, data = host(Span(3, 0)).float(), given()
    state = net.init_state(3)
    _, state = net.step(
        torch.randn(3, 2, 8), torch.ones(3, 2, dtype=torch.bool), data.speaker_BN[:, 0], state
    )
    nothing = torch.full((3, 2, 8), float("nan")), torch.zeros(3, 2, dtype=torch.bool)
    h_BSD, after = net.step(*nothing, data.speaker_BN[:, 1], state)
    assert torch.equal(after["gru"], state["gru"])
    assert (h_BSD == 0).all()


@torch.no_grad()
def test_streams_are_apart() -> None:
    """A change of one stream leaves the others as they are."""
    net, data = host(FULL), given(gaps=False)
    moved_BNSD = data.changed(3, 1).into(net) - data.into(net)
    assert (moved_BNSD[:, :, 0] == 0).all()
    assert moved_BNSD[:, :, 1].abs().max() > 0.01


@torch.no_grad()
def test_speakers_are_anonymous() -> None:
    """Other numbers for the same people change nothing; those beyond the table are one person."""
    net, data = host(FULL), given()
    for speaker_BN in (2 - data.speaker_BN, torch.where(data.speaker_BN == 2, 9, data.speaker_BN)):
        renamed = Given(data.x_BNSD, data.present_BNS, speaker_BN, data.valid_BN)
        torch.testing.assert_close(renamed.into(net), data.into(net), atol=1e-14, rtol=0)
    one = Given(data.x_BNSD, data.present_BNS, torch.zeros_like(data.speaker_BN), data.valid_BN)
    assert (one.into(net) - data.into(net)).abs().max() > 1e-3


@pytest.mark.parametrize("span", [Span(3, 0), FULL], ids=str)
def test_every_parameter_learns(span: Span) -> None:
    """None is idle, the relations of a causal graph being those of the past; none meets NaN."""
    check_gradients(host(span), given(n=10))


@torch.no_grad()
def test_mixed_precision() -> None:
    """Masks and gates hold in half precision."""
    check_half(host(Span(3, 0)), given())
    check_half_stepped(host(Span(3, 0)), given())
    check_half(host(FULL), given())


def test_impossible_options_are_refused() -> None:
    """A negative window, and two directions in an odd width."""
    with pytest.raises(ValueError, match="past -1"):
        host(FULL, past=-1)
    with pytest.raises(ValueError, match="width 7 must be even"):
        host(FULL, dim=7)
    assert host(Span(3, 0), dim=7).dim == 7


@pytest.mark.parametrize("span", [FULL, Span(None, 0), Span(3, 1)], ids=str)
def test_what_looks_ahead_or_back_without_limit_cannot_be_stepped(span: Span) -> None:
    """The span says so."""
    with pytest.raises(ValueError, match="cannot be stepped"):
        host(span).init_state(1)
