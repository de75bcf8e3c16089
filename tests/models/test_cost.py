"""Costs are worked out from the fusions themselves, and agree with the formulas."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from models import fusions
from models.cost import RANKED, RANKS, measure, self_attention_weights, table
from models.fusions import FUSIONS
from models.span import Span


def test_self_attention_is_what_torch_has() -> None:
    """W_Q, W_K and W_V of torch's own module."""
    own = torch.nn.MultiheadAttention(512, 1, bias=False, device="meta").in_proj_weight.numel()
    assert self_attention_weights(512) == own == 786_432


def test_one_full_weight_is_exactly_a_third_of_self_attention() -> None:
    """And its bias the only other parameter: d^2 + d."""
    for dim in (16, 128, 512):
        cost = measure("lmam-published", dim=dim)
        assert cost.share(dim) == Fraction(1, 3)
        assert cost.parameters == dim**2 + dim


@pytest.mark.parametrize(("rank", "share"), [(64, 12), (32, 24), (16, 48), (8, 96)])
def test_a_rank_is_exactly_2_d_r(rank: int, share: int) -> None:
    """Nothing but U and V; at width 512 the shares that docs/lmam.md states."""
    cost = measure("lmam-low-rank", dim=512, rank=rank)
    assert cost.parameters == cost.weights == 2 * 512 * rank
    assert cost.share(512) == Fraction(1, share)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("mean", 0),
        ("lmam", 4 * 128 * 16 + 1),
        ("lmam-all-memories", 4 * 128 * 16 + 3),
        ("lmam-published", 16_512),
        ("lmam-published-temperature", 16_513),
        ("lmam-published-memories", 16_512),
        ("lmam-low-rank-shared", 4 * 128 * 16),
        ("concat", 3 * 128 * 128 + 128),
    ],
)
def test_parameters_at_width_128(name: str, parameters: int) -> None:
    assert measure(name, dim=128).parameters == parameters


@pytest.mark.parametrize("name", FUSIONS)
def test_what_is_counted_without_storage_is_what_stands_in_memory(name: str) -> None:
    """The same parameters and state as in a fusion that is really there; weights imply arithmetic."""
    cost = measure(name, dim=16, window=5)
    real = fusions.build(name, modalities=3, dim=16, span=Span(5))
    assert cost.parameters == sum(p.numel() for p in real.parameters())
    assert cost.state_bytes == sum(len(t.numpy().tobytes()) for t in real.init_state(1).values())
    assert cost.weights <= cost.parameters
    assert cost.flops > 0 or cost.weights == 0


@pytest.mark.parametrize(("memory", "k"), [("text", 1), ("all", 3)])
@pytest.mark.parametrize("rank", [4, 16])
def test_a_step_of_lmam_costs_d_r_and_w_times_r_plus_d(memory: str, k: int, rank: int) -> None:
    """Queries, one new key for each memory, scores and read-out; 4 bytes a number and 1 a flag are kept."""
    m, d, w = 3, 32, 6
    cost = measure("lmam", dim=d, modalities=m, window=w, rank=rank, memory=memory)
    assert cost.flops == 2 * (m * d * rank + k * d * rank + m * k * w * (rank + d))
    assert cost.state_bytes == w * k * (4 * (d + rank) + 1)


def test_the_cost_of_a_step_grows_with_the_window_alone() -> None:
    """Twice the window is twice the scores and the read-out, and nothing more: nothing is recomputed."""
    once, twice, fourfold = (measure("lmam", dim=32, window=w).flops for w in (8, 16, 32))
    assert fourfold - twice == 2 * (twice - once)


def test_the_table_has_every_fusion_and_every_rank_that_fits() -> None:
    names = [cost.name for cost in table(dim=32)[0]]
    assert {name.partition(", ")[0] for name in names} == set(FUSIONS)
    assert [r for r in RANKS if f"lmam, rank {r}" in names] == [8, 16, 32]


def test_nothing_stands_in_the_table_twice() -> None:
    """Neither by name, nor a default beside the rank that it has."""
    rows, left_out = table(dim=64)
    assert not left_out
    assert len({cost.name for cost in rows}) == len(rows)
    for name in RANKED:
        own = [(c.parameters, c.state_bytes) for c in rows if c.name.partition(", ")[0] == name]
        assert len(own) == len(set(own)) == len(RANKS)


@pytest.mark.parametrize(
    ("dim", "why"), [(8, "rank 16: expected 1 to 8"), (18, "4 heads do not divide"), (4, "")]
)
def test_a_fusion_that_cannot_have_the_sizes_is_left_out_and_named(dim: int, why: str) -> None:
    rows, left_out = table(dim=dim)
    assert any(why in line for line in left_out)
    assert {part.partition(", ")[0] for part in (*(cost.name for cost in rows), *left_out)} == set(FUSIONS)


def test_sizes_that_cannot_be_are_named() -> None:
    with pytest.raises(ValueError, match="lmam, 3 modalities of width 8: rank 16: expected 1 to 8"):
        measure("lmam", dim=8)
    with pytest.raises(ValueError, match="0 modalities of width 16"):
        table(dim=16, modalities=0)
    with pytest.raises(ValueError, match="no fusion 'nope'"):
        measure("nope", dim=8)
