"""The speaker-aware recurrent host against a loop over its units."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.hosts import build
from models.hosts.gru import Streams
from models.hosts.speaker_gru import SpeakerGru
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


def host(span: Span = FULL, *, speakers: int = 3) -> SpeakerGru:
    """With every learned number away from zero."""
    torch.manual_seed(0)
    made = build("speaker-gru", streams=2, dim=8, span=span, speakers=speakers)
    assert isinstance(made, SpeakerGru)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return made.double().eval()


def unit(units: Streams, s: int, x_D: Tensor, h_D: Tensor) -> Tensor:
    """The gated recurrent unit of stream ``s``, gate by gate."""
    heard = (x_D @ units.input_MDG[s] + units.bias_MG[s]).chunk(3)
    own = (h_D @ units.hidden_MDG[s] + units.hidden_bias_MG[s]).chunk(3)
    r, z = torch.sigmoid(heard[0] + own[0]), torch.sigmoid(heard[1] + own[1])
    return (1 - z) * torch.tanh(heard[2] + r * own[2]) + z * h_D


def loop(net: SpeakerGru, data: Given) -> Tensor:
    """Every conversation, stream and utterance by itself, with a table of parties."""
    out = []
    for b in range(len(data.x_BNSD)):
        for s in range(net.streams):
            whole_D = data.x_BNSD.new_zeros(net.dim)
            party = {p: data.x_BNSD.new_zeros(net.dim) for p in range(net.speakers)}
            for n in range(data.x_BNSD.shape[1]):
                x_D, who = torch.zeros_like(whole_D), min(int(data.speaker_BN[b, n]), net.speakers - 1)
                if n in data.there(b, s):
                    x_D = data.x_BNSD[b, n, s]
                    whole_D, party[who] = (
                        unit(net.whole, s, x_D, whole_D),
                        unit(net.party, s, x_D, party[who]),
                    )
                out.append(x_D + whole_D + party[who])
    batch, n = data.valid_BN.shape
    return torch.stack(out).view(batch, net.streams, n, net.dim).transpose(1, 2)


@pytest.mark.parametrize("speakers", [1, 2, 3, 5])
def test_it_is_its_units(speakers: int) -> None:
    """One at a time they give the same, and autograd through them the same gradients."""
    net, data = host(speakers=speakers), given()
    data = replace(data, x_BNSD=data.x_BNSD.nan_to_num(0).requires_grad_())
    got, want = data.into(net), loop(net, data)
    torch.testing.assert_close(got, want, atol=1e-12, rtol=0)
    weight, inputs = torch.randn_like(got), (data.x_BNSD, *net.parameters())
    grads = [torch.autograd.grad((h * weight).sum(), inputs) for h in (got, want)]
    torch.testing.assert_close(grads[0], grads[1], atol=1e-12, rtol=1e-12)


@torch.no_grad()
def test_absent_rows_padding_and_the_batch_are_not_read() -> None:
    """NaN in any of them changes nothing."""
    check_alone(host(), given())


@torch.no_grad()
def test_stepping_is_exact() -> None:
    """Also where streams are absent, and the state does not grow."""
    check_stepped(host(Span(2, 0)), given(n=12))


@torch.no_grad()
def test_it_looks_back_to_the_beginning_and_never_ahead() -> None:
    """Whatever the span."""
    data = given(n=12, gaps=False)
    for span in (FULL, Span(2, 0)):
        assert reach(host(span), data, 4, 1) == (0, 7)


@torch.no_grad()
def test_who_spoke_matters() -> None:
    """Others with the same words give other states; other numbers for the same people do not."""
    net, data = host(), given()
    one = replace(data, speaker_BN=torch.zeros_like(data.speaker_BN))
    assert (one.into(net) - data.into(net)).abs().max() > 0.01
    renamed = replace(data, speaker_BN=2 - data.speaker_BN)
    torch.testing.assert_close(renamed.into(net), data.into(net), atol=0, rtol=0)


def test_every_parameter_learns() -> None:
    """None is idle and none meets NaN."""
    check_gradients(host(), given(n=10))


@torch.no_grad()
def test_mixed_precision() -> None:
    """The units recur in the precision of their weights."""
    check_half(host(), given())
