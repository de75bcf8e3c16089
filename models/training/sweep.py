"""Configurations over seeds: what is missing is run, each row is kept at once, then one table of all.

Every process computes on one thread. Only this process writes rows, so that Ctrl-C loses the runs in
progress and nothing else; the same command goes on from there.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import statistics
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import forkserver as server
from multiprocessing import resource_tracker
from multiprocessing.context import ForkServerContext
from pathlib import Path

from models.training import rows
from models.training.compare import Comparison, paired
from models.training.config import RunConfig, RunsFailedError, TrainingError
from models.training.engine import Engine, need, open_fabric
from models.training.features import CACHE, Say, nobody, open_data
from models.training.rows import Row
from models.training.run import Prepared, key, run

FLOAT32 = "32-true"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """One configuration with one seed; ``key`` is that of its row."""

    name: str
    config: RunConfig
    seed: int
    key: str
    command: str = ""


def plan(
    configs: Sequence[tuple[str, RunConfig]],
    seeds: Sequence[int],
    folder: Path,
    cache: Path = CACHE,
    command: str = "",
    say: Say = nobody,
) -> list[Job]:
    """Every configuration with every seed; text features are made here, so that workers find them.

    What was done to the data (`Prepared.notes`) is logged, once where several configurations read the same.

    Raises:
        See `models.training.features.open_data`; a `TrainingError` names the configuration, also where its
            precision needs a package that is missing.
    """
    out, notes = [], Notes()
    for name, config in configs:
        try:
            if config.train.precision != FLOAT32:
                need("lightning_fabric")
            prepared = data_of(config, folder, cache, say)
        except TrainingError as error:
            raise TrainingError(f"{name}: {error}") from error
        notes.log(prepared)
        digest = prepared.digest
        out += [Job(name, config, s, key(config, s, digest), command) for s in seeds]
    return out


class Notes:
    """What is said of data, each thing once."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def log(self, prepared: Prepared) -> None:
        """Log the notes of ``prepared`` that were not said yet."""
        for note in prepared.notes:
            if note not in self._said:
                self._said.add(note)
                log.info("%s", note)


def sweep(
    jobs: Sequence[Job],
    folder: Path,
    results: Path,
    *,
    processes: int = 1,
    cache: Path = CACHE,
    watch: Callable[[Job, Row], None] | None = None,
    begin: Callable[[int], None] | None = None,
) -> list[Row]:
    """Run what ``results`` lacks, append each row as it is done; the rows of all ``jobs``.

    ``begin`` hears how many are missing, ``watch`` of each new row.

    Raises:
        KeyboardInterrupt: Ctrl-C; what was finished is kept.
        RunsFailedError: a run failed; the others go on first, and are kept.
        TrainingError: ``results`` cannot be read or written, which is tried before anything runs.
    """
    have = {row["key"] for row in rows.read(results)}
    missing = list({j.key: j for j in jobs if j.key not in have}.values())
    if missing:
        rows.probe(results)
    if begin:
        begin(len(missing))
    failures: list[str] = []
    for job, outcome in _run_all(missing, folder, cache, min(processes, len(missing))):
        if isinstance(outcome, Exception):
            failures.append(f"{job.name} seed {job.seed}: {str(outcome) or type(outcome).__name__}")
            log.error("%s", failures[-1])
            continue
        rows.append(results, outcome)
        if watch:
            watch(job, outcome)
    if failures:
        raise RunsFailedError(f"{len(failures)} of {len(missing)} runs failed: {'; '.join(failures)}")
    wanted = {j.key for j in jobs}
    return [row for row in rows.read(results) if row["key"] in wanted]


def _run_all(
    jobs: Sequence[Job], folder: Path, cache: Path, processes: int
) -> Iterator[tuple[Job, Row | Exception]]:
    if processes <= 1:
        for job in jobs:
            yield job, _outcome(partial(_run, job, folder, cache))
        return
    pool = ProcessPoolExecutor(processes, forkserver(), _start)
    try:
        waiting: dict[Future[Row], Job] = {pool.submit(_run, job, folder, cache): job for job in jobs}
        while waiting:
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield waiting.pop(future), _outcome(future.result)
    except BrokenProcessPool:
        raise TrainingError(
            "a process of the sweep died (out of memory?); what was finished is kept: fewer --jobs, or again"
        ) from None
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def forkserver() -> ForkServerContext:
    """What starts processes: it imports once; torch's threads survive no fork.

    It and they never hear of Ctrl-C, which is this process's to answer, not even while they import.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "torch._dynamo"])  # the latter is what any optimiser imports
    resource_tracker.ensure_running()  # started later, it would let Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        server.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


def _outcome(run: Callable[[], Row]) -> Row | Exception:
    """What failed in ``run`` fails alone; a pool that broke fails all."""
    try:
        return run()
    except BrokenProcessPool:
        raise
    except (ValueError, RuntimeError, MemoryError) as error:
        return error


def _start() -> None:
    """In each process: one thread."""
    import torch

    torch.set_num_threads(1)


def _run(job: Job, folder: Path, cache: Path) -> Row:
    data, engine = data_of(job.config, folder, cache), _engine(job.config)
    return run(job.config, data, job.seed, engine=engine, command=job.command)


def _engine(config: RunConfig) -> Engine | None:
    """What computes in the precision of ``config``; float32 needs no package (None)."""
    if config.train.precision == FLOAT32:
        return None
    fabric = open_fabric(accelerator="cpu", precision=config.train.precision)
    fabric.launch()
    engine: Engine = fabric
    return engine


def data_of(config: RunConfig, folder: Path, cache: Path = CACHE, say: Say = nobody) -> Prepared:
    """`open_data`, kept in memory for configurations that read the same."""
    return _kept(config.data.model_dump_json(), folder, cache, _Said(say))


class _Said:
    """A callback that is no part of what is remembered."""

    def __init__(self, say: Say) -> None:
        self.say = say

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Said)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=4)
def _kept(data: str, folder: Path, cache: Path, said: _Said) -> Prepared:
    from models.training.config import Data

    return open_data(RunConfig(data=Data.model_validate_json(data)), folder, cache, said.say)


@dataclass(frozen=True, slots=True)
class Line:
    """One configuration of a table: its rows, and how it compares with the baseline (None: it is that)."""

    name: str
    rows: tuple[Row, ...]
    comparison: Comparison | None
    chosen: bool  # the best mean on dev

    def mean(self, split: str, measure: str) -> float:
        """Over the seeds."""
        return float(statistics.mean(r[split][measure] for r in self.rows))

    def spread(self, split: str, measure: str) -> float:
        """Standard deviation over the seeds; 0 for one."""
        values = [r[split][measure] for r in self.rows]
        return statistics.stdev(values) if len(values) > 1 else 0.0


def lines(jobs: Sequence[Job], found: Sequence[Row], baseline: str | None = None) -> list[Line]:
    """The configurations of ``jobs`` in their order, compared with ``baseline`` (default: the first).

    Raises:
        TrainingError: ``baseline`` is not among the jobs.
    """
    by_key = {row["key"]: row for row in found}
    groups: dict[str, list[Row]] = {}
    for job in jobs:
        groups.setdefault(job.name, [])
        if job.key in by_key:
            groups[job.name].append(by_key[job.key])
    groups = {name: group for name, group in groups.items() if group}
    base = baseline or next(iter(groups), None)
    if base is None:
        return []
    if base not in groups:
        raise TrainingError(f"--baseline {base!r}: none of {', '.join(groups)}")
    counts = {n: {r["seed"]: rows.tallies(r) for r in g if "tally" in r} for n, g in groups.items()}
    dev = {n: statistics.mean(r["dev"]["weighted_f1"] for r in g) for n, g in groups.items()}
    best = max(dev.values())

    def against(name: str) -> Comparison | None:
        same = groups[name][0]["dataset"] == groups[base][0]["dataset"]
        if name == base or not same or not counts[name].keys() & counts[base].keys():
            return None
        return paired(counts[base], counts[name])

    return [Line(n, tuple(g), against(n), dev[n] == best) for n, g in groups.items()]
