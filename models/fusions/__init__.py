"""Fusions by name; every one stands in every host (see `models.fusions.base`)."""

from __future__ import annotations

import importlib
from typing import Any

from models.fusions.base import Fusion
from models.span import Span

# name: (module, class, the options that make it what its name says)
FUSIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "add": ("simple", "Add", {}),
    "concat": ("simple", "Concat", {}),
    "gated": ("simple", "Gated", {}),
    "mean": ("lmam", "Mean", {}),
    "lmam-published": ("lmam", "Lmam", {"rank": None, "squash": "tanh", "memory": "text", "sharing": "one"}),
    "lmam-published-temperature": (
        "lmam",
        "Lmam",
        {"rank": None, "squash": "temperature", "memory": "text", "sharing": "one"},
    ),
    "lmam-published-memories": (
        "lmam",
        "Lmam",
        {"rank": None, "squash": "tanh", "memory": "all", "sharing": "one"},
    ),
    "lmam-low-rank": ("lmam", "Lmam", {"rank": 16, "squash": "tanh", "memory": "text", "sharing": "one"}),
    "lmam-low-rank-shared": (
        "lmam",
        "Lmam",
        {"rank": 16, "squash": "tanh", "memory": "text", "sharing": "modality"},
    ),
    "lmam": (
        "lmam",
        "Lmam",
        {"rank": 16, "squash": "temperature", "memory": "text", "sharing": "modality"},
    ),
    "lmam-all-memories": (
        "lmam",
        "Lmam",
        {"rank": 16, "squash": "temperature", "memory": "all", "sharing": "modality"},
    ),
    "tfn": ("tensor", "TensorFusion", {}),
    "lmf": ("low_rank", "LowRankFusion", {}),
    "self-attention": ("self_attention", "SelfAttention", {}),
    "cross-modal": ("cross_modal", "CrossModal", {}),
    "cross-modal-attention": ("cross_modal", "CrossModalAttention", {}),
}


def build(name: str, *, modalities: int, dim: int, span: Span, **options: Any) -> Fusion:
    """The fusion ``name``; ``options`` override those that the name stands for.

    Raises:
        ValueError: no such fusion, or options that it does not have.
    """
    if name not in FUSIONS:
        raise ValueError(f"no fusion {name!r}; there are {', '.join(FUSIONS)}")
    module, kind, preset = FUSIONS[name]
    make = getattr(importlib.import_module(f"models.fusions.{module}"), kind)
    try:
        fusion: Fusion = make(modalities=modalities, dim=dim, span=span, **{**preset, **options})
    except TypeError as error:
        raise ValueError(f"fusion {name!r} with {options}: {error}") from error
    return fusion
