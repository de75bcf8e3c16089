"""Operations that ONNX does not have, in terms of those it has.

For programs of a fixed number of utterances (a window), so that a loop or a table over them is small. They
are put in with `torch.export.ExportedProgram.run_decompositions`.

Shape suffixes: N places along the dimension.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def cummax(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """``torch.cummax``: the largest so far along ``dim``, and the last place where it stood."""
    largest, place = [x.select(dim, 0)], [torch.zeros_like(x.select(dim, 0), dtype=torch.int64)]
    for n in range(1, x.shape[dim]):
        new = x.select(dim, n)
        place.append(torch.where(new >= largest[-1], n, place[-1]))
        largest.append(torch.maximum(largest[-1], new))
    return torch.stack(largest, dim), torch.stack(place, dim)


def stable_sort(
    x: Tensor, *, stable: bool | None = None, dim: int = -1, descending: bool = False
) -> tuple[Tensor, Tensor]:
    """``torch.sort`` with ``stable`` (of equals the first stays first): counts who comes before whom."""
    x = x.movedim(dim, -1)
    n_N = torch.arange(x.shape[-1], device=x.device)
    other, own = x.unsqueeze(-2), x.unsqueeze(-1)
    before = other > own if descending else other < own
    earlier_NN = n_N < n_N[:, None]
    rank = (before | ((other == own) & earlier_NN)).sum(-1)
    place = ((rank.unsqueeze(-2) == n_N[:, None]) * n_N).sum(-1)
    return x.gather(-1, place).movedim(-1, dim), place.movedim(-1, dim)


def stable_argsort(x: Tensor, *, stable: bool, dim: int = -1, descending: bool = False) -> Tensor:
    """``torch.argsort`` with ``stable``."""
    return stable_sort(x, stable=stable, dim=dim, descending=descending)[1]


TABLE: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.cummax.default: cummax,
    torch.ops.aten.sort.stable: stable_sort,
    torch.ops.aten.argsort.stable: stable_argsort,
}
