"""A text-only set that may be used commercially, by one command.

    python -m models.train_product --data ../shared/data --out runs/product

MiniLM (Apache-2.0) is tuned on GoEmotions (CC BY 4.0, Apache-2.0) and nothing else: its 28 labels become the
seven of the live model as its authors group them (`models.data.goemotions.EKMAN`); sentences whose labels
belong to several of the seven are left out. A fusion that reads words alone follows. The comments have no
context, so there is none to be learnt: they are put together at random, eight at a time said by three, and
the fusion learns that what came before says nothing. MELD is used to measure, and to leave out of training
what stands in its dev or test; where it is absent both are left out.

An interrupted run goes on where it was. The folder holds what ``weights = "..."`` of a configuration
(docs/configuration.md) and `lmam models list` read, and a model card with the figures.

Shape suffixes: N sentences, K labels.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import command, train_sentences
from models.batches import Example
from models.calibration import Temperatures, fit_temperature
from models.checkpoint import digest
from models.data import goemotions, meld
from models.data.corpus import SPLITS
from models.data.sentences import ONE_OF, Part, Sentences
from models.encoders.text import TextEncoder, pretrained
from models.fusion_data import Bank, bank, without_context
from models.fusion_measures import predict
from models.fusion_weights import as_stored, save_fusion
from models.hosts.gru import Config, GruLmam
from models.meld import LABELS
from models.metrics import scores
from models.normalise import Prior
from models.product_card import card
from models.train_fusion import FusionTrainer, Recipe
from models.train_meld import Corpus, Setup
from models.whole import whole

ROOT = Path(__file__).parent.parent
CONFIG = ROOT / "configs" / "encoders" / "product.toml"
MELD = ROOT / "configs" / "models" / "meld.toml"  # whose net this set shares
VERSION = "0.1.0"
TOGETHER, VOICES = 8, 3  # comments in a made conversation, and who says them
WORDS = (True, False, False)
FACTS = {
    "version": VERSION,
    "labels": list(LABELS),
    "data": ["all-MiniLM-L6-v2 (initial weights)", "GoEmotions train (Demszky et al., 2020)"],
    "data_licences": {"all-MiniLM-L6-v2": "Apache-2.0", "GoEmotions": "CC BY 4.0, Apache-2.0"},
    "commercial_use": "yes",
}
log = logging.getLogger("models.train_product")


def seven(of: Sentences, random_: random.Random) -> Sentences:
    """GoEmotions with the labels of the live model, said by one of the first `VOICES` people at random."""
    group = {label: name for name, labels in goemotions.EKMAN.items() for label in labels}
    column_K = np.array([LABELS.index(group.get(label, "neutral")) for label in of.labels])
    splits = {}
    for split, part in of.splits.items():
        found = [sorted({int(column_K[k]) for k in np.flatnonzero(row)}) for row in part.targets_NK]
        kept = [i for i, classes in enumerate(found) if len(classes) == 1 and part.texts[i].strip()]
        targets_NK = np.eye(len(LABELS), dtype=np.float32)[[found[i][0] for i in kept]]
        who = tuple(random_.randrange(VOICES) for _ in kept)
        splits[split] = Part(tuple(part.texts[i] for i in kept), who, targets_NK)
    return Sentences(of.name, ONE_OF, LABELS, splits, of.licence, of.commercial_use)


def corpus(data: Path, most: int, seed: int) -> Sentences:
    """At most ``most`` sentences of train, none of which stands in MELD's dev or test.

    Raises:
        DataError: GoEmotions is absent or damaged.
    """
    random_ = random.Random(seed)
    of = seven(goemotions.load(data), random_)
    if (data / "meld").is_dir():
        of = train_sentences.without_leaks(of, meld.load(data))
    else:
        log.warning("%s: absent; what stands in MELD's dev or test is not left out", data / "meld")
    train = of.splits["train"]
    kept = train.take(sorted(random_.sample(range(len(train)), min(most, len(train)))))
    log.info("%s: %d sentences of %d to learn from", of.name, len(kept), len(train))
    return replace(of, splits={**of.splits, "train": kept})


def conversations(part: Part, measures: int, random_: random.Random) -> list[Example]:
    """The sentences of ``part`` in random order, `TOGETHER` at a time, without voice or face."""
    order, out = random_.sample(range(len(part)), len(part)), []
    for i in range(0, len(order), TOGETHER):
        some = part.take(order[i : i + TOGETHER])
        n = len(some)
        labels_N = torch.from_numpy(some.targets_NK).argmax(1)
        unheard_N = torch.zeros(n, dtype=torch.bool)
        out.append(Example(some.texts, some.speakers, labels_N, torch.zeros(n, measures), unheard_N))
    return out


def tune(start: TextEncoder, work: Sentences, recipe: train_sentences.Recipe, seed: int, out: Path) -> Path:
    """``start`` trained on ``work``, as it is used: its file in ``out``."""
    trainer = train_sentences.Trainer(start, [work], recipe, seed, out / "state")
    with command.bar() as bar:
        at = bar.add_task("encoder", total=trainer.total)
        for said in trainer.run(keep=50):
            bar.update(at, completed=trainer.step)
            if said:
                log.info("%s", said)
    path = out / "text.safetensors"
    trainer.encoder.save(path, {"name": "lmam-product-text", "seed": seed, **FACTS})
    return path


def fuse(data: dict[str, Bank], setup: Setup, recipe: Recipe, seed: int) -> GruLmam:
    """A fusion of words alone, chosen on dev."""
    torch.manual_seed(seed)
    width = data["train"].gold[0].shape[1]
    net = GruLmam(Config(**setup.net, text=width, audio=len(setup.measures)))
    options: dict[str, Any] = {"dropout": False, "text_only": True}
    trainer = FusionTrainer(
        net, data["train"], recipe=recipe, noise=torch.zeros(net.config.text), seed=seed, **options
    )
    best, state = -1.0, net.state_dict()
    for epoch, loss in enumerate(trainer.run(), 1):
        f1 = scores(*predict(net, data["dev"], WORDS))["weighted_f1"]
        log.info("fusion, epoch %d of %d: loss %.3f, dev weighted F1 %.1f", epoch, recipe.epochs, loss, f1)
        if f1 > best:
            best, state = f1, {k: v.clone() for k, v in net.state_dict().items()}
    net.load_state_dict(state)
    return as_stored(net)


def measured(net: GruLmam, of: Bank, temperature: float) -> dict[str, float]:
    """`models.metrics.scores` of words alone, every utterance in its conversation."""
    logits_NK, labels_N = predict(net, of, WORDS)
    return scores(torch.softmax(logits_NK / temperature, -1), labels_N)


def always(label: int, labels_N: Tensor) -> dict[str, float]:
    """The scores of one who always says ``label``."""
    return scores(torch.eye(len(LABELS))[torch.full_like(labels_N, label)], labels_N)


def train(
    data: Path,
    out: Path,
    *,
    config: Path = CONFIG,
    most: int | None = None,
    seed: int = 0,
    start: Callable[[], TextEncoder] = pretrained,
) -> None:
    """Everything, from the encoder that ``start`` makes; see the module.

    Raises:
        ValueError: the data or the configuration are missing or damaged.
        CheckpointError: MiniLM's weights are not installed.
    """
    _, encoder_recipe = train_sentences.read(config)
    recipe = _fusion_recipe(config)
    setup, random_ = Setup.read(MELD), random.Random(seed)
    work = corpus(data, most or encoder_recipe.most, seed)
    path = tune(start(), work, encoder_recipe, seed, out)
    encoder, cache = TextEncoder.load(path), out / "state" / "features"
    talks = {s: conversations(work.splits[s], len(setup.measures), random_) for s in SPLITS}
    banks = {s: bank(encoder, e, e, cache) for s, e in talks.items()}
    net = fuse(banks, setup, recipe, seed)
    temperature = fit_temperature(*predict(net, banks["dev"], WORDS))
    figures = _figures(net, banks, temperature, encoder, data, setup, cache)
    facts = {
        "name": "lmam-product",
        "seed": seed,
        "modalities": ["text"],
        "encoders": {"text": digest(path)},
        "metrics": figures,
        "sentences": len(work.splits["train"]),
        "epochs": encoder_recipe.epochs,
        **FACTS,
    }
    unread = Prior(setup.measures, (0.0,) * len(setup.measures), (1.0,) * len(setup.measures))
    save_fusion(out / "fusion.safetensors", net, unread, Temperatures.same(temperature), facts)
    with whole(out / "README.md") as unfinished:
        unfinished.write_text(card(facts), encoding="utf-8")
    for name, row in figures.items():
        log.info("%s: weighted F1 %.1f, accuracy %.1f", name, row["weighted_f1"], row["accuracy"])


def _fusion_recipe(config: Path) -> Recipe:
    try:
        return Recipe(**tomllib.loads(config.read_text(encoding="utf-8"))["fusion"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{config}: not a configuration of this command ({error})") from error


def _figures(
    net: GruLmam,
    banks: dict[str, Bank],
    temperature: float,
    encoder: TextEncoder,
    data: Path,
    setup: Setup,
    cache: Path,
) -> dict[str, dict[str, float]]:
    """Scores by name of what was measured."""
    common = int(torch.cat([e.labels_N for e in banks["train"].examples]).bincount().argmax())
    out = {}
    for split in ("dev", "test"):
        out[f"GoEmotions {split}"] = measured(net, without_context(banks[split]), temperature)
    labels_N = torch.cat([e.labels_N for e in banks["test"].examples])
    out[f"GoEmotions test, always {LABELS[common]}"] = always(common, labels_N)
    if (data / "meld").is_dir():
        spoken = Corpus.read(data, setup.measures).test
        test = bank(encoder, spoken, spoken, cache)
        labels_N = torch.cat([e.labels_N for e in spoken])
        out["MELD test"] = measured(net, test, temperature)
        out["MELD test, each utterance by itself"] = measured(net, without_context(test), temperature)
        out["MELD test, always neutral"] = always(LABELS.index("neutral"), labels_N)
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; its exit code is that of `models.command.run`."""
    parser = argparse.ArgumentParser(
        prog="python -m models.train_product",
        description="A text-only set that may be used commercially. An interrupted run goes on where it was.",
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds goemotions/ (and meld/)")
    parser.add_argument("--out", type=Path, required=True, help="where the set and the state are kept")
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--sentences", type=int, help="at most so many (default: as the configuration says)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: 1)")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    return command.run(
        lambda: train(args.data, args.out, config=args.config, most=args.sentences, seed=args.seed),
        f"stopped; the same command goes on from the last kept state in {args.out}",
    )


if __name__ == "__main__":
    sys.exit(main())
