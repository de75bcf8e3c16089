"""``lmam train`` and ``lmam evaluate``: options in, words and tables out; `models.training` does the work."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from models.checkpoint import CheckpointError, read_meta
from models.data.corpus import DataError
from models.training.config import RunConfig, RunsFailedError, TrainingError, read, read_table

from ..errors import ConfigError, StreamerError
from .common import write_json

if TYPE_CHECKING:
    from models.training.evaluate import Evaluation
    from models.training.fit import Epoch
    from models.training.run import Prepared

MEASURES = ("weighted_f1", "macro_f1", "accuracy", "ece")
RUNS = Path("runs")
ADVICE = "--data names the folder that holds a folder for each corpus (or set LMAM_DATA)"


@contextlib.contextmanager
def worded(console: Console, config: Path | None = None) -> Iterator[None]:
    """Errors of input become `ConfigError`; what the library says goes above progress bars.

    Where an error names a key, ``config`` is the file that holds it.

    Raises:
        ConfigError: the input is at fault. StreamerError: some of many runs failed.
    """
    with logged(console):
        try:
            yield
        except RunsFailedError as error:
            raise StreamerError(str(error)) from error
        except (TrainingError, DataError, CheckpointError) as error:
            keyed = config is not None and str(error).startswith(("[model]", "data.", "train."))
            raise ConfigError(f"{config}: {error}" if keyed else str(error)) from error


@contextlib.contextmanager
def logged(console: Console) -> Iterator[None]:
    """What `models` logs, from INFO on, is said on ``console`` and nowhere else."""
    log, handler = logging.getLogger("models"), RichHandler(console=console, show_path=False, show_time=False)
    before = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.level, log.propagate = before


def folder_of(data: Path | None, corpus: str = "") -> Path:
    """The data folder; ``corpus``, where it is a path, needs none.

    Raises:
        ConfigError: none is named, or it is not there.
    """
    if data is None and corpus and Path(corpus).exists():
        return Path(corpus).absolute().parent
    if data is None:
        what = f"data.corpus = {corpus!r} is no path here, and " if corpus else ""
        raise ConfigError(f"{what}no data folder is named: {ADVICE}")
    if not data.is_dir():
        raise ConfigError(f"{data}: no such folder; {ADVICE}")
    return data


def train(
    path: Path,
    data: Path | None,
    *,
    out: Path | None,
    seed: int | None,
    resume: bool,
    accelerator: str,
    devices: int,
    json_file: Path | None,
) -> None:
    """Train what ``path`` describes; the shipped recipe goes to `models.train`.

    Raises:
        ConfigError: a wrong option, configuration or data, or a package is missing.
    """
    console, command = Console(stderr=True), command_line()
    with worded(console, path):
        recipe = read_table(path).get("recipe")
    if recipe == "shipped":
        if accelerator not in ("auto", "cpu") or devices != 1:
            raise ConfigError(
                f"{path}: what ships is trained by one process on a CPU: leave out --accelerator, --devices"
            )
        shipped(path, folder_of(data), out, seed or 0, json_file)
        return
    with worded(console, path):
        config = read(path)
        seed = config.seed if seed is None else seed
        need_extra("lightning_fabric", "tensorboard")
        from models.training.train import MODEL, STATE, launch, refuse

        out = out or RUNS / f"{path.stem}-seed{seed}"
        refuse(out, resume)
        prepared = _open(config, folder_of(data, config.data.corpus), console)
        alone = devices == 1  # of several, another process speaks, which a bar here would write over
        with resumable(console, out / STATE), progress(console, shown=alone) as bar:
            task = bar.add_task(path.stem, total=config.train.epochs)
            row = launch(
                config,
                prepared,
                seed,
                out,
                accelerator=accelerator,
                devices=devices,
                resume=resume,
                command=command,
                watch=_watcher(bar, task) if alone else say_epoch,
            )
    shown = Table(
        *("", *MEASURES, "loss"),
        title=f"{path.stem}, seed {seed}, epoch {row['best_epoch']} of {row['epochs']}",
    )
    for split in ("dev", "test"):
        if split in row:
            shown.add_row(split, *_scores(row[split], (*MEASURES, "loss")))
    Console().print(shown)
    Console().print(
        f"{out / MODEL}: {row['parameters']:,} parameters, {row['fusion_parameters']:,} of the fusion",
        soft_wrap=True,
    )
    write_json(json_file, row)


@contextlib.contextmanager
def resumable(console: Console, state: Path) -> Iterator[None]:
    """Where it is stopped, say how to go on if there is a ``state`` to go on from."""
    try:
        yield
    except KeyboardInterrupt:
        if state.exists():
            console.print("stopped; the same command with --resume goes on after the last whole epoch")
        raise


def shipped(path: Path, data: Path, out: Path | None, seed: int, json_file: Path | None = None) -> None:
    """Both stages of the weights that ship, for one seed: each goes on where it was interrupted, and appends
    its figures to ``json_file``.

    Raises:
        SystemExit: a stage failed; it has said why.
    """
    from models.train import main

    common = ["--data", str(data), "--seeds", str(seed), "--config", str(path)]
    common += ["--out", str(out)] if out else []
    common += ["--json", str(json_file)] if json_file else []
    with logged(rich.get_console()):  # where its progress bars are
        for stage in ("meld", "fusion"):
            code = main([stage, *common])
            if code:
                raise SystemExit(code)


def evaluate(
    path: Path,
    data: Path | None,
    *,
    split: str,
    without: Sequence[str],
    word_errors: float,
    out: Path | None,
    json_file: Path | None,
) -> None:
    """Measure a checkpoint; with ``out``, draw it.

    Raises:
        ConfigError: a wrong option or data, or a file that cannot be used.
    """
    from models.training import evaluate as work
    from models.training import store

    console = Console(stderr=True)
    with worded(console):
        kind = read_meta(path).get("kind")
        if kind != store.KIND:
            raise CheckpointError(
                f"{path}: holds {kind!r}, not a model of 'lmam train'; the weights that ship are measured by"
                " 'python -m models.evaluate'"
            )
        if not 0 <= word_errors <= 1:
            raise ConfigError(f"--word-errors {word_errors}: a share from 0 to 1")
        if out:
            need_extra("matplotlib")
        trained = store.load(path)
        with progress(console) as bar:
            read = work.read_data(
                trained,
                folder_of(data, trained.config.data.corpus),
                split=split,
                word_errors=word_errors,
                say=encoding(bar),
            )
        found = work.evaluate(trained, read, split, without)
        title = ", ".join(
            [
                *(trained.meta["name"], split),
                *([f"{word_errors:.0%} word errors"] if word_errors else []),
                *([f"without {' and '.join(without)}"] if without else []),
            ]
        )
        _print(found, title)
        if out:
            from models.training.pictures import draw

            for picture in draw(found, out, title):
                Console().print(str(picture), soft_wrap=True)
    write_json(json_file, {**found.as_json(), "checkpoint": path.name, "word_errors": word_errors})


def _print(found: Evaluation, title: str) -> None:
    whole = Table(*MEASURES, "ece, calibrated", title=f"{title}, {found.utterances:,} utterances")
    whole.add_row(*_scores(found.scores, MEASURES), f"{found.calibrated_ece:.3f}")
    each = Table("label", "precision", "recall", "F1", "n")
    for column in each.columns[1:]:
        column.justify = "right"
    for c in found.classes:
        each.add_row(c.label, *(f"{v:.1f}" for v in (c.precision, c.recall, c.f1)), f"{c.n:,}")
    Console().print(whole)
    Console().print(each)


def _scores(values: dict[str, float], measures: Sequence[str]) -> list[str]:
    return [f"{values[m]:.3f}" if m in ("ece", "loss") else f"{values[m]:.1f}" for m in measures]


def _open(config: RunConfig, folder: Path, console: Console) -> Prepared:
    from models.training.features import open_data

    with progress(console) as bar:
        prepared = open_data(config, folder, say=encoding(bar))
    for note in prepared.notes:
        console.print(note)
    return prepared


def progress(console: Console, *, shown: bool = True) -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal))


def encoding(bar: Progress) -> Callable[[str, int, int], None]:
    """A progress bar for each split whose words are encoded."""
    tasks: dict[str, Any] = {}

    def say(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bar.add_task(f"encoding {what}", total=total)
        bar.update(tasks[what], completed=done, visible=done < total)

    return say


def _watcher(bar: Progress, task: Any) -> Callable[[Epoch], None]:
    def watch(epoch: Epoch) -> None:
        bar.update(task, completed=epoch.number)
        bar.console.print(_line(epoch))

    return watch


def say_epoch(epoch: Epoch) -> None:
    """For a process that shows no bar."""
    Console(stderr=True).print(_line(epoch), soft_wrap=True)


def _line(epoch: Epoch) -> str:
    score, mark = epoch.dev["weighted_f1"], ", best" if epoch.best else ""
    return f"epoch {epoch.number}: loss {epoch.loss:.3f}, dev weighted F1 {score:.2f}{mark}"


def need_extra(*packages: str) -> None:
    from models.training.engine import need

    need(*packages)


def command_line() -> str:
    """This command as a user would type it."""
    from models.training.rows import told

    return told([Path(sys.argv[0]).name, *sys.argv[1:]])
