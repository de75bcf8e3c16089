"""Click sequences as they are read and divided, and the metrics of a ranking."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.data.corpus import DataError
from models.tasks.next_item import measures, popularity, ranks, read
from tests.data import shared_data
from tests.models.tasks.made import Events, clicks, rounds

CATEGORY = [1, 1, 2, 2, 3]
TRAIN: Events = [([1, 2, 3], 4), ([5], 1), ([2, 2], 2), ([4, 3, 2, 1], 5)]
TEST: Events = [([3, 4], 5)]


def test_every_event_has_the_item_that_followed(tmp_path: Path) -> None:
    data = read(clicks(tmp_path / "d.npz", TRAIN, TEST, CATEGORY), dev_share=0.25)
    assert (data.name, data.items, data.categories) == ("d", 5, 3)
    assert data.train.items_RN.tolist() == [[1, 2, 3], [5, 0, 0], [2, 2, 0]]
    assert data.train.next_RN.tolist() == [[2, 3, 4], [1, 0, 0], [2, 2, 0]]
    assert data.train.categories_RN.tolist() == [[1, 1, 2], [3, 0, 0], [1, 1, 0]]
    assert data.train.targets.tolist() == [4, 1, 2]
    assert data.train.valid.tolist() == [[True, True, True], [True, False, False], [True, True, False]]


def test_dev_is_the_end_of_train_and_counts_leave_it_and_test_out(tmp_path: Path) -> None:
    data = read(clicks(tmp_path / "d.npz", TRAIN, TEST, CATEGORY), dev_share=0.25)
    assert data.dev.items_RN.tolist() == [[4, 3, 2, 1]]
    assert data.test.items_RN.tolist() == [[3, 4]]
    assert data.counts_V.tolist() == [2, 4, 1, 1, 1]


def test_a_long_sequence_keeps_its_last_events(tmp_path: Path) -> None:
    data = read(clicks(tmp_path / "d.npz", TRAIN, TEST, CATEGORY), cut=2, dev_share=0.25)
    assert data.train.items_RN.tolist() == [[2, 3], [5, 0], [2, 2]]
    assert data.train.next_RN.tolist() == [[3, 4], [1, 0], [2, 2]]
    assert data.dev.items_RN.tolist() == [[2, 1]]


def test_batches_hold_every_sequence_once_as_long_as_their_longest(tmp_path: Path) -> None:
    data = read(clicks(tmp_path / "d.npz", rounds(9, 50), TEST, [1] * 9))
    for generator in (None, torch.Generator().manual_seed(0)):
        seen = []
        for batch in data.train.batches(8, generator):
            assert batch.items_RN.shape[1] == batch.lengths_R.max()
            seen += [tuple(row[row > 0].tolist()) for row in batch.items_RN]
        assert sorted(seen) == sorted(tuple(row[row > 0].tolist()) for row in data.train.items_RN)


def test_batches_of_a_seed_are_the_same_and_of_another_are_not(tmp_path: Path) -> None:
    data = read(clicks(tmp_path / "d.npz", rounds(9, 60), TEST, [1] * 9))
    orders = [
        [batch.targets.tolist() for batch in data.train.batches(4, torch.Generator().manual_seed(seed))]
        for seed in (0, 0, 1)
    ]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_offsets": np.array([0, 3, 3, 6, 10])}, "no sequence may be empty"),
        ({"train_offsets": np.array([0, 3, 4, 6, 9])}, "train_offsets must rise from 0 to the 10 events"),
        ({"test_items": np.array([3, 6])}, r"items of test must be 1\.\.5"),
        ({"test_items": np.array([3, 0])}, r"items of test must be 1\.\.5"),
        ({"train_categories": np.array([1, 1])}, "one entry an event each"),
        ({"test_categories": np.array([0, 1])}, "0 is padding"),
        ({"item_to_category": None}, "item_to_category"),
    ],
)
def test_a_file_that_does_not_fit_itself_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(clicks(tmp_path / "d.npz", TRAIN, TEST, CATEGORY, **change))
    assert "d.npz" in str(caught.value)


def test_a_missing_and_a_broken_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"d\.npz: no such file; --data"):
        read(tmp_path / "d.npz")
    (tmp_path / "d.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(DataError, match=r"d\.npz: not a file of click sequences"):
        read(tmp_path / "d.npz")


def test_a_dev_part_without_a_sequence_is_refused(tmp_path: Path) -> None:
    path = clicks(tmp_path / "d.npz", TRAIN, TEST, CATEGORY)
    with pytest.raises(DataError, match="leaves no dev"):
        read(path, dev_share=0.01)


def test_ranks_agree_with_sorting_every_item() -> None:
    scores = torch.randn(40, 100, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(40) + 1
    order = scores.argsort(1, descending=True)
    want = (order == targets.unsqueeze(1) - 1).nonzero()[:, 1] + 1
    assert ranks(scores, targets).tolist() == want.clamp(max=21).tolist()


def test_a_model_that_says_the_same_of_everything_has_nothing() -> None:
    """Ties stand before the target, and so does what is not a number."""
    targets = torch.tensor([1, 7])
    assert ranks(torch.zeros(2, 30), targets).tolist() == [21, 21]
    assert ranks(torch.full((2, 30), float("nan")), targets).tolist() == [21, 21]
    some = torch.zeros(1, 30)
    some[0, 4], some[0, 9] = float("nan"), 1.0
    assert ranks(some, torch.tensor([10])).tolist() == [2]
    assert ranks(torch.tensor([[2.0, 2.0, 1.0]]), torch.tensor([1])).tolist() == [2]


def test_hits_and_reciprocal_ranks_are_shares_in_percent() -> None:
    found = measures(torch.tensor([1, 10, 20, 21]))
    assert found["hr@10"] == 50
    assert found["hr@20"] == 75
    assert found["mrr@20"] == pytest.approx(100 * (1 + 1 / 10 + 1 / 20) / 4)
    with pytest.raises(ValueError, match="no ranks"):
        measures(torch.empty(0))


def test_popularity_names_what_training_has_most_often(tmp_path: Path) -> None:
    """30 items, of which item 3 stands in every sequence of training: it alone is first."""
    train: Events = [([3, 3], i + 1) for i in range(30)] * 2
    data = read(clicks(tmp_path / "d.npz", train, [([1], 3), ([1], 4)], [1] * 30))
    assert popularity(data, data.test)["mrr@20"] == pytest.approx(50)


@pytest.mark.parametrize(
    ("name", "sequences", "items"),
    [("diginetica", (70136, 7793, 51953), 43136), ("tmall", (25204, 2800, 7001), 13714)],
)
def test_the_packaged_files_are_read(name: str, sequences: tuple[int, ...], items: int) -> None:
    data = read(shared_data("next_item_rec", f"{name}.npz"))
    assert (len(data.train), len(data.dev), len(data.test)) == sequences
    assert data.items == items
    assert data.train.items_RN.shape[1] == 20
