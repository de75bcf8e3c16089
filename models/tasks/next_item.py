"""Next-item recommendation: click sequences with an item and its category at each event, and their metrics.

A file ``<name>.npz`` has, for each part ``train`` and ``test``, ``<part>_offsets`` (R + 1), ``<part>_items``
and ``<part>_categories`` (the events of all sequences end to end), ``<part>_target_item`` and
``<part>_target_category`` (the event that followed); and ``item_to_category`` (V). Items and categories count
from 1; 0 is padding.

The packaged split is kept. The dev part is the last of the training sequences in the file's order, because
the first half of Tmall's are another kind of sequence than those of its test part (in 54 % of them the target
has been clicked before; in the second half in 28 %, as in test) and a random part would choose models for
them; in Diginetica's file the order says nothing.

Shape suffixes: R sequences, N events, V items.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.data.corpus import DataError

Ints = NDArray[np.int64]
PARTS = ("train", "test")
TOP = (10, 20)


@dataclass(frozen=True, slots=True)
class Sequences:
    """Sequences of at most N events, padded with 0 at the end; each event with the item that followed."""

    items_RN: Tensor
    categories_RN: Tensor
    next_RN: Tensor
    lengths_R: Tensor

    def __len__(self) -> int:
        return len(self.lengths_R)

    @property
    def targets(self) -> Tensor:
        """The item to be foretold: what followed the last event."""
        return self.next_RN.gather(1, (self.lengths_R - 1).unsqueeze(1)).squeeze(1)

    def take(self, rows: Tensor) -> Sequences:
        """These sequences, as long as the longest of them."""
        lengths = self.lengths_R[rows]
        n = int(lengths.max())
        items, categories, following = (
            t[rows, :n] for t in (self.items_RN, self.categories_RN, self.next_RN)
        )
        return Sequences(items, categories, following, lengths)

    @property
    def valid(self) -> Tensor:
        """Where an event stands."""
        return torch.arange(self.items_RN.shape[1]) < self.lengths_R.unsqueeze(1)

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[Sequences]:
        """All of them, ``size`` at a time, alike in length: shuffled with ``generator``, else by length."""
        if generator is None:
            for rows in torch.split(self.lengths_R.argsort(stable=True), size):
                yield self.take(rows)
            return
        order = torch.randperm(len(self), generator=generator)
        pools = [pool[self.lengths_R[pool].argsort(stable=True)] for pool in torch.split(order, 32 * size)]
        batches = [rows for pool in pools for rows in torch.split(pool, size)]
        for i in torch.randperm(len(batches), generator=generator).tolist():
            yield self.take(batches[i])


@dataclass(frozen=True, slots=True)
class Dataset:
    """One data set; ``counts_V`` is how often each item 1..V stands in training, as event or as target."""

    name: str
    items: int
    categories: int
    train: Sequences
    dev: Sequences
    test: Sequences
    counts_V: Tensor


def read(path: Path, cut: int = 20, dev_share: float = 0.1) -> Dataset:
    """``path`` with the last ``cut`` events of each sequence; the last ``dev_share`` of training are dev.

    Raises:
        DataError: the file is missing, damaged or not of this form.
    """
    raw = _arrays(path)
    _check(path, raw)
    items = len(raw["item_to_category"])
    categories = int(max(raw[k].max() for k in raw if "categor" in k))
    whole, test = (_padded(raw, part, cut) for part in PARTS)
    size = round(dev_share * len(whole))
    if not 0 < size < len(whole):
        raise DataError(
            f"{path}: {dev_share} of {len(whole)} training sequences leaves no dev or no train part"
        )
    rows = torch.arange(len(whole))
    train, dev = whole.take(rows[:-size]), whole.take(rows[-size:])
    seen = torch.cat([train.items_RN[train.valid], train.targets])
    counts_V = torch.bincount(seen, minlength=items + 1)[1:]
    return Dataset(path.stem, items, categories, train, dev, test, counts_V)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    names = [
        f"{p}_{k}"
        for p in PARTS
        for k in ("offsets", "items", "categories", "target_item", "target_category")
    ]
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {name: file[name] for name in [*names, "item_to_category"]}
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; --data names the folder that holds next_item_rec/") from None
    except (KeyError, OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a file of click sequences ({error}); see the module's text") from error


def _check(path: Path, raw: dict[str, NDArray[Any]]) -> None:
    """That offsets, rows and ids fit each other."""
    most = len(raw["item_to_category"])
    for part in PARTS:
        offsets, items, targets = (raw[f"{part}_{kind}"] for kind in ("offsets", "items", "target_item"))
        ends = len(offsets) == len(targets) + 1 and offsets[0] == 0 and offsets[-1] == len(items)
        if not ends or (np.diff(offsets) < 1).any():
            raise DataError(
                f"{path}: {part}_offsets must rise from 0 to the {len(items)} events of {part}_items, one"
                f" more than the {len(targets)} targets, and no sequence may be empty"
            )
        if len(raw[f"{part}_categories"]) != len(items):
            raise DataError(f"{path}: {part}_items and {part}_categories must have one entry an event each")
        ids = np.concatenate([items, targets])
        if ids.min() < 1 or ids.max() > most:
            raise DataError(f"{path}: items of {part} must be 1..{most}, the rows of item_to_category")
        if raw[f"{part}_categories"].min() < 1:
            raise DataError(f"{path}: categories of {part} must be 1 or more; 0 is padding")


def _padded(raw: dict[str, NDArray[Any]], part: str, cut: int) -> Sequences:
    offsets = raw[f"{part}_offsets"].astype(np.int64)
    lengths: Ints = np.minimum(np.diff(offsets), cut)
    n = int(lengths.max())
    at_RN = (offsets[1:] - lengths)[:, None] + np.arange(n)
    here_RN = np.arange(n) < lengths[:, None]

    def rows(events: NDArray[Any]) -> Ints:
        return np.where(here_RN, events[np.minimum(at_RN, len(events) - 1)], 0).astype(np.int64)

    items_RN = rows(raw[f"{part}_items"])
    next_RN = np.zeros_like(items_RN)
    next_RN[:, :-1] = items_RN[:, 1:]
    next_RN[np.arange(len(lengths)), lengths - 1] = raw[f"{part}_target_item"]
    arrays = items_RN, rows(raw[f"{part}_categories"]), next_RN, lengths
    return Sequences(*(torch.from_numpy(a) for a in arrays))


def ranks(scores_RV: Tensor, targets_R: Tensor) -> Tensor:
    """Rank ``[R]`` of each target item (1..V) among all V items: 1 to 20, or 21 for all beyond.

    Items that score the same as the target stand before it, NaN too, so that a model that says the same of
    everything has nothing.
    """
    own_R1 = scores_RV.gather(1, targets_R.unsqueeze(1) - 1)
    best = scores_RV.topk(min(TOP[-1] + 1, scores_RV.shape[1]), sorted=False).values
    ahead_R = (~(best < own_R1)).sum(1)
    return torch.where(own_R1.squeeze(1).isfinite(), ahead_R, TOP[-1] + 1)


def measures(ranks_R: Tensor) -> dict[str, float]:
    """``hr@10``, ``hr@20`` and ``mrr@20`` in percent.

    The share of targets among the first 10 or 20; the mean of 1 / rank, 0 beyond rank 20.

    Raises:
        ValueError: no ranks.
    """
    if len(ranks_R) == 0:
        raise ValueError("no ranks to measure")
    rank_R = ranks_R.double()
    hits = {f"hr@{k}": float(100 * (rank_R <= k).double().mean()) for k in TOP}
    last = TOP[-1]
    return {**hits, f"mrr@{last}": float(100 * torch.where(rank_R <= last, 1 / rank_R, 0.0).mean())}


def popularity(data: Dataset, part: Sequences, batch: int = 512) -> dict[str, float]:
    """`measures` of always naming what stands most often in training."""
    scores_1V = data.counts_V.unsqueeze(0)
    found = [ranks(scores_1V.expand(len(t), -1), t) for t in torch.split(part.targets, batch)]
    return measures(torch.cat(found))
