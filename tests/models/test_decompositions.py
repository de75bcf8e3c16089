"""What stands in for operations that ONNX lacks gives what they give, ties included."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.decompositions import cummax, stable_argsort, stable_sort


def numbers() -> Tensor:
    """Few values, so that many are equal."""
    return torch.randint(0, 4, (2, 7, 3), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_the_running_maximum_and_its_place(dim: int) -> None:
    """Of equals the last one is the place, as in torch."""
    for got, want in zip(cummax(numbers(), dim), torch.cummax(numbers(), dim), strict=True):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_the_stable_sort(dim: int, descending: bool) -> None:
    """Of equals the first stays first, in both directions."""
    want = torch.sort(numbers(), stable=True, dim=dim, descending=descending)
    got = stable_sort(numbers(), stable=True, dim=dim, descending=descending)
    torch.testing.assert_close(got[0], want.values)
    torch.testing.assert_close(got[1], want.indices)
    order = stable_argsort(numbers(), stable=True, dim=dim, descending=descending)
    torch.testing.assert_close(order, want.indices)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of torch about itself
def test_a_program_has_neither_any_more() -> None:
    """Put in with `run_decompositions`, and the program still says what the module says."""
    from models.decompositions import TABLE

    class Both(torch.nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x.cummax(1).values, torch.argsort(x, dim=1, stable=True)

    program = torch.export.export(Both(), (numbers(),)).run_decompositions(TABLE)
    assert not {node.target for node in program.graph.nodes} & set(TABLE)
    for got, want in zip(program.module()(numbers()), Both()(numbers()), strict=True):
        torch.testing.assert_close(got, want)
