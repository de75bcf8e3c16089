"""Next-item recommendation: ``python -m models.tasks.train_next_item --help``.

Every row is one model with one seed: GRU4Rec and SASRec over items alone, and over items and categories with
each fusion. The epoch is chosen on dev (MRR@20); the rest of a recipe, the same for all rows of a core, was
chosen on dev with the item-only baseline, so that no fusion is favoured.
"""

from __future__ import annotations

import argparse
import copy
import logging
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress

from models.command import bar, run
from models.tasks import next_item
from models.tasks.next_item import Dataset, Sequences
from models.tasks.recommenders import CORES, Candidates, Config, Recommender
from models.tasks.rows import STOPPED, Rows, command, key

MODULE = "models.tasks.train_next_item"
CONFIGS = Path(__file__).parents[2] / "configs" / "tasks"
CHOICE = "mrr@20"
NONE = "none"
log = logging.getLogger(MODULE)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train one core; ``negatives`` 0 is the softmax over all items. ``warm_up`` is in steps."""

    epochs: int
    batch: int
    lr: float
    dropout: float
    negatives: int
    dim: int
    layers: int
    weight_decay: float = 0.0
    warm_up: int = 100
    clip: float = 5.0


@dataclass(frozen=True)
class Setup:
    """A configuration file, read."""

    cut: int
    dev_share: float
    fusions: tuple[str, ...]
    recipes: dict[str, Recipe]

    @classmethod
    def read(cls, path: Path) -> Setup:
        """``path`` as a set-up.

        Raises:
            ValueError: the file is missing, or lacks or misspells a key.
        """
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
            recipes = {core: Recipe(**{**raw["train"], **raw.get(core, {})}) for core in CORES}
            return cls(raw["data"]["cut"], raw["data"]["dev_share"], tuple(raw["study"]["fusions"]), recipes)
        except (OSError, KeyError, TypeError, tomllib.TOMLDecodeError) as error:
            raise ValueError(f"{path}: not a configuration of this task ({error})") from error


class Run:
    """One model with one seed."""

    def __init__(
        self, data: Dataset, core: str, fusion: str | None, recipe: Recipe, cut: int, seed: int
    ) -> None:
        torch.manual_seed(seed)
        self.data, self.recipe = data, recipe
        config = Config(
            items=data.items,
            categories=data.categories,
            core=core,
            fusion=fusion,
            dim=recipe.dim,
            length=cut,
            layers=recipe.layers,
            dropout=recipe.dropout,
        )
        self.model = Recommender(config)
        self.generator = torch.Generator().manual_seed(seed)
        self.candidates = Candidates(data.counts_V, recipe.negatives, self.generator)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
        )
        self.per_epoch = -(-len(data.train) // recipe.batch)
        self.total = self.per_epoch * recipe.epochs
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, self._rate)
        self.step, self.best_epoch = 0, 0
        self.dev: dict[str, float] = {}
        self.best = self.model.state_dict()

    def _rate(self, step: int) -> float:
        return min((step + 1) / self.recipe.warm_up, 1 - step / (self.total + 1))

    def run(self) -> Iterator[str]:
        """Train to the end; yields after each step what is worth saying (often nothing)."""
        for epoch in range(1, self.recipe.epochs + 1):
            total = 0.0
            for batch in self.data.train.batches(self.recipe.batch, self.generator):
                total += self._train(batch)
                self.step += 1
                yield ""
            dev = measure(self.model, self.data.dev)
            yield f"epoch {epoch} loss {total / self.per_epoch:.3f} dev {CHOICE} {dev[CHOICE]:.2f}"
            if not self.dev or dev[CHOICE] > self.dev[CHOICE]:
                self.dev, self.best_epoch = dev, epoch
                self.best = copy.deepcopy(self.model.state_dict())

    def _train(self, batch: Sequences) -> float:
        self.model.train()
        valid_BN = batch.valid
        z_PD = self.model(batch.items_RN, batch.categories_RN, valid_BN)[valid_BN]
        loss = self.candidates.loss(self.model, z_PD, batch.next_RN[valid_BN])
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.optimiser.step()
        self.schedule.step()
        return float(loss.detach())

    def finish(self) -> dict[str, Any]:
        """The figures of the epoch that was best on dev."""
        self.model.load_state_dict(self.best)
        fusion = self.model.fusion
        return {
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "fusion_parameters": sum(p.numel() for p in fusion.parameters()) if fusion else 0,
            "dev": self.dev,
            "test": measure(self.model, self.data.test),
            "epochs": self.best_epoch,
        }


@torch.inference_mode()
def measure(model: Recommender, part: Sequences, batch: int = 512) -> dict[str, float]:
    """`next_item.measures` of what the model foretells after each sequence, among all items."""
    model.eval()
    found = []
    for b in part.batches(batch):
        z_BND = model(b.items_RN, b.categories_RN, b.valid)
        last_BD = z_BND[torch.arange(len(b)), b.lengths_R - 1]
        found.append(next_item.ranks(model.scores(last_BD), b.targets))
    return next_item.measures(torch.cat(found))


def plan(setup: Setup, models: Sequence[str]) -> list[tuple[str, str | None]]:
    """(core, fusion) of every row, or of those in ``models`` ("gru4rec" or "gru4rec+concat").

    Raises:
        ValueError: a name that is not in the configuration.
    """
    rows: list[tuple[str, str | None]] = [(core, f) for f in (None, *setup.fusions) for core in CORES]
    names = [core if f is None else f"{core}+{f}" for core, f in rows]
    unknown = set(models) - set(names)
    if unknown:
        raise ValueError(f"no model {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return [row for row, name in zip(rows, names, strict=True) if not models or name in models]


def facts(
    data: Dataset, setup: Setup, core: str, fusion: str | None, recipe: Recipe | None
) -> dict[str, Any]:
    """What a row says of itself beside its seed and figures."""
    trained = (
        f"trained on every event, epoch by dev {CHOICE}"
        + (f", softmax over {recipe.negatives} sampled items" if recipe.negatives else "")
        if recipe
        else "counts of training"
    )
    return {
        "table": "next-item",
        "dataset": data.name,
        "model": core,
        "fusion": fusion or NONE,
        "context": "past",
        "protocol": f"packaged test part, the last {setup.dev_share:.0%} of the training sequences are dev, "
        f"last {setup.cut} events, {trained}; ranked among all {data.items} items",
    }


def study(args: argparse.Namespace, name: str, rows: Rows, bar: Progress) -> None:
    """Every missing row of the data set ``name``."""
    setup = Setup.read(args.config or CONFIGS / f"{name}.toml")
    wanted = plan(setup, args.models)
    data = next_item.read(args.data / "next_item_rec" / f"{name}.npz", setup.cut, setup.dev_share)
    told = {"command": command(MODULE, args.argv)}
    about = facts(data, setup, "popularity", None, None)
    if (k := key(about)) not in rows:
        dev, test = (next_item.popularity(data, part) for part in (data.dev, data.test))
        figures = {"parameters": 0, "fusion_parameters": 0, "dev": dev, "test": test, "epochs": 0}
        say(rows.append({**about, "seed": 0, **figures, "seconds": 0.0, **told, "key": k}))
    for seed in args.seeds:
        for core, fusion in wanted:
            recipe = setup.recipes[core]
            about = facts(data, setup, core, fusion, recipe)
            if (k := key({**about, "seed": seed, "recipe": asdict(recipe)})) in rows:
                continue
            began = time.monotonic()
            run = Run(data, core, fusion, recipe, setup.cut, seed)
            task = bar.add_task(f"{name} {core}+{fusion or NONE} seed {seed}", total=run.total)
            for said in run.run():
                bar.update(task, completed=run.step)
                if said:
                    log.info("%s %s+%s seed %d: %s", name, core, fusion or NONE, seed, said)
            bar.remove_task(task)
            figures = run.finish()
            seconds = time.monotonic() - began
            say(rows.append({**about, "seed": seed, **figures, "seconds": seconds, **told, "key": k}))


def say(row: dict[str, Any]) -> None:
    """Log a finished row in one line."""
    figures = " ".join(f"{name} {value:.2f}" for name, value in row["test"].items())
    log.info("%s %s+%s seed %d: test %s", row["dataset"], row["model"], row["fusion"], row["seed"], figures)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        prog=f"python -m {MODULE}",
        description="Train and measure next-item recommenders. Only rows that --json lacks are done: it can "
        "be stopped (Ctrl-C) and started again at any time, at the cost of the row in hand (some minutes).",
    )
    out.add_argument("--data", type=Path, required=True, help="the folder that holds next_item_rec/")
    out.add_argument("--dataset", nargs="+", default=["tmall", "diginetica"], help="default: both")
    out.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="default: 0 1 2 3 4")
    out.add_argument("--models", nargs="+", default=(), help="only these, such as gru4rec or sasrec+concat")
    out.add_argument("--config", type=Path, help="default: configs/tasks/DATASET.toml")
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
    rows = Rows(args.json)
    with bar() as shown:
        for name in args.dataset:
            study(args, name, rows, shown)


if __name__ == "__main__":
    sys.exit(main())
