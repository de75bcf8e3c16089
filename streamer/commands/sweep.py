"""``lmam sweep``: configurations over seeds, then one table of what came of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from models.training.config import read

from ..errors import ConfigError
from .training import command_line, encoding, folder_of, progress, worded

if TYPE_CHECKING:
    from models.training.sweep import Job, Line

WIDE = 150  # columns that the whole table needs; on a narrower terminal some are left out
CAPTION = (
    "mean ± standard deviation over the seeds; * best on dev. Against the baseline: difference in weighted F1"
    " with its 95 % interval, bootstrap over conversations and seeds; tie: under a point"
)


def run(
    arguments: Sequence[str],
    data: Path | None,
    *,
    seeds: Sequence[str],
    jobs: int,
    results: Path,
    baseline: str | None,
) -> None:
    """Run what is missing, then print one table for each corpus.

    Raises:
        ConfigError: a wrong option, configuration or data. StreamerError: runs failed; the others are kept.
    """
    from models.training.sweep import lines, plan
    from models.training.sweep import sweep as run_all

    console, command = Console(stderr=True), command_line()
    paths, numbers = split_arguments(arguments, seeds)
    names = _names(paths)
    if baseline is not None:
        baseline = names.get(Path(baseline), baseline)
    with worded(console):
        configs = [(names[p], read(p)) for p in paths]
        for _, config in configs:
            folder_of(data, config.data.corpus)  # refuses what needs one
        folder = data or Path.cwd()
        if baseline is not None and baseline not in names.values():
            raise ConfigError(f"--baseline {baseline}: none of {', '.join(names.values())}")
        with progress(console) as bar:
            planned = plan(configs, numbers, folder, command=command, say=encoding(bar))
            task = bar.add_task("runs", total=None)

            def watch(job: Job, row: dict[str, Any]) -> None:
                bar.advance(task)
                score = f"{row['test']['weighted_f1']:.1f}" if "test" in row else "-"
                dev, seconds = row["dev"]["weighted_f1"], row["seconds"]
                bar.console.print(f"{job.name} seed {job.seed}: dev {dev:.1f}, test {score}, {seconds:.0f} s")

            def begin(missing: int) -> None:
                bar.update(task, total=missing, visible=bool(missing))

            try:
                found = run_all(planned, folder, results, processes=jobs, watch=watch, begin=begin)
            except KeyboardInterrupt:
                bar.console.print(f"stopped; finished runs are kept in {results}, the same command goes on")
                raise
    for corpus in dict.fromkeys(job.config.data.corpus for job in planned):
        part = [job for job in planned if job.config.data.corpus == corpus]
        base = baseline if baseline in {job.name for job in part} else None
        width = Console().width if sys.stdout.isatty() else WIDE
        Console(width=width).print(
            table(lines(part, found, base), corpus, len(numbers), compact=width < WIDE)
        )


def split_arguments(arguments: Sequence[str], seeds: Sequence[str]) -> tuple[list[Path], list[int]]:
    """Configurations and seeds: what follows ``--seeds`` may stand apart (0 1 2), as a range (0-4) or 0,1.

    Raises:
        ConfigError: no configuration, or a seed that is none.
    """
    paths = [Path(a) for a in arguments if not a.isdigit()]
    if not paths:
        raise ConfigError("no configuration is named; configs/models holds examples")
    out: list[int] = []
    for text in ",".join([*seeds, *(a for a in arguments if a.isdigit())]).split(","):
        first, dash, last = text.strip().partition("-")
        if not first.isdigit() or (dash and (not last.isdigit() or int(last) < int(first))):
            raise ConfigError(f"--seeds {text!r}: expected numbers, such as 0 1 2, 0,1,2 or 0-4")
        out += range(int(first), int(last or first) + 1)
    return list(dict.fromkeys(paths)), list(dict.fromkeys(out))


def _names(paths: Sequence[Path]) -> dict[Path, str]:
    """File names without suffix where they differ, else the whole paths."""
    short = {p: p.stem for p in paths}
    return short if len(set(short.values())) == len(short) else {p: str(p) for p in paths}


def table(found: Sequence[Line], corpus: str, seeds: int, *, compact: bool = False) -> Table:
    """``found`` for the terminal; ``compact`` leaves out what the first look can do without."""
    measures = {"wF1": "weighted_f1", "macro F1": "macro_f1", "accuracy": "accuracy"}
    shown = Table(title=f"{corpus}, test", caption=CAPTION)
    shown.add_column("", overflow="fold")
    titles = ["seeds", "fusion", "all weights", "step, ms", "dev wF1", *measures]
    left_out = {"all weights", "step, ms", "macro F1", "accuracy"} if compact else set()
    for title in titles:
        if title not in left_out:
            shown.add_column(title, justify="right", no_wrap=True)
    shown.add_column("against the baseline")
    for line in found:
        row = line.rows[0]
        cells = {
            "seeds": f"{len(line.rows)}" + (f" of {seeds}" if len(line.rows) < seeds else ""),
            "fusion": f"{row['fusion_parameters']:,}",
            "all weights": f"{row['parameters']:,}",
            "step, ms": "-" if row["step_ms"] is None else f"{row['step_ms']:.2f}",
            "dev wF1": _spread(line, "dev", "weighted_f1"),
            **{t: _spread(line, "test", m) if "test" in row else "-" for t, m in measures.items()},
        }
        against = "baseline" if line.comparison is None else str(line.comparison)
        name = line.name + (" *" if line.chosen else "")
        shown.add_row(name, *(cells[t] for t in titles if t not in left_out), against)
    return shown


def _spread(line: Line, split: str, measure: str) -> str:
    mean = f"{line.mean(split, measure):.1f}"
    return f"{mean} ± {line.spread(split, measure):.1f}" if len(line.rows) > 1 else mean
