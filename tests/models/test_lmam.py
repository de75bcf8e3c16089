"""Low-rank matching attention against the equations written out with loops."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.lmam import LMAM, causal_window, masked_softmax


def by_the_equations(block: LMAM, h_BNMD: Tensor, present_BNM: Tensor) -> Tensor:
    """Equations 1-6 one number at a time."""
    B, N, M, D = h_BNMD.shape
    match, z = block.match, torch.zeros(B, N, D)
    for b in range(B):
        for t in range(N):
            reads, own = torch.zeros(D), torch.zeros(D)
            for m in range(M):
                if not present_BNM[b, t, m]:
                    continue
                own = own + h_BNMD[b, t, m]
                for k in range(M):
                    js = [j for j in range(max(0, t - block.window + 1), t + 1) if present_BNM[b, j, k]]
                    if not js:
                        continue
                    W_DD = match.U_KDR[k] @ match.V_DR.T  # equation 6
                    q = W_DD @ h_BNMD[b, t, m]  # equation 1
                    s = torch.stack([q @ h_BNMD[b, j, k] for j in js])  # equation 2
                    a = F.softmax(match.log_beta_K[k].exp() * s, 0)  # equation 3
                    reads = reads + sum(a[i] * h_BNMD[b, j, k] for i, j in enumerate(js))  # equation 4
            z[b, t] = F.gelu(reads) + own  # equation 5
    return z


@pytest.fixture
def block() -> LMAM:
    torch.manual_seed(1)
    block = LMAM(modalities=3, dim=12, rank=4, window=3)
    torch.nn.init.normal_(block.match.log_beta_K)
    return block


@torch.no_grad()
def test_forward_is_the_equations(block: LMAM) -> None:
    """The batched products give what the equations give, missing modalities included."""
    h_BNMD, present_BNM = torch.randn(2, 7, 3, 12), torch.rand(2, 7, 3) < 0.6
    torch.testing.assert_close(block(h_BNMD, present_BNM), by_the_equations(block, h_BNMD, present_BNM))


@torch.no_grad()
def test_step_is_forward(block: LMAM) -> None:
    """Stepping with the rolling memory gives what the windowed mask gives, past the window as well."""
    h_BNMD, present_BNM = torch.randn(2, 9, 3, 12), torch.rand(2, 9, 3) < 0.6
    memory, rows = block.memory(2), []
    for t in range(9):
        z_BD, memory = block.step(h_BNMD[:, t], present_BNM[:, t], memory)
        rows.append(z_BD)
    torch.testing.assert_close(torch.stack(rows, 1), block(h_BNMD, present_BNM))
    assert [tuple(m.shape) for m in memory] == [(2, 3, 3, 12), (2, 3, 3, 4), (2, 3, 3)]


@torch.no_grad()
def test_what_left_the_window_is_forgotten(block: LMAM) -> None:
    """With a window of 3, utterance 5 does not depend on utterance 2 and does on utterance 3."""
    h_BNMD, present_BNM = torch.randn(1, 6, 3, 12), torch.ones(1, 6, 3, dtype=torch.bool)
    before = block(h_BNMD, present_BNM)[:, 5]
    for t, changes in ((2, False), (3, True)):
        other = h_BNMD.clone()
        other[:, t] += 1
        assert (not torch.allclose(block(other, present_BNM)[:, 5], before)) == changes


@torch.no_grad()
def test_nothing_present_is_zero_and_nan_does_not_leak(block: LMAM) -> None:
    """An utterance without any modality and without a past gives zeros, whatever its features hold."""
    h_BNMD = torch.full((1, 2, 3, 12), float("nan"))
    h_BNMD[0, 1] = 1.0
    present_BNM = torch.tensor([[[False] * 3, [True, False, True]]])
    z_BND = block(h_BNMD, present_BNM)
    assert torch.equal(z_BND[0, 0], torch.zeros(12))
    assert torch.isfinite(z_BND).all()


def test_gradients_of_masked_entries_are_zero_not_nan(block: LMAM) -> None:
    """A masked NaN must not poison the gradient either: 0 * NaN is NaN."""
    h_BNMD, present_BNM = torch.randn(1, 4, 3, 12), torch.rand(1, 4, 3) < 0.5
    present_BNM[0, 0] = False
    h_BNMD = torch.where(present_BNM.unsqueeze(-1), h_BNMD, float("nan")).requires_grad_()
    block(h_BNMD, present_BNM).square().sum().backward()
    assert h_BNMD.grad is not None
    assert torch.isfinite(h_BNMD.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in block.parameters() if p.grad is not None)


def test_masked_softmax_sums_to_one_or_is_empty() -> None:
    """Rows with something allowed sum to 1, rows with nothing to 0, and the masked share is exactly 0."""
    allowed = torch.tensor([[True, False, True], [False, False, False]])
    weights = masked_softmax(torch.tensor([[1.0, 1e30, 1.0], [5.0, 5.0, 5.0]]), allowed)
    assert torch.equal(weights, torch.tensor([[0.5, 0.0, 0.5], [0.0, 0.0, 0.0]]))


def test_causal_window() -> None:
    """Each utterance sees itself and the window - 1 before it."""
    assert causal_window(4, 2).int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]


def test_rank_sixteen_at_width_128_needs_few_weights() -> None:
    """V once and U for each memory: (1 + 3) d r weights and three temperatures."""
    block = LMAM(modalities=3, dim=128, rank=16)
    assert sum(p.numel() for p in block.parameters()) == 4 * 128 * 16 + 3


@pytest.mark.parametrize("wrong", [{"window": 0}, {"rank": 0}, {"rank": 13}])
def test_impossible_sizes_are_refused(wrong: dict[str, int]) -> None:
    """A rank above the width saves nothing and a window below 1 sees nothing: ValueError."""
    with pytest.raises(ValueError, match="at least 1"):
        LMAM(dim=12, **{"rank": 4, "window": 3, **wrong})
