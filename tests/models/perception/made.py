"""Voices that the tests make: each expression moves other statistics, each speaker all of them."""

from __future__ import annotations

import numpy as np

from models.encoders.voice_statistics import COUNT
from models.perception.voice import Network, Plan, Voices

LABELS = ("calm", "loud", "fast")
PLAN = Plan(versions=2, epochs=(12,), batch=16, network=Network(width=32, embedding=8, dropout=0.1))


def voices(speakers: int = 6, clips: int = 12, apart: float = 3.0, between: float = 0.0) -> Voices:
    """``apart``: how far an expression moves its statistics; ``between``: how far speakers differ."""
    rng = np.random.default_rng(0)
    count = speakers * clips
    label_N = np.tile(np.arange(len(LABELS)), count // len(LABELS))
    at_N = np.repeat(np.arange(speakers), clips)
    directions = rng.normal(0, 1, (len(LABELS), COUNT)) / np.sqrt(8)
    offset = between * rng.normal(0, 1, (speakers, len(LABELS))) @ directions
    x_NS = apart * directions[label_N] + offset[at_N] + rng.normal(0, 1, (count, COUNT))
    x_VNS = np.stack([x_NS, x_NS + rng.normal(0, 0.3, x_NS.shape)])
    return Voices(x_VNS, label_N, tuple(f"s{s}" for s in at_N), LABELS)
