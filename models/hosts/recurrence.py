"""Gated recurrent units over whole conversations, many units as one product, with a gradient made for it.

The state before an utterance is the state after its *predecessor*: the latest earlier one that is present
(the unit of a conversation), or present and of the same speaker (the unit of a party). With the predecessors
known beforehand no table of parties is copied and nothing is masked in the loop. The gradient is written out,
because autograd would add an outer product to the weights' at every utterance: here it is one product.

Shape suffixes: B conversations, N utterances, M units, D width, G gates (3 D), E two of them, X four slopes
(4 D), P speakers told apart, H states (N + 1, the first of them zero), R rows of all units and conversations
(M B).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def predecessors(present_MNB: Tensor, who_MNB: Tensor | None = None, speakers: int = 1) -> Tensor:
    """For each utterance 1 + the latest earlier one that is present, 0 where none is; int64 ``[M, N, B]``.

    With ``who_MNB`` (0 .. ``speakers`` - 1) the latest earlier one of the same speaker.
    """
    here_MNB = _times(present_MNB) * present_MNB
    if who_MNB is None:
        latest_MNB = here_MNB.cummax(1).values
        return torch.cat([torch.zeros_like(latest_MNB[:, :1]), latest_MNB[:, :-1]], 1)
    party_P111 = torch.arange(speakers, device=who_MNB.device)[:, None, None, None]
    latest_PMNB = torch.where(who_MNB == party_P111, here_MNB, 0).cummax(2).values
    before_PMNB = torch.cat([torch.zeros_like(latest_PMNB[:, :, :1]), latest_PMNB[:, :, :-1]], 2)
    return before_PMNB.gather(0, who_MNB.unsqueeze(0)).squeeze(0)


def successors(before_MNB: Tensor, present_MNB: Tensor) -> Tensor:
    """Of every utterance: which present one has it as predecessor, N where none does; ``[M, N, B]``."""
    m, n, b = before_MNB.shape
    after_MNB = before_MNB.new_full((m, n + 2, b), n)
    at_MNB = torch.where(present_MNB, before_MNB, n + 1)  # absent ones go to a row that is thrown away
    return after_MNB.scatter(1, at_MNB, (_times(at_MNB) - 1).expand_as(at_MNB))[:, 1:-1]


def rows_of(at_MNB: Tensor) -> Tensor:
    """Places in time as rows of ``[H M B, D]``; ``[M, N, B]``."""
    m, _, b = at_MNB.shape
    return at_MNB * (m * b) + torch.arange(m * b, device=at_MNB.device).view(m, 1, b)


def held(state_HMBD: Tensor, present_MNB: Tensor, before_MNB: Tensor) -> Tensor:
    """The state after each utterance ``[M, N, B, D]``: an absent one leaves the one before."""
    rows_MNB = rows_of(torch.where(present_MNB, _times(present_MNB), before_MNB))
    return state_HMBD.flatten(0, 2).index_select(0, rows_MNB.flatten()).view(*rows_MNB.shape, -1)


def taken(x_MNBD: Tensor, input_MDG: Tensor, bias_MG: Tensor) -> Tensor:
    """What the input adds to the gates ``[M, N, B, G]``."""
    gates_MRG = torch.baddbmm(bias_MG.unsqueeze(1), x_MNBD.flatten(1, 2), input_MDG)
    return gates_MRG.view(*x_MNBD.shape[:3], -1)


def gru(
    gates_MNBG: Tensor, present_MNB: Tensor, before_MNB: Tensor, hidden_MDG: Tensor, bias_MG: Tensor
) -> Tensor:
    """The state after each utterance ``[M, N, B, D]``; an absent one leaves the one before.

    Args:
        gates_MNBG: what the input adds to the reset, update and candidate gates (Cho et al. 2014, the reset
            on the product, as in torch). before_MNB: from `predecessors`.
        hidden_MDG, bias_MG: the recurrent weights of each unit.
    """
    with torch.autocast(gates_MNBG.device.type, enabled=False):
        gates_MNBG = gates_MNBG.to(hidden_MDG.dtype)
        apply: Any = _Gru.apply
        state_HMBD: Tensor = apply(gates_MNBG, present_MNB, before_MNB, hidden_MDG, bias_MG)
        return held(state_HMBD, present_MNB, before_MNB)


class _Gru(torch.autograd.Function):
    """All states ``[H, M, B, D]``; those of absent rows mean nothing and are not to be read."""

    @staticmethod
    def forward(
        ctx: Any,
        gates_MNBG: Tensor,
        present_MNB: Tensor,
        before_MNB: Tensor,
        hidden_MDG: Tensor,
        bias_MG: Tensor,
    ) -> Tensor:
        m, n, b, g = gates_MNBG.shape
        d, empty = g // 3, gates_MNBG.new_empty
        state_HMBD, own_MNBG = gates_MNBG.new_zeros(n + 1, m, b, d), empty(m, n, b, g)
        old_MNBD, new_MNBD = empty(m, n, b, d), empty(m, n, b, d)
        rows_NR = rows_of(before_MNB).transpose(0, 1).flatten(1)
        state_RD, bias_M1G = state_HMBD.view(-1, d), bias_MG.unsqueeze(1)
        for t in range(n):
            old_MBD = state_RD.index_select(0, rows_NR[t]).view(m, b, d)
            old_MNBD[:, t] = old_MBD
            own_MBG = torch.baddbmm(bias_M1G, old_MBD, hidden_MDG)
            new_MNBD[:, t], state_HMBD[t + 1] = advance(gates_MNBG[:, t], own_MBG, old_MBD)
            own_MNBG[:, t] = own_MBG
        ctx.save_for_backward(present_MNB, before_MNB, hidden_MDG, old_MNBD, own_MNBG, new_MNBD)
        return state_HMBD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        present_MNB, before_MNB, hidden_MDG, old_MNBD, own_MNBG, new_MNBD = ctx.saved_tensors
        m, n, b, d = old_MNBD.shape
        slope_MNBX, keep_MNBD = slopes(old_MNBD, own_MNBG, new_MNBD), own_MNBG[..., d : 2 * d]
        next_NR = rows_of(successors(before_MNB, present_MNB)).transpose(0, 1).flatten(1)
        back_MGD = state_order(hidden_MDG).mT.contiguous()
        into_HMBD = torch.zeros_like(grads[0])  # row t: towards the state before t; the last is no successor
        into_RD = into_HMBD.view(-1, d)
        for t in reversed(range(n)):
            grad_MBD = grads[0][t + 1] + into_RD.index_select(0, next_NR[t]).view(m, b, d)
            slope_MBX = slope_MNBX[:, t]
            slope_MBX.view(m, b, 4, d).mul_(grad_MBD.unsqueeze(2))
            torch.baddbmm(grad_MBD.mul_(keep_MNBD[:, t]), slope_MBX[..., : 3 * d], back_MGD, out=into_HMBD[t])
        return slope_MNBX[..., d:], None, None, *state_gradients(old_MNBD, slope_MNBX)


def advance(gates_MBG: Tensor, own_MBG: Tensor, old_MBD: Tensor) -> tuple[Tensor, Tensor]:
    """One step of the units: the candidate and the new state.

    ``own_MBG`` is the state's share of the gates: its first two parts become the gates r and z themselves.
    """
    d = old_MBD.shape[-1]
    open_MBE, share_MBD = own_MBG[..., : 2 * d], own_MBG[..., 2 * d :]
    open_MBE.add_(gates_MBG[..., : 2 * d]).sigmoid_()
    new_MBD = torch.addcmul(gates_MBG[..., 2 * d :], open_MBE[..., :d], share_MBD).tanh_()
    return new_MBD, torch.lerp(new_MBD, old_MBD, open_MBE[..., d:])


def slopes(old_MNBD: Tensor, own_MNBG: Tensor, new_MNBD: Tensor) -> Tensor:
    """d state / d the shares of the gates, four parts end to end ``[M, N, B, X]``.

    They are the state's share of the candidate, the reset, the update, and the input's share of the
    candidate: the first three are the state's shares, the last three the input's, in the order of the gates.
    """
    d = old_MNBD.shape[-1]
    r, z, share = own_MNBG.chunk(3, -1)
    slope_MNBX = old_MNBD.new_empty(*old_MNBD.shape[:3], 4 * d)
    to_share, to_r, to_z, candidate = slope_MNBX.chunk(4, -1)
    stay = 1 - z
    candidate.copy_(stay).addcmul_(stay * new_MNBD, new_MNBD, value=-1)
    to_share.copy_(candidate).mul_(r)
    to_r.copy_(to_share).mul_(share).mul_(1 - r)
    to_z.copy_(old_MNBD).sub_(new_MNBD).mul_(stay.mul_(z))
    return slope_MNBX


def state_order(hidden: Tensor) -> Tensor:
    """Recurrent weights ``[..., G]`` in the order in which `slopes` has the state's shares."""
    d = hidden.shape[-1] // 3
    return torch.cat([hidden[..., 2 * d :], hidden[..., : 2 * d]], -1)


def state_gradients(old_MNBD: Tensor, slope_MNBX: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of the recurrent weights ``[M, D, G]`` and of their bias ``[M, G]``."""
    d = old_MNBD.shape[-1]
    own_MRG = slope_MNBX[..., : 3 * d].flatten(1, 2)
    grads = torch.bmm(old_MNBD.flatten(1, 2).mT, own_MRG), own_MRG.sum(1)
    weight, bias = (torch.cat([grad[..., d:], grad[..., :d]], -1) for grad in grads)
    return weight, bias


def _times(at_MNB: Tensor) -> Tensor:
    """1 .. N, ``[1, N, 1]``."""
    return torch.arange(1, at_MNB.shape[1] + 1, device=at_MNB.device)[None, :, None]
