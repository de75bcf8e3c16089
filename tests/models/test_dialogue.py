"""A voice is its measures, what a network says of it, or both."""

from __future__ import annotations

import torch

from models.dialogue import voice_vector


def test_measures_and_embedding_stand_side_by_side_with_a_flag() -> None:
    vector = voice_vector(torch.tensor([0.5, -1.0]), torch.tensor([2.0, 3.0, 4.0]))
    assert vector.tolist() == [0.5, -1.0, 2.0, 3.0, 4.0, 1.0]


def test_without_an_embedding_it_is_zero_and_the_flag_down() -> None:
    nan = torch.nan
    rows = voice_vector(torch.ones(2, 1), torch.tensor([[nan, nan], [5.0, 6.0]]))
    assert rows.tolist() == [[1.0, 0.0, 0.0, 0.0], [1.0, 5.0, 6.0, 1.0]]


def test_a_model_that_reads_no_embedding_gets_the_measures_alone() -> None:
    measures = torch.tensor([[0.5, -1.0]])
    assert voice_vector(measures, torch.zeros(1, 0)) is measures
