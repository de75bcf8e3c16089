"""``lmam models``: the trained networks on this machine."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from ..errors import StreamerError
from ..weights import folder, list_weights, pull, verify


def show() -> None:
    """What ships, what was pulled and what can be pulled."""
    table = Table(box=None, pad_edge=False, collapse_padding=True)  # 80 columns are enough
    for title in ("name", "kind", "version", "MB", "here", "commercial"):
        table.add_column(title, no_wrap=True, justify="right" if title == "MB" else "left")
    weights = list_weights()
    for w in weights:
        here = "damaged" if w.problem else "ships" if w.ships else "pulled" if w.path else "-"
        if w.package and w.path:
            here = "installed"
        elif w.path and "/" in w.name:  # a set of one's own
            here = "trained"
        table.add_row(w.name, w.kind, w.version, f"{w.megabytes:.1f}", here, w.commercial_use)
    Console().print(table)
    typer.echo()
    for w in weights:
        if w.problem or w.path:
            typer.echo(f"{w.name}: {w.problem or w.licence}")
    typer.echo(f"\nlmam models pull NAME puts weights into {folder()} (environment variable LMAM_WEIGHTS)")


def fetch(name: str) -> None:
    """Download ``name`` with a progress bar; the only command that asks the network for weights."""
    columns = (
        "{task.description}",
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks: dict[str, object] = {}

        def report(file: str, done: int, total: int) -> None:
            if file not in tasks:
                tasks[file] = progress.add_task(file, total=total or None)
            progress.update(tasks[file], completed=done, total=total or None)  # type: ignore[arg-type]

        path = pull(name, report)
    typer.echo(f"{name}: {path}")


def check(names: list[str]) -> None:
    """Verify ``names``, or all that is on this disk.

    Raises:
        StreamerError: at least one is missing or damaged; each is said.
    """
    wanted = names or [w.name for w in list_weights() if w.path is not None]
    failed = 0
    for name in wanted:
        try:
            typer.echo(f"OK      {name}: {verify(name)}")
        except StreamerError as error:
            failed += 1
            typer.echo(f"FAILED  {name}: {error}")
    if failed:
        raise StreamerError(f"{failed} of {len(wanted)} weights are missing or damaged")
