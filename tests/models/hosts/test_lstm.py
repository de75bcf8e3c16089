"""torch's LSTM over what is present, against its equations one utterance at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from models.hosts import lstm


def unit(seed: int) -> nn.LSTM:
    """Three numbers in, four out, in float64."""
    torch.manual_seed(seed)
    return nn.LSTM(3, 4, batch_first=True).double()


def rows() -> tuple[Tensor, Tensor]:
    """Two conversations of six utterances; one begins with two absent ones, one has no other kind."""
    torch.manual_seed(2)
    present_BN = torch.tensor([[0, 0, 1, 0, 1, 1], [0, 0, 0, 0, 0, 0]]) > 0
    return torch.randn(2, 6, 3, dtype=torch.float64), present_BN


def loop(unit: nn.LSTM, x_BND: Tensor, present_BN: Tensor) -> Tensor:
    """Hochreiter & Schmidhuber (1997), gate by gate, over present utterances alone."""
    w, r = unit.weight_ih_l0, unit.weight_hh_l0
    bias = unit.bias_ih_l0 + unit.bias_hh_l0
    out = torch.zeros(*present_BN.shape, unit.hidden_size, dtype=torch.float64)
    for b, there_N in enumerate(present_BN):
        h = c = torch.zeros(unit.hidden_size, dtype=torch.float64)
        for n, there in enumerate(there_N):
            if there:
                i, f, g, o = (w @ x_BND[b, n] + r @ h + bias).chunk(4)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
            out[b, n] = h
    return out


@torch.no_grad()
def test_an_absent_utterance_finds_the_state_before_it() -> None:
    """Zero where none was present yet."""
    past, (x_BND, present_BN) = unit(0), rows()
    h_BNE = lstm.read(past, None, x_BND, present_BN)
    torch.testing.assert_close(h_BNE, loop(past, x_BND, present_BN), atol=1e-12, rtol=0)
    assert (h_BNE[0, :2] == 0).all()
    assert (h_BNE[1] == 0).all()


@torch.no_grad()
def test_the_other_direction_reads_from_the_end() -> None:
    """Both stand end to end, each utterance at its own place."""
    past, future, (x_BND, present_BN) = unit(0), unit(1), rows()
    ahead_BNE = loop(future, x_BND.flip(1), present_BN.flip(1)).flip(1)
    want = torch.cat([loop(past, x_BND, present_BN), ahead_BNE], -1)
    torch.testing.assert_close(lstm.read(past, future, x_BND, present_BN), want, atol=1e-12, rtol=0)


@torch.no_grad()
def test_stepping_is_reading() -> None:
    """One utterance at a time; the cell of an absent one stays, too."""
    past, (x_BND, present_BN) = unit(0), rows()
    h_BE = c_BE = torch.zeros(2, 4, dtype=torch.float64)
    for n in range(x_BND.shape[1]):
        before_BE = c_BE
        h_BE, c_BE = lstm.step(past, x_BND[:, n], present_BN[:, n], h_BE, c_BE)
        want_BE = lstm.read(past, None, x_BND, present_BN)[:, n]
        torch.testing.assert_close(h_BE, want_BE, atol=1e-12, rtol=0)
        assert torch.equal((c_BE == before_BE).all(-1), ~present_BN[:, n])


@pytest.mark.parametrize("type_", [torch.bfloat16, torch.float32], ids=str)
@torch.no_grad()
def test_it_reads_in_the_precision_of_its_weights(type_: torch.dtype) -> None:
    """Also inside mixed precision, for which not every processor has an LSTM."""
    past, (x_BND, present_BN) = unit(0).float(), rows()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        h_BNE = lstm.read(past, None, x_BND.to(type_), present_BN)
    assert h_BNE.dtype == torch.float32
