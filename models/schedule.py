"""How the learning rate goes during a run."""

from __future__ import annotations


def linear(step: int, warm: float, total: int) -> float:
    """The factor at ``step``, from 0: it rises over ``warm`` steps, then falls to 0 after ``total``."""
    return min((step + 1) / warm, max(0.0, (total - step) / (total - warm)))
