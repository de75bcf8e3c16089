"""Folds of one protocol put together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from models.training.rows import Row


def pooled(rows: Sequence[Row], way: str) -> dict[int, np.ndarray[Any, np.dtype[np.int64]]]:
    """Confusion ``[K, K]`` of all folds together by seed, of the seeds that have every fold; rows without
    ``way`` do not count."""
    by_seed: dict[int, dict[int, Any]] = defaultdict(dict)
    for row in rows:
        if way in row["test"]:
            by_seed[row["seed"]][row["fold"]] = np.array(row["test"][way]["confusion"])
    folds = max((len(found) for found in by_seed.values()), default=0)
    return {s: sum(found.values()) for s, found in sorted(by_seed.items()) if len(found) == folds}
