"""``lmam bench perception``: what the weights that ship reach and cost, beside simple baselines."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import rich
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from models.checkpoint import WEIGHTS, CheckpointError
from models.perception.shipped.figures import OURS, Figure, Target, written
from models.training.rows import commit, told

from ..bench.perception import PARTS
from ..errors import ConfigError, StreamerError
from .common import write_json

ALL, MINUTES = "all parts", Target(15.0, at_most=True)


def perception(data: Path | None, only: Sequence[str], weights: Path | None, json_file: Path | None) -> None:
    """Measure the parts ``only`` (none named: all), print them, and write their rows as JSON.

    A part that cannot be measured is left out with the reason, and the others go on. Ctrl-C prints and
    writes what is done.

    Raises:
        ConfigError: no folder of data, or an unknown part.
        StreamerError: a part was left out, or the file cannot be written.
    """
    names = _chosen(only)
    if data is None or not data.is_dir():
        raise ConfigError(
            f"{data or 'no data'}: --data must name the folder that holds meld/, ravdess/, ... (docs/data.md)"
        )
    torch.set_num_threads(1)
    began = time.monotonic()
    console, done, left_out = Console(), dict[str, list[Figure]](), dict[str, str]()
    try:
        with _bar(sum(PARTS[name].seconds for name in names)) as (progress, task):
            for name in names:
                done[name] = []
                say = partial(_tell, progress, task, name)
                try:
                    for figure in PARTS[name].figures(data, weights or WEIGHTS, say):
                        done[name].append(figure)
                except (ValueError, CheckpointError, StreamerError) as error:
                    left_out[name] = str(error)
                progress.advance(task, PARTS[name].seconds)
        if names == list(PARTS) and not left_out:
            done[ALL] = [_duration(time.monotonic() - began)]
    finally:
        for name, figures in done.items():
            if figures:
                console.print(render(name, figures))
                console.print()
        made = [figure for figures in done.values() for figure in figures]
        command, at = _command(data, only, weights), commit() or "unknown"
        write_json(json_file, [figure.row(command, at) for figure in made])
    if left_out:
        raise StreamerError("; ".join(f"{name} is incomplete: {why}" for name, why in left_out.items()))


def _duration(seconds: float) -> Figure:
    return Figure(
        part="bench",
        dataset="all",
        model=OURS,
        protocol="lmam bench perception",
        metric="minutes",
        value=seconds / 60,
        n=len(PARTS),
        target=MINUTES,
    )


def _tell(progress: Progress, task: TaskID, part: str, words: str) -> None:
    progress.update(task, description=f"{part}: {words}")


def _chosen(only: Sequence[str]) -> list[str]:
    names = [name.strip() for text in only for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise ConfigError(f"--only {', '.join(unknown)}: no such part; there are {', '.join(PARTS)}")
    return [name for name in PARTS if name in names] or list(PARTS)


@contextmanager
def _bar(seconds: float) -> Iterator[tuple[Progress, TaskID]]:
    """On a terminal; elsewhere nothing."""
    console = rich.get_console()
    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress, progress.add_task("", total=seconds)


def _command(data: Path, only: Sequence[str], weights: Path | None) -> str:
    options = [
        *(["--only", ",".join(only)] if only else []),
        *(["--weights", str(weights)] if weights else []),
    ]
    return told(["lmam", "bench", "perception", "--data", str(data), *options])


def render(part: str, figures: Sequence[Figure]) -> Table:
    """One part, a figure a row."""
    shown = Table(box=None, pad_edge=False, title=part, title_justify="left", title_style="bold")
    for column in ("data", "condition", "model", "measure"):
        shown.add_column(column, overflow="fold")
    for column in ("value", "n", "target"):
        shown.add_column(column, justify="right", no_wrap=True)
    shown.add_column("", no_wrap=True)
    for f in figures:
        condition = ", ".join(p for p in (f.protocol, f.context if part == "voice" else "") if p)
        mark = {None: "", True: "reached", False: "missed"}[f.reached]
        cells = (
            f.dataset,
            condition,
            f.model,
            f.metric,
            written(f.metric, f.value),
            str(f.n),
            str(f.target or ""),
        )
        shown.add_row(*cells, mark)
    return shown
