"""Units over whole conversations against one at a time, and their gradient against differences."""

from __future__ import annotations

import torch
from torch import Tensor

from models.hosts.gru import Streams
from models.hosts.recurrence import gru, held, predecessors, rows_of, successors


def line(*values: int) -> Tensor:
    """``[1, N, 1]``."""
    return torch.tensor(values)[None, :, None]


def test_the_predecessor_is_the_latest_that_was_present() -> None:
    """One more than its index; 0 where there is none."""
    assert predecessors(line(1, 0, 1, 1, 0).bool()).flatten().tolist() == [0, 1, 1, 3, 4]


def test_the_predecessor_of_a_party_is_its_own_latest() -> None:
    """Utterances of others do not count, nor those in which it was absent."""
    who, present = line(0, 1, 0, 1, 0), line(1, 1, 0, 1, 1).bool()
    assert predecessors(present, who, 2).flatten().tolist() == [0, 0, 1, 2, 1]


def test_a_successor_is_the_one_present_utterance_that_comes_from_another() -> None:
    """N where there is none."""
    present = line(0, 1, 0, 1).bool()
    assert successors(predecessors(present), present).flatten().tolist() == [4, 3, 4, 4]
    ends = line(1, 0).bool()  # nobody comes after: the absent one at the end is no successor
    assert successors(predecessors(ends), ends).flatten().tolist() == [2, 2]


def test_absent_rows_hold_the_state_before() -> None:
    """Rows of a state are found for every unit and conversation by itself."""
    state_HMBD = torch.arange(4.0)[:, None, None, None] + torch.arange(6.0).view(3, 2, 1) * 10
    present_MNB = torch.ones(3, 3, 2, dtype=torch.bool)
    present_MNB[2, 1:, 1] = False
    h_MNBD = held(state_HMBD, present_MNB, predecessors(present_MNB))
    assert h_MNBD[0, :, 1, 0].tolist() == [11, 12, 13]
    assert h_MNBD[2, :, 1, 0].tolist() == [51, 51, 51]
    assert rows_of(line(0, 2, 1).expand(3, 3, 2))[:, 1].flatten().tolist() == [12, 13, 14, 15, 16, 17]


def given() -> tuple[Tensor, Tensor, Tensor, Streams]:
    """Gates, presence and predecessors of six utterances of two conversations, and two units of width 3.

    The first unit follows the conversation, the second the party.
    """
    torch.manual_seed(2)
    present_MNB, who_MNB = torch.rand(2, 6, 2) < 0.7, torch.randint(0, 2, (1, 6, 2)).expand(2, 6, 2)
    before_MNB = torch.cat([predecessors(present_MNB[:1]), predecessors(present_MNB[1:], who_MNB[1:], 2)])
    units = Streams(2, 3).double()
    torch.nn.init.normal_(units.hidden_bias_MG)
    return torch.randn(2, 6, 2, 9, dtype=torch.float64), present_MNB, before_MNB, units


@torch.no_grad()
def test_it_is_the_unit_one_at_a_time() -> None:
    """The unit of `Streams`, the state kept by hand."""
    gates_MNBG, present_MNB, before_MNB, units = given()
    h_MNBD = gru(gates_MNBG, present_MNB, before_MNB, units.hidden_MDG, units.hidden_bias_MG)
    for m in range(2):
        for b in range(2):
            states = [torch.zeros(3, dtype=torch.float64)]
            for n in range(6):
                old_1MD = states[before_MNB[m, n, b]].expand(1, 2, 3)
                states.append(units(gates_MNBG[:, n, b].unsqueeze(0), old_1MD)[0, m])
                want_D = states[-1] if present_MNB[m, n, b] else old_1MD[0, 0]
                torch.testing.assert_close(h_MNBD[m, n, b], want_D, atol=1e-14, rtol=0)


def test_the_gradient_is_that_of_differences() -> None:
    """Towards the gates, the recurrent weights and their bias."""
    gates_MNBG, present_MNB, before_MNB, units = given()

    def run(gates: Tensor, hidden: Tensor, bias: Tensor) -> Tensor:
        return gru(gates, present_MNB, before_MNB, hidden, bias)

    assert torch.autograd.gradcheck(
        run, (gates_MNBG.requires_grad_(), units.hidden_MDG, units.hidden_bias_MG)
    )


def test_a_gradient_can_be_taken_twice() -> None:
    """What is kept for it is not used up."""
    gates_MNBG, present_MNB, before_MNB, units = given()
    total = gru(gates_MNBG, present_MNB, before_MNB, units.hidden_MDG, units.hidden_bias_MG).sum()
    first, second = (torch.autograd.grad(total, units.hidden_MDG, retain_graph=True)[0] for _ in range(2))
    torch.testing.assert_close(first, second, atol=0, rtol=0)
    assert first.abs().min() > 0


def test_mixed_precision_recurs_in_the_precision_of_the_weights() -> None:
    """Gates in half precision; forward and back."""
    gates_MNBG, present_MNB, before_MNB, units = given()
    units.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        h_MNBD = gru(gates_MNBG.bfloat16(), present_MNB, before_MNB, units.hidden_MDG, units.hidden_bias_MG)
    assert h_MNBD.dtype == torch.float32
    h_MNBD.sum().backward()  # type: ignore[no-untyped-call]
    assert units.hidden_MDG.grad is not None
    assert units.hidden_MDG.grad.dtype == torch.float32
