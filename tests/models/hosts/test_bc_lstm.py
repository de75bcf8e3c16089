"""bc-LSTM against a loop over its equations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.hosts import build
from models.hosts.bc_lstm import BcLstm
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


def host(span: Span = FULL) -> BcLstm:
    """With biases that leave no unit of the dense layer idle."""
    torch.manual_seed(0)
    made = build("bc-lstm", streams=2, dim=8, span=span)
    assert isinstance(made, BcLstm)
    for dense in made.dense:
        nn.init.uniform_(dense.bias, 0, 1)  # type: ignore[arg-type]
    return made.double().eval()


def read(lstm: Any, x_ND: Tensor, there: list[int]) -> Tensor:
    """h ``[N, D]`` after each utterance in turn, gate by gate."""
    h_D = c_D = x_ND.new_zeros(lstm.hidden_size)
    rows = []
    for n, x_D in enumerate(x_ND):
        if n in there:
            gates = lstm.weight_ih_l0 @ x_D + lstm.bias_ih_l0 + lstm.weight_hh_l0 @ h_D + lstm.bias_hh_l0
            i, f, new, o = gates.chunk(4)
            c_D = torch.sigmoid(f) * c_D + torch.sigmoid(i) * torch.tanh(new)
            h_D = torch.sigmoid(o) * torch.tanh(c_D)
        rows.append(h_D)
    return torch.stack(rows)


def loop(net: BcLstm, data: Given, both: bool) -> Tensor:
    """Every conversation, stream and direction by itself."""
    out = []
    for b, (x_NSD, n) in enumerate(zip(data.x_BNSD, data.valid_BN.sum(1).tolist(), strict=True)):
        for s, dense in enumerate(net.dense):
            there = data.there(b, s)
            h_NE = read(net.past[s], x_NSD[:, s], there)
            if both:
                turned_ND = read(net.future[s], x_NSD[:n, s].flip(0), [n - 1 - t for t in there]).flip(0)
                padding_ND = h_NE.new_zeros(len(h_NE) - n, net.dim)
                h_NE = torch.cat([h_NE, torch.cat([turned_ND, padding_ND])], 1)
            assert isinstance(dense, nn.Linear)
            out.append((h_NE @ dense.weight.T + dense.bias).clamp_min(0))
    batch, length = data.valid_BN.shape
    return torch.stack(out).view(batch, net.streams, length, net.dim).transpose(1, 2)


@pytest.mark.parametrize(
    ("span", "both"), [(FULL, True), (Span(3, 1), True), (Span(3, 0), False), (Span(None, 0), False)], ids=str
)
def test_it_is_its_equations(span: Span, both: bool) -> None:
    """Utterances one by one give the same, and autograd through them the same gradients."""
    net, data = host(span), given()
    data = replace(data, x_BNSD=data.x_BNSD.nan_to_num(0).requires_grad_())
    got, want = data.into(net), loop(net, data, both)
    torch.testing.assert_close(got, want, atol=1e-12, rtol=0)
    weight, inputs = torch.randn_like(got), (data.x_BNSD, *net.parameters())
    grads = [torch.autograd.grad((h * weight).sum(), inputs) for h in (got, want)]
    torch.testing.assert_close(grads[0], grads[1], atol=1e-12, rtol=1e-12)


@torch.no_grad()
def test_single_precision_is_as_good() -> None:
    """The fast path of the processor, which double precision does not take."""
    net, data = host(FULL), given()
    want = data.into(net)
    got = replace(data, x_BNSD=data.x_BNSD.float()).into(net.float())
    torch.testing.assert_close(got.double(), want, atol=1e-6, rtol=0)


@pytest.mark.parametrize("span", [Span(3, 0), FULL], ids=str)
@torch.no_grad()
def test_absent_rows_padding_and_the_batch_are_not_read(span: Span) -> None:
    """NaN in any of them changes nothing."""
    check_alone(host(span), given())


@torch.no_grad()
def test_stepping_is_exact() -> None:
    """Also where streams are absent, and the state does not grow."""
    check_stepped(host(Span(2, 0)), given(n=12))


@torch.no_grad()
def test_a_span_ahead_reads_both_ways_and_a_causal_one_back_alone() -> None:
    """To the end and to the beginning: a recurrent state has no window."""
    data = given(n=12, gaps=False)
    assert reach(host(FULL), data, 4, 1) == (4, 7)
    assert reach(host(Span(2, 0)), data, 4, 1) == (0, 7)


@torch.no_grad()
def test_an_absent_stream_leaves_its_state() -> None:
    """Bit for bit, while the other moves on."""
    net, data = host(Span(2, 0)), given(gaps=False)
    present_BS = torch.tensor([[True, False]]).expand(3, 2)
    _, before = net.step(data.x_BNSD[:, 0], ~present_BS, data.speaker_BN[:, 0], net.init_state(3))
    _, after = net.step(data.x_BNSD[:, 1], present_BS, data.speaker_BN[:, 1], before)
    for name in ("h", "c"):
        same_BS = (before[name] == after[name]).all(-1)
        assert same_BS.tolist() == [[False, True]] * 3


@torch.no_grad()
def test_streams_are_apart() -> None:
    """A change of one stream leaves the others as they are."""
    net, data = host(), given(gaps=False)
    moved_BNSD = data.changed(3, 1).into(net) - data.into(net)
    assert (moved_BNSD[:, :, 0] == 0).all()
    assert moved_BNSD[:, :, 1].abs().amax(-1).min() > 0


@pytest.mark.parametrize("span", [Span(3, 0), FULL], ids=str)
def test_every_parameter_learns(span: Span) -> None:
    """None is idle and none meets NaN."""
    check_gradients(host(span), given(n=10))


@torch.no_grad()
def test_mixed_precision() -> None:
    """Masks hold in half precision."""
    check_half(host(Span(3, 0)), given())


def test_what_looks_ahead_cannot_be_stepped() -> None:
    """The message names the span."""
    with pytest.raises(ValueError, match="cannot be stepped"):
        host(FULL).init_state(1)
