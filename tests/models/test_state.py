"""Memories of a fixed number of rows. `State` itself is tried by every host and fusion that keeps one."""

from __future__ import annotations

import pytest
import torch

from models.state import rolled


@pytest.mark.parametrize("shape", [(), (3,), (2, 5)], ids=str)
def test_the_newest_row_takes_the_place_of_the_oldest(shape: tuple[int, ...]) -> None:
    """Whatever a row is; what was given stays as it was."""
    old_BW, new_B1 = torch.randn(2, 4, *shape), torch.randn(2, 1, *shape)
    kept_BW = old_BW.clone()
    after_BW = rolled(old_BW, new_B1)
    assert torch.equal(after_BW[:, :3], old_BW[:, 1:])
    assert torch.equal(after_BW[:, 3:], new_B1)
    assert torch.equal(old_BW, kept_BW)


def test_a_memory_of_one_row_is_the_newest() -> None:
    old_B1, new_B1 = torch.zeros(2, 1, 3), torch.ones(2, 1, 3)
    assert torch.equal(rolled(old_B1, new_B1), new_B1)


def test_a_memory_of_no_rows_stays_empty() -> None:
    """A step of DialogueRNN that reads its own utterance alone remembers nothing."""
    assert rolled(torch.zeros(2, 0, 3), torch.ones(2, 1, 3)).shape == (2, 0, 3)
