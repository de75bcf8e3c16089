"""``lmam bench``: what the parts of this program cost."""

from __future__ import annotations

from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

from rich.console import Console
from rich.table import Table

from models.cost import Cost, self_attention_weights, table

from ..errors import ConfigError
from .common import write_json


def params(dim: int, modalities: int, window: int, json_file: Path | None) -> None:
    """Print the cost of every fusion, and write it as JSON.

    Raises:
        ConfigError: sizes that a fusion cannot have. StreamerError: the file cannot be written.
    """
    try:
        costs = table(dim=dim, modalities=modalities, window=window)
    except ValueError as error:
        raise ConfigError(f"{error}; set --dim, --modalities or --window") from error
    Console().print(render(costs, dim, modalities, window))
    write_json(
        json_file,
        {
            "dim": dim,
            "modalities": modalities,
            "window": window,
            "self_attention_weights": self_attention_weights(dim),
            "fusions": [{**asdict(cost), "share": float(cost.share(dim))} for cost in costs],
        },
    )


def render(costs: list[Cost], dim: int, modalities: int, window: int) -> Table:
    """A table, a fusion a row."""
    shown = Table(
        title=f"Fusions of {modalities} modalities of width {dim}, {window} utterances remembered",
        caption=f"share: weights over the {self_attention_weights(dim):,} of self-attention's W_Q, W_K, W_V;"
        " FLOPs: one utterance, two for each multiplication in a matrix product; state: one conversation",
    )
    shown.add_column("fusion", overflow="fold")
    for name in ("parameters", "weights", "share", "FLOPs", "state, bytes"):
        shown.add_column(name, justify="right", no_wrap=True)
    for cost in costs:
        numbers = (cost.parameters, cost.weights), (cost.flops, cost.state_bytes)
        left, right = ([f"{n:,}" for n in pair] for pair in numbers)
        shown.add_row(cost.name, *left, _fraction(cost.share(dim)), *right)
    return shown


def _fraction(share: Fraction) -> str:
    """Exact where it is one part of something, rounded elsewhere."""
    return str(share) if share.numerator <= 1 else f"{float(share):.3g}"
