"""Training commands: ``python -m models.train meld --help``."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import torch
from rich.logging import RichHandler
from rich.progress import Progress

from models.checkpoint import CheckpointError
from models.train_meld import Corpus, Setup, Trainer, Variant

ROOT = Path(__file__).parent.parent
log = logging.getLogger("models.train")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python -m models.train",
        description="Train the models that ship. An interrupted run goes on where it was.",
    )
    commands = top.add_subparsers(dest="command", required=True)
    one = commands.add_parser(
        "meld",
        help="text encoder and fusion on MELD (words and voice)",
        description="Fine-tunes MiniLM and the conversation model together on MELD, past context only, "
        "anonymous speakers. A seed ends with one line of figures, after about 12 minutes of a quiet core.",
    )
    one.add_argument("--data", type=Path, required=True, help="the folder that holds meld/")
    one.add_argument("--seeds", type=int, nargs="+", default=[0], help="one run each (default: 0)")
    one.add_argument("--out", type=Path, default=ROOT / "runs" / "meld", help="where states are kept")
    one.add_argument("--config", type=Path, default=ROOT / "configs" / "models" / "meld.toml")
    one.add_argument("--frozen", action="store_true", help="control: leave MiniLM as it is")
    one.add_argument("--no-context", action="store_true", help="control: every utterance by itself")
    one.add_argument("--text-only", action="store_true", help="control: no voice")
    one.add_argument("--threads", type=int, default=2, help="of torch (default: 2)")
    one.add_argument("--json", type=Path, help="append each finished seed's row to this file")
    return top


def train_meld(args: argparse.Namespace) -> None:
    """Train and measure each seed."""
    setup = Setup.read(args.config)
    variant = Variant(frozen=args.frozen, no_context=args.no_context, text_only=args.text_only)
    corpus = Corpus.read(args.data, setup.measures, no_context=args.no_context)
    for seed in args.seeds:
        began = time.monotonic()
        trainer = Trainer(corpus, setup, variant, seed, args.out / variant.name / f"seed{seed}")
        with Progress(transient=True, disable=not sys.stderr.isatty()) as bar:
            task = bar.add_task(f"{variant.name} seed {seed}", total=trainer.total)
            for step, _, said in trainer.run():
                bar.update(task, completed=step)
                if said:
                    log.info("%s seed %d: %s, %.0f s", variant.name, seed, said, time.monotonic() - began)
        _, figures = trainer.finish()
        row = {
            "experiment": "meld",
            "variant": variant.name,
            "seed": seed,
            "config": args.config.name,
            "measures": list(setup.measures),
            "date": datetime.now(UTC).date().isoformat(),
            **figures,
        }
        log.info("%s", json.dumps(row))
        if args.json:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            with args.json.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


def main(argv: list[str] | None = None) -> int:
    """Run one command; 2 where the input is at fault."""
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[RichHandler(show_path=False)])
    torch.set_num_threads(args.threads)
    try:
        {"meld": train_meld}[args.command](args)
    except (ValueError, CheckpointError) as error:
        log.error("%s", error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
