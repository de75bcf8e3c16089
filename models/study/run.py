"""Run what is missing of the study: ``python -m models.study --data ../shared/data --jobs 2``.

Every finished run is appended to ``results/CORPUS.jsonl`` at once; the command does only what those files
lack, so the study may be spread over sittings and machines. Ctrl-C keeps what is finished.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from models import command
from models.study.plan import Entry, entries
from models.training.config import TrainingError
from models.training.features import CACHE
from models.training.rows import Row
from models.training.run import key
from models.training.sweep import Job, Notes, data_of, sweep

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
COMMAND = "python -m models.study --data ../shared/data"
log = logging.getLogger("models.study")


def results(corpus: str, folder: Path = RESULTS) -> Path:
    """Where the rows of ``corpus`` are kept; MELD's own file holds the models that ship."""
    return folder / f"study-{corpus}.jsonl"


def chosen(tables: Sequence[str], stages: str) -> list[Entry]:
    """The entries of which ``table: name`` begins with one of ``tables`` (all if none), in ``stages``.

    Raises:
        TrainingError: nothing is chosen.
    """
    within = [e for e in entries() if e.stage in stages]
    rows = [e for e in within if not tables or f"{e.table}: {e.name}".startswith(tuple(tables))]
    if not rows:
        known = sorted({e.table for e in within})
        raise TrainingError(f"no table begins with {' or '.join(tables)}; there are {', '.join(known)}")
    return rows


def jobs(rows: Sequence[Entry], data: Path, cache: Path, seeds: int | None = None) -> dict[str, list[Job]]:
    """The runs of ``rows`` by corpus, in order, each once; ``seeds`` limits them to the first few.

    What was done to the data is logged, as by `models.training.sweep.plan`.

    Raises:
        DataError: a corpus is missing or damaged.
    """
    out: dict[str, dict[str, Job]] = {}
    notes = Notes()
    for e in rows:
        corpus = e.config.data.corpus
        prepared = data_of(e.config, data, cache)
        notes.log(prepared)
        for seed in e.seeds[:seeds]:
            k = key(e.config, seed, prepared.digest)
            out.setdefault(corpus, {}).setdefault(k, Job(f"{e.table}: {e.name}", e.config, seed, k, COMMAND))
    return {corpus: list(found.values()) for corpus, found in out.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; its exit code is that of `models.command.run`."""
    parser = argparse.ArgumentParser(
        prog="python -m models.study", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument("--jobs", type=int, default=2, help="processes, one thread each (default: 2)")
    parser.add_argument(
        "--tables",
        nargs="+",
        default=[],
        help="only those that begin so, such as mosi, or rows, such as 'meld-tuned-past: speaker-gru'",
    )
    parser.add_argument("--stages", default="abc", help="a, b, c: see models/study/plan.py (default: abc)")
    parser.add_argument("--seeds", type=int, help="only the first so many of each row")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where encoders and features are kept")
    args = parser.parse_args(argv)
    return command.run(
        lambda: _run_all(args), f"stopped; finished runs are kept in {RESULTS}, the same command goes on"
    )


def _run_all(args: argparse.Namespace) -> None:
    todo = jobs(chosen(args.tables, args.stages), args.data, args.cache, args.seeds)
    for corpus, found in todo.items():
        _run(corpus, found, args)


def _run(corpus: str, found: list[Job], args: argparse.Namespace) -> None:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with command.bar(*columns) as bar:
        task = bar.add_task(corpus, total=len(found))

        def watch(job: Job, row: Row) -> None:
            bar.advance(task)
            f1 = row["test"]["weighted_f1"]
            log.info("%s seed %d: test %.1f, %.0f s", job.name, job.seed, f1, row["seconds"])

        sweep(found, args.data, results(corpus), processes=args.jobs, cache=args.cache, watch=watch)
