"""DialogueRNN against a loop over the equations of its paper."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from models.hosts import build
from models.hosts.dialogue_rnn import DialogueRnn
from models.hosts.gru import Streams
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

SPANS = [Span(3, 0), Span(1, 0), Span(None, 0), Span(3, 2), FULL]


def host(span: Span, *, listeners: bool = False, **options: Any) -> DialogueRnn:
    """With every learned number away from zero and no unit of the output idle."""
    torch.manual_seed(0)
    made = build(
        "dialogue-rnn", **{"streams": 2, "dim": 6, "speakers": 3, **options}, span=span, listeners=listeners
    )
    assert isinstance(made, DialogueRnn)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        assert made.give.bias_SO is not None
        made.give.bias_SO.add_(1)
    return made.double().eval()


def unit(units: Streams, i: int, heard_G: Tensor | float, other_D: Tensor, h_D: Tensor) -> Tensor:
    """The gated recurrent unit ``i``, whose input is what it heard end to end with ``other_D``."""
    taken = (heard_G + other_D @ units.input_MDG[i] + units.bias_MG[i]).chunk(3)
    own = (h_D @ units.hidden_MDG[i] + units.hidden_bias_MG[i]).chunk(3)
    r, z = torch.sigmoid(taken[0] + own[0]), torch.sigmoid(taken[1] + own[1])
    return (1 - z) * torch.tanh(taken[2] + r * own[2]) + z * h_D


def direction(
    net: DialogueRnn, k: int, rows: list[Tensor | None], who: list[int], reach: int | None
) -> list[Tensor]:
    """e of one stream after each utterance in turn, read in the order given; None is an absent row."""
    g_D = e_D = net.units.bias_MG.new_zeros(net.dim)
    q = {p: torch.zeros_like(g_D) for p in range(net.speakers)}
    history: dict[int, Tensor] = {}
    out = []
    for t, (u_D, s) in enumerate(zip(rows, who, strict=True)):
        if u_D is not None:
            near = [g for j, g in history.items() if reach is None or t - j <= reach]
            c_D = torch.zeros_like(g_D)
            if near:
                scores = torch.stack([u_D @ net.ask.weight_SIO[k] @ g for g in near])
                c_D = sum((a * g for a, g in zip(scores.softmax(0), near, strict=True)), c_D)
            m = net.all_streams + k
            g_D = unit(net.units, k, u_D @ net.heard.weight_SIO[k], q[s], g_D)
            if net.listeners:
                heard_G = u_D @ net.heard_listening.weight_SIO[k]
                q |= {p: unit(net.listener, k, heard_G, c_D, q[p]) for p in q if p != s}
            q[s] = unit(net.units, m, u_D @ net.heard.weight_SIO[m], c_D, q[s])
            e_D = unit(net.emotion, k, 0.0, q[s], e_D)
            history[t] = g_D
        out.append(e_D)
    return out


def loop(net: DialogueRnn, data: Given, span: Span) -> Tensor:
    """Every conversation, stream and direction by itself."""
    out = []
    for b, (x_NSD, n) in enumerate(zip(data.x_BNSD, data.valid_BN.sum(1).tolist(), strict=True)):
        who = [min(int(p), net.speakers - 1) for p in data.speaker_BN[b]]
        for s in range(net.streams):
            there = data.there(b, s)
            rows = [x_NSD[t, s] if t in there else None for t in range(len(x_NSD))]
            e = direction(net, s, rows, who, None if span.past is None else span.past - 1)
            if not span.causal:
                back = direction(net, net.streams + s, rows[:n][::-1], who[:n][::-1], span.future)[::-1]
                back += [torch.zeros_like(e[0])] * (len(rows) - n)
                e = [torch.cat(pair) for pair in zip(e, back, strict=True)]
            assert net.give.bias_SO is not None
            out.append((torch.stack(e) @ net.give.weight_SIO[s] + net.give.bias_SO[s]).clamp_min(0))
    batch, length = data.valid_BN.shape
    return torch.stack(out).view(batch, net.streams, length, net.dim).transpose(1, 2)


@pytest.mark.parametrize("listeners", [False, True])
@pytest.mark.parametrize("span", SPANS, ids=str)
def test_it_is_its_equations(span: Span, listeners: bool) -> None:
    """Utterances one by one give the same, and autograd through them the same gradients."""
    net, data = host(span, listeners=listeners), given(dim=6)
    data = replace(data, x_BNSD=data.x_BNSD.nan_to_num(0).requires_grad_())
    got, want = data.into(net), loop(net, data, span)
    torch.testing.assert_close(got, want, atol=1e-12, rtol=0)
    weight, inputs = torch.randn_like(got), (data.x_BNSD, *net.parameters())
    grads = [
        torch.autograd.grad((h * weight).sum(), inputs, allow_unused=True, materialize_grads=True)
        for h in (got, want)
    ]
    torch.testing.assert_close(grads[0], grads[1], atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("listeners", [False, True])
@pytest.mark.parametrize("span", [Span(3, 0), Span(3, 2), FULL], ids=str)
@torch.no_grad()
def test_absent_rows_padding_and_the_batch_are_not_read(span: Span, listeners: bool) -> None:
    """NaN in any of them changes nothing."""
    check_alone(host(span, listeners=listeners), given(dim=6))


@pytest.mark.parametrize("listeners", [False, True])
@pytest.mark.parametrize("window", [1, 2, 4, 30])
@torch.no_grad()
def test_stepping_is_exact(window: int, listeners: bool) -> None:
    """For windows shorter and longer than the conversation; the state does not grow."""
    check_stepped(host(Span(window, 0), listeners=listeners), given(n=12, dim=6))


@torch.no_grad()
def test_a_span_ahead_reads_both_ways_and_a_causal_one_back_alone() -> None:
    """To the end and to the beginning: the states have no window."""
    data = given(n=12, dim=6, gaps=False)
    assert reach(host(FULL), data, 4, 1) == (4, 7)
    assert reach(host(Span(2, 0)), data, 4, 1) == (0, 7)


@torch.no_grad()
def forgetful(net: DialogueRnn) -> DialogueRnn:
    """``net`` with units that keep nothing and globals that read the utterance alone: what is left of the
    past is what the attention finds."""
    for units in (net.units, net.emotion):
        units.hidden_MDG.zero_()
        units.hidden_bias_MG[:, net.dim : 2 * net.dim] = -1000  # z = 0
    net.units.input_MDG[: net.all_streams] = 0
    return net


@torch.no_grad()
def test_the_attention_has_a_window_with_an_edge() -> None:
    """With units that forget, a change is felt past - 1 utterances later, and future before."""
    data = given(n=12, dim=6, gaps=False)
    assert reach(forgetful(host(Span(3, 0))), data, 4, 1) == (0, 2)
    assert reach(forgetful(host(Span(1, 0))), data, 4, 1) == (0, 0)
    assert reach(forgetful(host(Span(3, 1))), data, 4, 1) == (1, 2)
    assert reach(forgetful(host(Span(1, 3))), data, 4, 1) == (3, 0)
    assert reach(forgetful(host(Span(None, 0))), data, 4, 1) == (0, 7)


@torch.no_grad()
def test_an_absent_stream_leaves_its_states() -> None:
    """Bit for bit, while the other moves on; it is not to be found in the memory either."""
    net, data = host(Span(3, 0)), given(dim=6, gaps=False)
    first = torch.tensor([[True, False]]).expand(3, 2)
    _, before = net.step(data.x_BNSD[:, 0], ~first, data.speaker_BN[:, 0], net.init_state(3))
    _, after = net.step(data.x_BNSD[:, 1], first, data.speaker_BN[:, 0], before)
    for name in ("whole", "party", "emotion"):
        same_S = (before[name] == after[name]).movedim(-2, 0).flatten(1).all(1)
        assert same_S.tolist() == [False, True], name
    assert after["there"][0].tolist() == [[False, True], [True, False]]


@torch.no_grad()
def test_only_listeners_move_while_another_speaks() -> None:
    """Without them the state of a party changes with its own utterances only."""
    data = given(dim=6, gaps=False)
    for listeners in (False, True):
        net = host(Span(3, 0), listeners=listeners)
        turn = data.x_BNSD[:, 0], data.present_BNS[:, 0], torch.tensor([0, 1, 9])
        _, state = net.step(*turn, net.init_state(3))
        moved_BP = (state["party"] != 0).flatten(2).any(2)
        assert moved_BP.tolist() == [[listeners or p == b for p in range(3)] for b in range(3)]


@torch.no_grad()
def test_who_spoke_matters() -> None:
    """Others with the same words give other states; other numbers for the same people do not."""
    net, data = host(FULL), given(dim=6)
    one = replace(data, speaker_BN=torch.zeros_like(data.speaker_BN))
    assert (one.into(net) - data.into(net)).abs().max() > 0.01
    renamed = replace(data, speaker_BN=2 - data.speaker_BN)
    torch.testing.assert_close(renamed.into(net), data.into(net), atol=0, rtol=0)


@torch.no_grad()
def test_streams_are_apart() -> None:
    """A change of one stream leaves the others as they are."""
    net, data = host(FULL), given(dim=6, gaps=False)
    moved_BNSD = data.changed(3, 1).into(net) - data.into(net)
    assert (moved_BNSD[:, :, 0] == 0).all()
    assert moved_BNSD[:, :, 1].abs().amax(-1).min() > 0


@pytest.mark.parametrize("listeners", [False, True])
@pytest.mark.parametrize("span", [Span(3, 0), FULL], ids=str)
def test_every_parameter_learns(span: Span, listeners: bool) -> None:
    """None is idle and none meets NaN."""
    check_gradients(host(span, listeners=listeners), given(n=10, dim=6))


@pytest.mark.parametrize("listeners", [False, True])
@torch.no_grad()
def test_mixed_precision(listeners: bool) -> None:
    """Masks hold in half precision; the units recur in the precision of their weights."""
    check_half(host(Span(3, 0), listeners=listeners), given(dim=6))


@pytest.mark.parametrize("span", [FULL, Span(None, 0), Span(3, 1)], ids=str)
def test_what_looks_ahead_or_back_without_limit_cannot_be_stepped(span: Span) -> None:
    """The span says so."""
    with pytest.raises(ValueError, match="cannot be stepped"):
        host(span).init_state(1)
