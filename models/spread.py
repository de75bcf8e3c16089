"""Mean and standard deviation of some seeds, as tables and lists of results say them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def spread(values: Sequence[float], places: int = 1) -> str:
    """``61.1 ± 0.5``; one value has no deviation, and none at all is a dash."""
    if not values:
        return "-"
    mean = f"{statistics.mean(values):.{places}f}"
    return f"{mean} ± {statistics.stdev(values):.{places}f}" if len(values) > 1 else mean


def figures(values: Sequence[float]) -> dict[str, float | None]:
    """``mean`` and ``std`` to three places; the deviation of one value is None."""
    std = round(statistics.stdev(values), 3) if len(values) > 1 else None
    return {"mean": round(statistics.mean(values), 3), "std": std}
