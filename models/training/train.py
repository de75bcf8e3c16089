"""One run in a folder of its own: state after each epoch, logs, and the checkpoint at its end.

last.pt            what a killed run goes on from
metrics.csv        one line an epoch
events.out.*       the same for TensorBoard
model.safetensors  the state that was best on dev (`models.training.store`)
row.json           the run as `lmam sweep` would have written it
"""

from __future__ import annotations

import csv
import importlib
import io
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from models.training import store
from models.training.config import RunConfig, TrainingError
from models.training.engine import Engine, Plain, need, open_fabric
from models.training.fit import Epoch, Fit
from models.training.rows import Row
from models.training.run import Prepared, finish, key
from models.whole import whole

STATE, MODEL, METRICS, ROW = "last.pt", "model.safetensors", "metrics.csv", "row.json"
Watch = Callable[[Epoch], None]


def train(
    config: RunConfig,
    data: Prepared,
    seed: int,
    folder: Path,
    *,
    engine: Engine | None = None,
    resume: bool = False,
    command: str = "",
    watch: Watch | None = None,
) -> Row:
    """Train into ``folder``; with ``resume`` go on from what is there (nothing there: start).

    Raises:
        TrainingError: the folder holds a run and ``resume`` is not set, or holds another run; see
            `models.training.run.run`.
    """
    engine = engine or Plain()
    with torch.random.fork_rng():
        fit = Fit(config, data.tensors, seed, engine)
        run = Run(folder, key(config, seed, data.digest), resume)
        if run.state:
            fit.load(run.state["fit"])
        if engine.global_rank == 0:
            run.open()
        with Board(folder if engine.global_rank == 0 else None, fit.progress.epoch) as board:
            began = time.monotonic() - run.seconds
            for epoch in fit.epochs():
                if engine.global_rank == 0:
                    run.keep(fit, epoch, time.monotonic() - began)
                    board.add(epoch)
                    if watch:
                        watch(epoch)
        row = finish(config, data, seed, fit, seconds=time.monotonic() - began, command=command)
        if engine.global_rank == 0:
            store.save(folder / MODEL, fit.model, config, data, row)
            _write(folder / ROW, json.dumps(row, indent=1) + "\n")
        return row


def launch(
    config: RunConfig,
    data: Prepared,
    seed: int,
    folder: Path,
    *,
    accelerator: str = "auto",
    devices: int = 1,
    resume: bool = False,
    command: str = "",
    watch: Watch | None = None,
) -> Row:
    """`train` with Lightning Fabric on ``devices`` of ``accelerator`` (auto, cpu, gpu); several train by DDP.

    Each of several is a process of its own; what is wrong from the start is found before there are any.
    ``watch`` is then called in the first of them, and so has to be a function of a module.

    Raises:
        TrainingError: a package is missing, there is no such device; see `train`.
    """
    need("lightning_fabric", "tensorboard")
    fabric = open_fabric(accelerator=accelerator, devices=devices, precision=config.train.precision)
    options: dict[str, Any] = {"resume": resume, "command": command, "watch": watch}
    if devices == 1:
        fabric.launch()
        return train(config, data, seed, folder, engine=fabric, **options)
    with torch.random.fork_rng(devices=[]):
        Fit(config, data.tensors, seed)
    Run(folder, key(config, seed, data.digest), resume).open()
    row: Row | TrainingError = fabric.launch(partial(_on_each, config, data, seed, folder, options))
    if isinstance(row, TrainingError):
        raise row
    return row


def _on_each(
    config: RunConfig, data: Prepared, seed: int, folder: Path, options: dict[str, Any], fabric: Engine
) -> Row | TrainingError:
    """In each process; what `launch` returns or raises is what the first returns."""
    _end_with_parent()
    torch.set_num_threads(1)
    try:
        return train(config, data, seed, folder, engine=fabric, **options)
    except TrainingError as error:
        return error


def _end_with_parent() -> None:
    """End this process as soon as the one that began it is gone: killed, it can tell nobody."""
    parent = multiprocessing.parent_process()

    def follow() -> None:
        assert parent is not None
        parent.join()
        os._exit(1)

    if parent is not None:
        threading.Thread(target=follow, name="end with parent", daemon=True).start()


def refuse(folder: Path, resume: bool) -> None:
    """Refuse to write over a run; to be asked before the data is read, which may take long.

    Raises:
        TrainingError: ``folder`` holds a run that is not to be gone on with, or a model without one.
    """
    if (folder / STATE).exists() and not resume:
        raise TrainingError(f"{folder} holds a run: --resume goes on with it, --out names another folder")
    if (folder / MODEL).exists() and not (folder / STATE).exists():
        raise TrainingError(f"{folder} holds a model without {STATE}; --out names another folder")


class Run:
    """What a folder holds of a run.

    Raises:
        TrainingError: see `train`.
    """

    def __init__(self, folder: Path, key: str, resume: bool) -> None:
        self.folder, self.key = folder, key
        self.history: list[dict[str, float]] = []
        self.seconds, self.state = 0.0, None
        refuse(folder, resume)
        path = folder / STATE
        if not path.exists():
            return
        self.state = store.load_state(path)
        if self.state.get("key") != key:
            raise TrainingError(
                f"{folder} holds a run of another configuration, seed or data; --out names another folder"
            )
        self.history, self.seconds = self.state["history"], self.state["seconds"]

    def open(self) -> None:
        """Make the folder.

        Raises:
            TrainingError: it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / METRICS).touch()
        except OSError as error:
            raise TrainingError(f"{self.folder}: cannot be written ({error.strerror}); set --out") from error

    def keep(self, fit: Fit, epoch: Epoch, seconds: float) -> None:
        """The state first: what the logs lack after a kill, the next epoch writes."""
        self.history.append(flat(epoch))
        state = {"key": self.key, "fit": fit.state(), "history": self.history, "seconds": seconds}
        store.save_state(self.folder / STATE, state)
        _write(self.folder / METRICS, table(self.history))


class Board:
    """TensorBoard's event file in ``folder`` (None: none); epochs that a kill undid are purged."""

    def __init__(self, folder: Path | None, done: int) -> None:
        self.writer: Any = None
        if folder is not None:
            need("tensorboard")
            board = importlib.import_module("torch.utils.tensorboard")
            self.writer = board.SummaryWriter(str(folder), purge_step=done + 1 if done else None)

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self.writer is not None:
            self.writer.close()

    def add(self, epoch: Epoch) -> None:
        """One point of each curve."""
        for name, value in flat(epoch).items():
            if name != "epoch":
                self.writer.add_scalar(name, value, epoch.number)


def flat(epoch: Epoch) -> dict[str, float]:
    """``epoch`` as the columns of the log."""
    facts = asdict(epoch)
    dev: dict[str, float] = facts.pop("dev")
    first = {"epoch": facts["number"], "train_loss": facts["loss"], "lr": facts["lr"]}
    return {**first, **{f"dev_{k}": v for k, v in dev.items()}, "best": float(facts["best"])}


def table(history: Sequence[dict[str, float]]) -> str:
    """``history`` as CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: f"{v:.6g}" for k, v in row.items()} for row in history)
    return out.getvalue()


def _write(path: Path, text: str) -> None:
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")
