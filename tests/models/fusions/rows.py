"""What every test of a fusion needs: rows in which modalities come and go, and the checks of the seam."""

from __future__ import annotations

import torch
from torch import Tensor

from models.fusions.base import Fusion
from models.incremental import take


def make_rows(*, batch: int = 2, n: int = 6, m: int = 3, dim: int = 8) -> tuple[Tensor, Tensor]:
    """h ``[B, N, M, D]`` in float64, NaN where absent, and present ``[B, N, M]``; utterance 1 has nothing."""
    g = torch.Generator().manual_seed(5)
    present_BNM = torch.rand(batch, n, m, generator=g) < 0.6
    present_BNM[:, 0], present_BNM[:, 1] = True, False
    h_BNMD = torch.randn(batch, n, m, dim, generator=g, dtype=torch.float64)
    return torch.where(present_BNM.unsqueeze(-1), h_BNMD, torch.nan), present_BNM


@torch.no_grad()
def stepped(fusion: Fusion, h_BNMD: Tensor, present_BNM: Tensor) -> Tensor:
    """z ``[B, N, D]`` by stepping; asserts that the state keeps its size and is not written to."""
    state, rows = fusion.init_state(len(h_BNMD)), []
    sizes = {name: t.shape for name, t in state.items()}
    for n in range(h_BNMD.shape[1]):
        before = {name: t.clone() for name, t in state.items()}
        z_BD, after = fusion.step(h_BNMD[:, n], present_BNM[:, n], state)
        assert all(torch.equal(before[name], t) for name, t in state.items()), "step changed its state"
        assert sizes == {name: t.shape for name, t in after.items()}, "the state grows"
        assert all(torch.isfinite(t).all() for t in after.values()), "the state holds what it must not read"
        state = after
        rows.append(z_BD)
    assert take(state, slice(0, 1)).keys() == state.keys()
    return torch.stack(rows, 1)


def gradients(fusion: Fusion, h_BNMD: Tensor, present_BNM: Tensor) -> Tensor:
    """The gradient of the sum of squares of z by h, after asserting that every parameter gets one."""
    h_BNMD = h_BNMD.clone().requires_grad_()
    fusion(h_BNMD, present_BNM).square().sum().backward()
    for name, parameter in fusion.named_parameters():
        assert parameter.grad is not None, f"{name} is not used"
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0 or name.endswith("key.bias"), f"{name} does not matter"
    assert h_BNMD.grad is not None
    return h_BNMD.grad
