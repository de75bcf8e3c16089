"""Is the last turn of a scene sarcastic, or funny? ``python -m models.tasks.sarcasm --help``.

MUStARD (text only here: `models.tasks.scenes` says what its three streams are) or UR-FUNNY, by a host of
`models.conversation` whose fusion differs from row to row.

A speaker gives much of MUStARD's label away: every row is measured on the five published folds and with one
show left out at a time, where nobody speaks who spoke in training; the row ``speaker`` guesses by name alone.
Scores are of the predictions for all scenes put together, each from the fold that did not train on it.

Shape suffixes: K labelled turns, C labels.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from torch import Tensor

from models.command import bar, run
from models.data.corpus import Corpus, DataError
from models.encoders.text import TextEncoder, pretrained
from models.metrics import scores
from models.tasks.rows import STOPPED, Rows, command, key
from models.tasks.scenes import Protocol, alone, by_speaker, protocols
from models.training.config import RunConfig, parse
from models.training.fit import Fit, predict
from models.training.tensors import Tensors, scales, tensors

MODULE = "models.tasks.sarcasm"
ROOT = Path(__file__).parents[2]
MEASURE = "weighted_f1"
ALONE = "utterance alone"  # no context, no fusion: what the words of the turn itself say
log = logging.getLogger(MODULE)


@dataclass(frozen=True)
class Setup:
    """A configuration file, read: one `RunConfig` and the values of it that dev chooses among."""

    run: RunConfig
    grid: dict[str, list[Any]]
    fusions: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Setup:
        """``path`` as a set-up.

        Raises:
            ValueError: the file is missing, or lacks or misspells a key.
        """
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
            study = raw.pop("study")
            setup = cls(parse(raw, str(path)), dict(study["grid"]), tuple(study["fusions"]))
        except (OSError, KeyError, TypeError, tomllib.TOMLDecodeError) as error:
            raise ValueError(f"{path}: not a configuration of this task ({error!r})") from error
        list(setup.recipes(setup.run))  # an impossible value is said before the first hour
        return setup

    def recipes(self, run: RunConfig) -> Iterator[RunConfig]:
        """``run`` with every combination of the grid."""
        for values in product(*self.grid.values()):
            yield run.replace(**dict(zip(self.grid, values, strict=True)))


@dataclass(frozen=True)
class Found:
    """What one model says of dev and test, fold by fold: probabilities ``[K, C]`` and labels ``[K]``."""

    dev: dict[str, tuple[Tensor, Tensor]]
    test: dict[str, tuple[Tensor, Tensor]]
    parameters: int = 0
    fusion_parameters: int = 0
    epochs: float = 0.0

    def figures(self) -> dict[str, Any]:
        """Scores of all folds together, and the weighted F1 of each."""
        out: dict[str, Any] = {}
        for name, folds in (("dev", self.dev), ("test", self.test)):
            probs_KC, label_K = (torch.cat(t) for t in zip(*folds.values(), strict=True))
            each = {fold: scores(p, y)[MEASURE] for fold, (p, y) in folds.items()}
            out[name] = {**scores(probs_KC, label_K), "folds": each}
        sizes = {"parameters": self.parameters, "fusion_parameters": self.fusion_parameters}
        return {**sizes, **out, "epochs": self.epochs}


def train(setup: Setup, run: RunConfig, folds: dict[str, Corpus], seed: int) -> Iterator[Found | str]:
    """Train one model on every fold with every recipe; yields what is worth saying, at last what it found.

    The recipe and the epoch of a fold are those that are best on its own dev part (by ``train.choose``).
    """
    by = run.train.choose
    dev: dict[str, tuple[Tensor, Tensor]] = {}
    test: dict[str, tuple[Tensor, Tensor]] = {}
    epochs, best = [], None
    for fold, corpus in folds.items():
        modalities = run.data.modalities
        data = tensors(corpus, modalities, scales(corpus, modalities, run.data.measures))
        fits = []
        for recipe in setup.recipes(run):
            fit = Fit(recipe, data, seed)
            for _ in fit.epochs():
                pass
            fits.append(fit)
            yield f"{fold}: dev {by} {fit.progress.best_dev[by]:.3f}"
        best = (min if by == "loss" else max)(fits, key=lambda f: f.progress.best_dev[by])
        best.model.load_state_dict(best.best)
        dev[fold], test[fold] = (_predicted(best, data, split) for split in ("dev", "test"))
        epochs.append(best.progress.best_epoch)
    if best is None:
        raise DataError("no folds to train on")
    whole, own = (sum(p.numel() for p in part.parameters()) for part in (best.model, best.model.fusion))
    yield Found(dev, test, whole, own, epochs=sum(epochs) / len(epochs))


def _predicted(fit: Fit, data: Tensors, split: str) -> tuple[Tensor, Tensor]:
    label_U = data.splits[split].label_U[:-1]
    known_U = label_U >= 0
    return predict(fit.model, data.splits[split])[known_U].softmax(-1), label_U[known_U]


def study(
    args: argparse.Namespace, rows: Rows, bar: Progress, encoder: Callable[[], TextEncoder] = pretrained
) -> None:
    """Every missing row of a corpus; ``encoder`` makes MUStARD's text features."""
    setup = Setup.read(args.config or ROOT / "configs" / "tasks" / f"{args.corpus}.toml")
    wanted = [f for f in (ALONE, *setup.fusions) if not args.fusions or f in args.fusions]
    if unknown := set(args.fusions) - set(wanted):
        names = ", ".join(map(repr, (ALONE, *setup.fusions)))
        raise ValueError(f"no fusion {', '.join(sorted(unknown))} in the configuration; there are {names}")
    ways = protocols(args.corpus, args.data, args.path, args.cache, encoder)
    told = {"command": command(MODULE, args.argv)}
    for way in ways:
        about = facts(args.corpus, way, "speaker", "none")
        if args.corpus == "mustard" and (k := key(about)) not in rows:
            dev, test = ({f: by_speaker(c, s) for f, c in way.folds.items()} for s in ("dev", "test"))
            figures = Found(dev, test).figures()
            say(rows.append({**about, "seed": 0, **figures, "seconds": 0.0, **told, "key": k}))
    for seed, fusion, way in product(args.seeds, wanted, ways):
        run, folds = configured(setup, fusion, way)
        model = fusion if fusion == ALONE else run.model.host
        about = facts(args.corpus, way, model, "none" if fusion == ALONE else fusion, run.train.choose)
        k = key({**about, "seed": seed, "run": run.digest(), "grid": setup.grid})
        if k in rows:
            continue
        began = time.monotonic()
        name = f"{way.name}, {fusion}, seed {seed}"
        task = bar.add_task(name, total=len(folds) * len(list(setup.recipes(run))))
        for said in train(setup, run, folds, seed):
            if isinstance(said, str):
                bar.advance(task)
                log.debug("%s: %s", name, said)
            else:
                took = {"seconds": time.monotonic() - began}
                say(rows.append({**about, "seed": seed, **said.figures(), **took, **told, "key": k}))
        bar.remove_task(task)


def configured(setup: Setup, fusion: str, way: Protocol) -> tuple[RunConfig, dict[str, Corpus]]:
    """The run and the folds of a row."""
    if fusion != ALONE:
        return setup.run.replace(**{"model.fusion": fusion}), way.folds
    run = setup.run.replace(**{"model.fusion": "add", "data.modalities": ("text",)})
    return run, {name: alone(corpus) for name, corpus in way.folds.items()}


def facts(corpus: str, way: Protocol, model: str, fusion: str, chosen: str = "") -> dict[str, Any]:
    """What a row says of itself beside its seed and figures; ``chosen`` is the measure of dev that chose."""
    scenes = sum(len(c.splits["test"]) for c in way.folds.values())
    how = f"recipe and epoch of each fold by {chosen} of its dev part" if chosen else "counts of train"
    return {
        "table": "sarcasm" if corpus == "mustard" else "humour",
        "dataset": corpus,
        "model": model,
        "fusion": fusion,
        "context": "none" if model in (ALONE, "speaker") else "past",
        "protocol": f"{way.name}; {how}; scores over {scenes} scenes",
        "leaks": "drop",  # in the key, too: rows of before that were learnt from leaks are not these
    }


def say(row: dict[str, Any]) -> None:
    """Log a finished row in one line."""
    way = row["protocol"].partition(";")[0]
    said = (row["dataset"], way, row["model"], row["fusion"], row["seed"], row["test"][MEASURE])
    log.info("%s, %s: %s+%s seed %d: test weighted F1 %.2f", *said)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        prog=f"python -m {MODULE}",
        description="Train and measure sarcasm (MUStARD) or humour (UR-FUNNY) with each fusion. Only rows "
        "that --json lacks are done: it can be stopped (Ctrl-C) and started again at any time.",
    )
    out.add_argument("--data", type=Path, required=True, help="the folder that holds mustard/ and lexicons/")
    out.add_argument("--corpus", default="mustard", choices=("mustard", "ur_funny"))
    out.add_argument("--path", type=Path, help="where the files of ur_funny lie")
    out.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="default: 0 1 2 3 4")
    out.add_argument("--fusions", nargs="+", default=(), help="only these of the configuration's")
    out.add_argument("--config", type=Path, help="default: configs/tasks/CORPUS.toml")
    out.add_argument("--cache", type=Path, default=ROOT / "runs" / "features", help="where features are kept")
    out.add_argument("--json", type=Path, help="where finished rows are kept")
    out.add_argument("--threads", type=int, default=1, help="of torch (default: 1)")
    return out


def main(argv: list[str] | None = None) -> int:
    """Run the command; its exit code is that of `models.command.run`."""
    args = parser().parse_args(argv)
    args.argv = argv
    torch.set_num_threads(args.threads)
    return run(lambda: _run(args), STOPPED)


def _run(args: argparse.Namespace) -> None:
    with bar() as shown:
        study(args, Rows(args.json), shown)


if __name__ == "__main__":
    sys.exit(main())
