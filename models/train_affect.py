"""Measure and train the head of valence and arousal: ``python -m models.train_affect evaluate|ship``.

``evaluate`` runs what is missing of the rows: the head, five seeds, its epoch chosen on EmoBank's dev; the
map of the labels; ridge regression on the same features and on those of MiniLM as published. ``ship`` trains
the file that ships for the text encoder and the fusion in ``--weights`` and has to be run again whenever one
of the two is another: rows and file name both by their digests.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models import command
from models.checkpoint import WEIGHTS, digest
from models.data.sentences import Sentences
from models.encoders.affect import MEASURES, save_affect
from models.encoders.text import TextEncoder, pretrained
from models.fusion_weights import Fusion, load_fusion
from models.perception.affect import (
    ALONE,
    DEFAULT,
    Plan,
    Read,
    Scores,
    correlations,
    fit,
    fit_map,
    label_probabilities,
    mean,
    mixed,
    outputs,
    read,
    ridge,
    sentences,
)
from models.tasks.rows import STOPPED, Rows, key
from models.tasks.rows import command as spoken

MODULE = "models.train_affect"
ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results" / "affect.jsonl"
CACHE = ROOT / "runs" / "affect"
NAME, VERSION = "lmam-affect", "0.1.0"
TABLE = "perception-affect"
SHARES = (0.0, 0.1, 0.2, 0.3, 0.5)  # of the map in what is tried as a mixture
Say = Callable[[Tensor], Tensor]
log = logging.getLogger(MODULE)


class Work:
    """EmoBank as the encoder of a folder reads it, with what its fusion says of each sentence."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.plan = args, Plan.read(args.config)
        self.text, self.fused = (args.weights / f"{n}.safetensors" for n in ("text", "fusion"))
        self.of: Sentences = sentences(args.data)
        self.encoder = TextEncoder.load(self.text)
        self.fusion: Fusion = load_fusion(self.fused)
        self.splits = self._read(self.encoder, "EmoBank")
        self.probs = {s: label_probabilities(self.fusion, r.text[ALONE]) for s, r in self.splits.items()}

    @property
    def marks(self) -> dict[str, str]:
        """Digests of the weights that the head belongs to."""
        return {"text": digest(self.text), "fusion": digest(self.fused)}

    def frozen(self) -> dict[str, Read]:
        """EmoBank as MiniLM reads it that was not fine-tuned."""
        encoder = pretrained()
        encoder.net.eval()
        return self._read(encoder, "EmoBank by MiniLM", more=False)

    def _read(self, encoder: TextEncoder, what: str, *, more: bool = True) -> dict[str, Read]:
        with command.bar() as bar:
            task = bar.add_task(what)
            return read(
                encoder,
                self.of,
                self.args.cache,
                more=more,
                tick=lambda done, total: bar.update(task, completed=done, total=total),
            )

    def map(self) -> Tensor:
        """Of the labels, fitted on train."""
        return fit_map(self.probs["train"], self.splits["train"].target_NA)


def measured(splits: Mapping[str, Read], say: Say, split: str) -> dict[str, Scores]:
    """Scores of ``say``, which makes measures of features, under each condition of ``split``."""
    of = splits[split]
    return {c: correlations(say(x_ND), of.target_NA) for c, x_ND in of.text.items()}


def evaluate(work: Work, rows: Rows) -> None:
    """Every missing row."""
    plan, marks = work.plan, work.marks
    base = {"table": TABLE, "dataset": "emobank", "encoders": marks}

    def missing(model: str, seed: int, config: Mapping[str, Any]) -> dict[str, Any] | None:
        facts = {**base, "model": model, "seed": seed, "config": config}
        name = key(facts)
        return None if name in rows else {**facts, "key": name, "command": spoken(MODULE, work.args.argv)}

    for model, open_ in (("minilm-ridge", work.frozen), ("ridge", lambda: work.splits)):
        if row := missing(model, 0, {"alphas": plan.alphas}):
            keep(rows, row | _ridge(open_(), plan))
    if row := missing("label-map", 0, {}):
        keep(rows, row | _map(work))
    config = plan.model_dump(mode="json", exclude={"seeds", "alphas"})
    for seed in plan.seeds:
        if row := missing("head", seed, config):
            keep(rows, row | _head(work, seed))


def keep(rows: Rows, row: dict[str, Any]) -> None:
    """Store ``row`` and say its figures."""
    rows.append(row)
    said = ", ".join(
        f"{c}: " + " ".join(f"{k} {v:.3f}" for k, v in s.items()) for c, s in row["test"].items()
    )
    log.info("%s seed %d: test %s", row["model"], row["seed"], said)


def _ridge(splits: Mapping[str, Read], plan: Plan) -> dict[str, Any]:
    tried = {a: ridge(splits, a) for a in plan.alphas}
    alpha = max(tried, key=lambda a: mean(measured(splits, tried[a], "dev")[ALONE]))
    return {"alpha": alpha, "parameters": 0} | _scores(splits, tried[alpha])


def _map(work: Work) -> dict[str, Any]:
    map_KA = work.map()
    found = {
        s: {ALONE: correlations(work.probs[s] @ map_KA, work.splits[s].target_NA)} for s in ("dev", "test")
    }
    return {"parameters": map_KA.numel(), "map": by_label(work.fusion.labels, map_KA), **found}


def _head(work: Work, seed: int) -> dict[str, Any]:
    started = time.monotonic()
    net, epoch = fit(work.splits, work.plan, seed, len(work.fusion.labels))
    net.map_KA = work.map()
    dev = work.splits["dev"]
    tried = {
        str(s): correlations(mixed(net, dev, work.probs["dev"], s), dev.target_NA) for s in SHARES
    }  # on dev alone
    size = sum(p.numel() for p in net.parameters())
    return {
        "epoch": epoch,
        "parameters": size,
        "seconds": time.monotonic() - started,
        "mixed": tried,
        **_scores(work.splits, net),
    }


@torch.inference_mode()
def _scores(splits: Mapping[str, Read], say: Say) -> dict[str, Any]:
    return {s: measured(splits, say, s) for s in ("dev", "test")}


def by_label(labels: Sequence[str], map_KA: Tensor) -> dict[str, dict[str, float]]:
    """What each label alone is taken for."""
    return {k: dict(zip(MEASURES, row, strict=True)) for k, row in zip(labels, map_KA.tolist(), strict=True)}


def ship(work: Work) -> None:
    """Train one seed, measure it and write ``args.out``."""
    args, labels = work.args, work.fusion.labels
    net, epoch = fit(work.splits, work.plan, args.seed, len(labels))
    net.map_KA = work.map()
    found = _scores(work.splits, net) | {
        "label map": _map(work)["test"][ALONE],
        "map": by_label(labels, net.map_KA),
        "epoch": epoch,
        "spread": dict(zip(MEASURES, outputs(net, work.splits["test"]).std(0).tolist(), strict=True)),
    }
    save_affect(args.out, net, facts(work, found))
    log.info("%s: test %s", args.out, found["test"])


def facts(work: Work, found: Mapping[str, Any]) -> dict[str, Any]:
    """What the header says of the file: its data are those of the head and of all that it stands on."""
    inherited = [work.encoder.meta, work.fusion.meta]
    uses = {work.of.commercial_use, *(str(m.get("commercial_use", "unclear")) for m in inherited)}
    licences: dict[str, str] = {"EmoBank": work.of.licence}
    for meta in inherited:
        licences |= meta.get("data_licences", {})
    return {
        "name": NAME,
        "version": VERSION,
        "labels": list(work.fusion.labels),
        "data": ["EmoBank train (Buechel & Hahn 2017)", "what the text encoder and the fusion learned from"],
        "data_licences": licences,
        "commercial_use": next((use for use in ("no", "unclear") if use in uses), "yes"),
        "encoders": work.marks,
        "seed": work.args.seed,
        "plan": work.plan.model_dump(mode="json", exclude={"seeds", "alphas"}),
        "metrics": dict(found),
    }


def parser() -> argparse.ArgumentParser:
    """The command line."""
    cli = argparse.ArgumentParser(
        prog=f"python -m {MODULE}", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    cli.add_argument("what", choices=("evaluate", "ship"))
    cli.add_argument("--data", type=Path, required=True, help="folder that holds emobank/ and meld/")
    cli.add_argument(
        "--weights", type=Path, default=WEIGHTS, help="folder of the text encoder and the fusion"
    )
    cli.add_argument("--config", type=Path, default=DEFAULT, help="how to train (default: that which ships)")
    cli.add_argument("--cache", type=Path, default=CACHE, help="where text features are kept")
    cli.add_argument("--json", type=Path, default=RESULTS, help="evaluate: where finished rows go")
    cli.add_argument("--seed", type=int, default=0, help="ship: of weights, order and noise")
    cli.add_argument(
        "--out", type=Path, help="ship: file to write (default: affect.safetensors in --weights)"
    )
    return cli


def main(argv: list[str] | None = None) -> int:
    """Entry point; its exit code is that of `models.command.run`."""
    args = parser().parse_args(argv)
    args.argv, args.out = argv, args.out or args.weights / "affect.safetensors"
    torch.set_num_threads(1)

    def work() -> None:
        if args.what == "evaluate":
            evaluate(Work(args), Rows(args.json))
        else:
            ship(Work(args))

    return command.run(work, STOPPED)


if __name__ == "__main__":
    sys.exit(main())
