"""``lmam bench``: what the parts of this program cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

from rich.console import Console
from rich.table import Table

from models.cost import Cost, self_attention_weights, table

from ..errors import ConfigError
from .common import write_json


def params(dim: int, modalities: int, window: int, json_file: Path | None) -> None:
    """Print the cost of every fusion, and which cannot have these sizes, and write both as JSON.

    Raises:
        ConfigError: sizes that no fusion can have. StreamerError: the file cannot be written.
    """
    try:
        costs, left_out = table(dim=dim, modalities=modalities, window=window)
    except ValueError as error:
        raise ConfigError(f"{error}; set --dim, --modalities or --window") from error
    console = Console()
    console.print(fitting(console, costs, dim, modalities, window))
    for why in left_out:
        console.print(f"left out: {why}", highlight=False, soft_wrap=True)
    write_json(
        json_file,
        {
            "dim": dim,
            "modalities": modalities,
            "window": window,
            "self_attention_weights": self_attention_weights(dim),
            "fusions": [{**asdict(cost), "share": float(cost.share(dim))} for cost in costs],
            "left_out": left_out,
        },
    )


def fitting(console: Console, costs: list[Cost], dim: int, modalities: int, window: int) -> Table:
    """The table with as many columns as ``console`` has room for: no name and no number is broken."""
    for left_out in ((), ("weights",), ("weights", "state, B")):
        shown = render(costs, dim, modalities, window, left_out)
        if shown.__rich_measure__(console, console.options).maximum <= console.width:
            break
    if left_out:
        shown.caption = f"{shown.caption}; a wider terminal shows {' and '.join(left_out)}, too"
    return shown


def render(costs: list[Cost], dim: int, modalities: int, window: int, left_out: Sequence[str] = ()) -> Table:
    """A table, a fusion a row; ``left_out`` are titles of columns."""
    shown = Table(
        box=None,
        pad_edge=False,
        title=f"Fusions of {modalities} modalities of width {dim}, {window} utterances remembered",
        caption=f"share: weights over the {self_attention_weights(dim):,} of self-attention's W_Q, W_K, W_V;"
        " FLOPs: one utterance, two for each multiplication in a matrix product; state: one conversation",
    )
    columns: dict[str, Callable[[Cost], str]] = {
        "parameters": lambda cost: f"{cost.parameters:,}",
        "weights": lambda cost: f"{cost.weights:,}",
        "share": lambda cost: _fraction(cost.share(dim)),
        "FLOPs": lambda cost: f"{cost.flops:,}",
        "state, B": lambda cost: f"{cost.state_bytes:,}",
    }
    kept = {title: cell for title, cell in columns.items() if title not in left_out}
    shown.add_column("fusion", no_wrap=True)
    for title in kept:
        shown.add_column(title, justify="right", no_wrap=True)
    for cost in costs:
        shown.add_row(cost.name, *(cell(cost) for cell in kept.values()))
    return shown


def _fraction(share: Fraction) -> str:
    """Exact where it is one part of something, rounded elsewhere."""
    return str(share) if share.numerator <= 1 else f"{float(share):.3g}"
