"""The coupled global and party units of DialogueRNN over whole conversations, with a gradient made for them.

What `models.hosts.dialogue_rnn` says of one utterance, for all of them: see there for the equations, and
`models.hosts.recurrence` for predecessors and for why the gradient is written out.

Shape suffixes: B conversations, N utterances, K streams, M units (the K global ones, then the K of the
parties), D width, G gates (3 D), X four slopes (4 D), H states (N + 1, the first of them zero), L
conversations of every stream (K B), R rows of all units (2 L), J utterances that may be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.hosts.recurrence import advance, held, rows_of, slopes, state_gradients, state_order, successors


@dataclass(frozen=True, slots=True)
class Weights:
    """Those of all units: for their other input and for their state, and the latter's bias."""

    input_MDG: Tensor
    hidden_MDG: Tensor
    bias_MG: Tensor


def attended(
    heard_MNBG: Tensor,
    ask_KNBD: Tensor,
    present_KNB: Tensor,
    before_MNB: Tensor,
    reach: list[int],
    weights: Weights,
) -> Tensor:
    """The states of the speaking parties after each utterance ``[K, N, B, D]``.

    Args:
        heard_MNBG: what the utterance adds to the gates of each unit. ask_KNBD: its query.
        before_MNB: from `predecessors`. reach: how many utterances before its own each of K may read.
    """
    w, k = weights, len(reach)
    with torch.autocast(heard_MNBG.device.type, enabled=False):
        dtype = w.input_MDG.dtype
        allowed_NLJ = _allowed(present_KNB, reach)
        ban_NLJ = torch.zeros_like(allowed_NLJ, dtype=dtype).masked_fill(~allowed_NLJ, torch.finfo(dtype).min)
        apply: Any = _Attended.apply
        state_HMBD: Tensor = apply(
            heard_MNBG.to(dtype),
            ask_KNBD.to(dtype).transpose(0, 1).flatten(1, 2),
            ban_NLJ,
            max(reach),
            torch.cat([present_KNB, present_KNB]),
            before_MNB,
            *(w.input_MDG, w.hidden_MDG, w.bias_MG),
        )
        return held(state_HMBD[:, k:], present_KNB, before_MNB[k:])


def _allowed(present_KNB: Tensor, reach: list[int]) -> Tensor:
    """Which global states an utterance may read, ``[N, L, J]``: present, earlier, within reach."""
    time_N = torch.arange(present_KNB.shape[1], device=present_KNB.device)
    age_NJ = time_N[:, None] - time_N
    reach_K11 = torch.tensor(reach, device=present_KNB.device)[:, None, None]
    near_KNJ = (age_NJ > 0) & (age_NJ <= reach_K11)
    return (near_KNJ.transpose(0, 1).unsqueeze(2) & present_KNB.transpose(1, 2)).flatten(1, 2)


class _Attended(torch.autograd.Function):
    """All states ``[H, M, B, D]``; those of absent rows mean nothing and are not to be read."""

    @staticmethod
    def forward(
        ctx: Any,
        heard_MNBG: Tensor,
        ask_NLD: Tensor,
        ban_NLJ: Tensor,
        reach: int,
        present_MNB: Tensor,
        before_MNB: Tensor,
        input_MDG: Tensor,
        hidden_MDG: Tensor,
        bias_MG: Tensor,
    ) -> Tensor:
        m, n, b, g = heard_MNBG.shape
        d, half, empty = g // 3, m * b // 2, heard_MNBG.new_empty
        state_HMBD, own_MNBG = heard_MNBG.new_zeros(n + 1, m, b, d), empty(m, n, b, g)
        old_MNBD, new_MNBD, other_MNBD = (empty(m, n, b, d) for _ in range(3))
        state_HRD, rows_NR = state_HMBD.flatten(1, 2), rows_of(before_MNB).transpose(0, 1).flatten(1)
        bias_M1G, some_NL11, weights = bias_MG.unsqueeze(1), _some(ban_NLJ), []
        state_RD = state_HMBD.view(-1, d)
        for t in range(n):
            near = slice(max(0, t - reach), t)
            old_RD = state_RD.index_select(0, rows_NR[t])
            score_L1J = torch.baddbmm(
                ban_NLJ[t, :, near].unsqueeze(1), ask_NLD[t].unsqueeze(1), _global(state_HRD, near, half).mT
            )
            weights.append(score_L1J.softmax(-1) * some_NL11[t])
            c_LD = torch.bmm(weights[t], _global(state_HRD, near, half)).squeeze(1)
            old_MBD, other_MBD = old_RD.view(m, b, d), torch.cat([old_RD[half:], c_LD]).view(m, b, d)
            old_MNBD[:, t], other_MNBD[:, t] = old_MBD, other_MBD
            gates_MBG = torch.baddbmm(heard_MNBG[:, t], other_MBD, input_MDG)
            own_MBG = torch.baddbmm(bias_M1G, old_MBD, hidden_MDG)
            new_MNBD[:, t], state_HMBD[t + 1] = advance(gates_MBG, own_MBG, old_MBD)
            own_MNBG[:, t] = own_MBG
        ctx.reach = reach
        ctx.save_for_backward(
            *(ask_NLD, present_MNB, before_MNB, input_MDG, hidden_MDG),
            *(state_HMBD, old_MNBD, own_MNBG, new_MNBD, other_MNBD),
            *weights,
        )
        return state_HMBD

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        ask_NLD, present_MNB, before_MNB, input_MDG, hidden_MDG, *saved = ctx.saved_tensors
        state_HMBD, old_MNBD, own_MNBG, new_MNBD, other_MNBD, *weights = saved
        m, n, b, d = old_MNBD.shape
        half, state_HRD = m * b // 2, state_HMBD.flatten(1, 2)
        slope_MNBX, keep_MNBD = slopes(old_MNBD, own_MNBG, new_MNBD), own_MNBG[..., d : 2 * d]
        next_NR = rows_of(successors(before_MNB, present_MNB)).transpose(0, 1).flatten(1)
        back_MGD, other_back_MGD = state_order(hidden_MDG).mT.contiguous(), input_MDG.mT.contiguous()
        grad_HRD, into_HMBD = grads[0].flatten(1, 2).clone(), torch.zeros_like(grads[0])
        into_RD, ask_grad_NLD = into_HMBD.view(-1, d), torch.empty_like(ask_NLD)
        for t in reversed(range(n)):
            near = slice(max(0, t - ctx.reach), t)
            grad_MBD = grad_HRD[t + 1].add_(into_RD.index_select(0, next_NR[t])).view(m, b, d)
            slope_MBX = slope_MNBX[:, t]
            slope_MBX.view(m, b, 4, d).mul_(grad_MBD.unsqueeze(2))
            keep_MBD = grad_MBD * keep_MNBD[:, t]
            torch.baddbmm(keep_MBD, slope_MBX[..., : 3 * d], back_MGD, out=into_HMBD[t])
            other_RD = torch.bmm(slope_MBX[..., d:], other_back_MGD).view(-1, d)
            into_HMBD[t].view(-1, d)[half:] += other_RD[:half]
            memory_LJD, weight_L1J = _global(state_HRD, near, half), weights[t]
            c_L1D = other_RD[half:].unsqueeze(1)
            pull_L1J = torch.bmm(c_L1D, memory_LJD.mT) * weight_L1J
            pull_L1J -= weight_L1J * pull_L1J.sum(-1, keepdim=True)
            ask_grad_NLD[t] = torch.bmm(pull_L1J, memory_LJD).squeeze(1)
            from_L2J = torch.cat([weight_L1J, pull_L1J], 1)
            to_L2D = torch.cat([c_L1D, ask_NLD[t].unsqueeze(1)], 1)
            _global(grad_HRD, near, half).add_(torch.bmm(from_L2J.mT, to_L2D))
        input_grad_MDG = torch.bmm(other_MNBD.flatten(1, 2).mT, slope_MNBX[..., d:].flatten(1, 2))
        state_grads = state_gradients(old_MNBD, slope_MNBX)
        return slope_MNBX[..., d:], ask_grad_NLD, *[None] * 4, input_grad_MDG, *state_grads


def _global(state_HRD: Tensor, near: slice, half: int) -> Tensor:
    """The global states ``[L, J, D]`` after some utterances, in place."""
    return state_HRD[near.start + 1 : near.stop + 1, :half].transpose(0, 1)


def _some(ban_NLJ: Tensor) -> Tensor:
    """1 where any may be read, else 0, ``[N, L, 1, 1]``: there softmax is even over what may not be."""
    return (ban_NLJ == 0).any(-1).to(ban_NLJ.dtype)[..., None, None]
