"""First stage of the text encoder: sentences of several corpora at once, one linear head each.

    python -m models.train_sentences --data ../shared/data --out runs/sentences/seed0

MiniLM learns what people call the expression of a sentence from MELD, DailyDialog and EmoryNLP (seven
labels each, not the same seven), from GoEmotions (any of 28) and from EmoBank (valence, arousal, dominance),
with the noise of a recogniser in the words. No sentence of five words or more of MELD's dev or test is among
them, nor any EmoryNLP scene of an episode that they come from. The second stage (`models.train meld --start`)
goes on from the encoder that this one writes; the heads are left behind. An interrupted run goes on where it
was.

Shape suffixes: n sentences of a batch, N of a corpus, K labels or measures, D features.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import command, data
from models.asr_noise import Noise, WordErrors
from models.data import emobank, goemotions
from models.data.check import Known, drop_leaks
from models.data.check import plain as bare
from models.data.corpus import SPLITS, UNLABELLED, Conversation, Corpus, DataError
from models.data.sentences import ANY_OF, MEASURES, ONE_OF, Part, Sentences
from models.encoders.text import TextEncoder, pretrained
from models.metrics import scores
from models.schedule import linear
from models.training.store import load_state, save_state

ROOT = Path(__file__).parent.parent
CONFIG = ROOT / "configs" / "encoders" / "text.toml"
SENTENCES = {"goemotions": goemotions.load, "emobank": emobank.load}
DIALOGUES = ("meld", "dailydialog", "emorynlp")
JUDGE = "meld"  # whose dev and test nothing may be learnt from
NEUTRAL = 0  # the first label of every corpus of dialogues
log = logging.getLogger("models.train_sentences")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train; see configs/encoders/text.toml for the units."""

    epochs: int
    most: int
    neutral: float
    batch: int
    encoder_lr: float
    head_lr: float
    weight_decay: float
    warm_up: float
    smoothing: float
    clip: float
    noise: Noise


def read(path: Path) -> tuple[tuple[str, ...], Recipe]:
    """The corpora and the recipe of the configuration ``path``.

    Raises:
        ValueError: the file is missing, or lacks or misspells a key.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        recipe = {**raw["train"], "noise": Noise.read(raw["train"]["noise"])}
        return tuple(raw["corpora"]), Recipe(**recipe)
    except (OSError, KeyError, TypeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path}: not a configuration of this stage ({error})") from error


def tasks(names: Sequence[str], folder: Path, recipe: Recipe, seed: int) -> list[Sentences]:
    """The corpora ``names`` below ``folder``, without what stands in `JUDGE`'s dev or test or in their own.

    Raises:
        DataError: an unknown name, or a file that is missing or damaged.
    """
    if unknown := set(names) - set(SENTENCES) - set(DIALOGUES):
        raise DataError(f"no corpus {sorted(unknown)[0]!r}; there are {', '.join((*DIALOGUES, *SENTENCES))}")
    random_, judge = random.Random(seed), data.load(JUDGE, folder)
    out = []
    for name in names:
        if name in SENTENCES:
            of = without_leaks(SENTENCES[name](folder), judge)
        else:
            corpus = judge if name == JUDGE else data.load(name, folder)
            of = sentences_of(corpus, judge, recipe.neutral, random_)
        train = of.splits["train"]
        kept = train.take(sorted(random_.sample(range(len(train)), min(recipe.most, len(train)))))
        log.info("%s: %d sentences of %d to learn from", name, len(kept), len(train))
        out.append(replace(of, splits={**of.splits, "train": kept}))
    return out


def without_leaks(of: Sentences, judge: Corpus) -> Sentences:
    """``of`` without what of train stands in dev or test of ``judge`` or its own."""
    heard = Known.of(c for s in ("dev", "test") for c in judge.splits[s]).sentences
    own = {bare(t) for s in ("dev", "test") for t in of.splits[s].texts}
    train = of.splits["train"]
    kept = [i for i, t in enumerate(train.texts) if bare(t) not in heard and bare(t) not in own]
    log.info("%s: %d sentences dropped that stand in dev or test", of.name, len(train) - len(kept))
    return replace(of, splits={**of.splits, "train": train.take(kept)})


def sentences_of(corpus: Corpus, judge: Corpus, neutral: float, random_: random.Random) -> Sentences:
    """Every labelled utterance of ``corpus`` by itself, without leaks and with neutral ones thinned."""
    corpus, dropped = drop_leaks(corpus, corpus)
    log.info("%s", dropped)
    if corpus.name != judge.name:
        corpus, dropped = drop_leaks(corpus, judge)
        log.info("%s", dropped)
    splits = {s: _labelled(corpus.splits[s], len(corpus.labels)) for s in SPLITS}
    splits["train"] = _thinned(splits["train"], neutral, random_)
    return Sentences(corpus.name, ONE_OF, corpus.labels, splits, corpus.licence, corpus.commercial_use)


def _labelled(conversations: Sequence[Conversation], k: int) -> Part:
    texts, speakers, labels = [], [], []
    for c in conversations:
        for text, who, label in zip(c.texts, c.order_of_appearance(), c.labels_N.tolist(), strict=True):
            if label != UNLABELLED and text.strip():
                texts.append(text)
                speakers.append(who)
                labels.append(label)
    return Part(tuple(texts), tuple(speakers), np.eye(k, dtype=np.float32)[labels])


def _thinned(part: Part, neutral: float, random_: random.Random) -> Part:
    """At most ``neutral`` times as many neutral sentences as there are others."""
    is_N = part.targets_NK[:, NEUTRAL] > 0
    plain_, others = np.flatnonzero(is_N).tolist(), np.flatnonzero(~is_N).tolist()
    few = random_.sample(plain_, min(len(plain_), round(neutral * len(others))))
    return part.take(sorted(others + few))


def loss_of(of: Sentences, smoothing: float) -> Callable[[Tensor, Tensor], Tensor]:
    """What its head is trained by, of outputs and targets ``[n, K]``: the mean over sentences and, where they
    are apart, over labels or measures."""
    if of.kind == ONE_OF:
        return partial(F.cross_entropy, label_smoothing=smoothing)
    if of.kind == ANY_OF:  # the sum over labels, as a cross-entropy would be
        return lambda out_nK, targets_nK: (
            F.binary_cross_entropy_with_logits(out_nK, targets_nK, reduction="sum") / len(out_nK)
        )
    spread_K = torch.from_numpy(of.splits["train"].targets_NK).std(0)
    return lambda out_nK, targets_nK: ((out_nK - targets_nK) / spread_K).square().mean()


class Trainer:
    """One run over ``work``; its state is kept in ``folder`` and found there again."""

    def __init__(
        self, encoder: TextEncoder, work: Sequence[Sentences], recipe: Recipe, seed: int, folder: Path
    ) -> None:
        torch.manual_seed(seed)
        self.encoder, self.tasks, self.recipe, self.seed, self.folder = encoder, work, recipe, seed, folder
        encoder.net.word.requires_grad_(False)  # rare words keep what MiniLM knows of them
        encoder.net.position.requires_grad_(False)
        self.heads = nn.ModuleDict({t.name: nn.Linear(encoder.dim, len(t.labels)) for t in work})
        self.losses = {t.name: loss_of(t, recipe.smoothing) for t in work}
        self.errors = WordErrors(text for t in work for text in t.splits["train"].texts)
        tuned = [p for p in encoder.net.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": list(self.heads.parameters()), "lr": recipe.head_lr},
                {"params": tuned, "lr": recipe.encoder_lr},
            ],
            weight_decay=recipe.weight_decay,
        )
        self.per_epoch = sum(-(-len(t.splits["train"]) // recipe.batch) for t in work)
        self.total = self.per_epoch * recipe.epochs
        warm = max(1.0, recipe.warm_up * self.total)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: linear(step, warm, self.total)
        )
        self.step = 0

    def run(self, keep: int = 200) -> Iterator[str]:
        """Train to the end; yields after each step what is worth saying (often nothing)."""
        self._resume()
        while self.step < self.total:
            epoch, at = divmod(self.step, self.per_epoch)
            batches = self._batches(epoch)
            for task, rows in batches[at:]:
                self._train(task, task.splits["train"].take(rows))
                self.step += 1
                if self.step % keep == 0 or self.step == self.total:
                    self._keep()
                yield self._said() if self.step % self.per_epoch == 0 else ""

    def _batches(self, epoch: int) -> list[tuple[Sentences, list[int]]]:
        """The same for the same seed and epoch, so that a run can go on in the middle of one."""
        random_, size = random.Random(f"{self.seed} {epoch}"), self.recipe.batch
        out = []
        for task in self.tasks:
            order = random_.sample(range(len(task.splits["train"])), len(task.splits["train"]))
            out += [(task, order[i : i + size]) for i in range(0, len(order), size)]
        random_.shuffle(out)
        return out

    def _train(self, task: Sentences, part: Part) -> None:
        torch.manual_seed(self.seed * 1_000_003 + self.step)  # dropout is the same after an interruption
        random_ = random.Random(f"{self.seed} step {self.step}")
        self.encoder.net.train()
        texts = [self._augment(t, random_) for t in part.texts]
        out_nK = self.heads[task.name](self.encoder.net(self.encoder.ids(texts, part.speakers)))
        loss = self.losses[task.name](out_nK, torch.from_numpy(part.targets_NK))
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        tuned = [p for g in self.optimiser.param_groups for p in g["params"]]
        torch.nn.utils.clip_grad_norm_(tuned, self.recipe.clip)
        self.optimiser.step()
        self.schedule.step()

    def _augment(self, text: str, random_: random.Random) -> str:
        return self.errors.sometimes(text, random_, self.recipe.noise, {})

    def _said(self) -> str:
        found = {t.name: self.measure(t, "dev") for t in self.tasks}
        words = (f"{name} {k} {v:.3f}" for name, f in found.items() for k, v in f.items())
        return f"step {self.step}/{self.total}: dev " + ", ".join(words)

    @torch.no_grad()
    def measure(self, task: Sentences, split: str) -> dict[str, float]:
        """Weighted and macro F1 (one label), macro F1 (any of them), or Pearson's r of each measure."""
        self.encoder.net.eval()
        part = task.splits[split]
        order = sorted(range(len(part)), key=lambda i: len(part.texts[i]))  # little padding
        rows = []
        for i in range(0, len(order), 256):
            some = part.take(order[i : i + 256])
            features_nD = self.encoder.net(self.encoder.ids(some.texts, some.speakers))
            rows.append(self.heads[task.name](features_nD))
        return measured(task, torch.cat(rows), torch.from_numpy(part.targets_NK[order]))

    def _keep(self) -> None:
        state = {
            "encoder": self.encoder.net.state_dict(),
            "heads": self.heads.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "step": self.step,
            "tasks": [t.name for t in self.tasks],
        }
        save_state(self.folder / "last.pt", state)

    def _resume(self) -> None:
        path = self.folder / "last.pt"
        if not path.exists():
            return
        state = load_state(path)
        if state["tasks"] != [t.name for t in self.tasks]:
            raise ValueError(f"{path}: a run over {', '.join(state['tasks'])}; give another --out")
        self.encoder.net.load_state_dict(state["encoder"])
        self.heads.load_state_dict(state["heads"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.step = state["step"]
        log.info("%s: going on from step %d of %d", self.folder, self.step, self.total)

    def finish(self) -> dict[str, dict[str, dict[str, float]]]:
        """Write the encoder, not rounded, for the second stage; returns the figures of dev and test."""
        figures = {s: {t.name: self.measure(t, s) for t in self.tasks} for s in ("dev", "test")}
        self.encoder.save(self.folder / "text.safetensors", facts(self.tasks, self.seed, figures), int8=False)
        return figures


def measured(task: Sentences, out_NK: Tensor, targets_NK: Tensor) -> dict[str, float]:
    """What `Trainer.measure` says of these outputs; 0..1."""
    if task.kind == MEASURES:
        r = [
            float(np.corrcoef(a, b)[0, 1])
            for a, b in zip(out_NK.T.numpy(), targets_NK.T.numpy(), strict=True)
        ]
        return dict(zip(task.labels, r, strict=True))
    if task.kind == ONE_OF:
        found = scores(torch.softmax(out_NK, -1), targets_NK.argmax(1))
        return {k: found[k] / 100 for k in ("weighted_f1", "macro_f1")}
    said_NK, true_NK = out_NK > 0, targets_NK > 0
    both_K = (said_NK & true_NK).sum(0)
    f1_K = 2 * both_K / (said_NK.sum(0) + true_NK.sum(0)).clamp_min(1)
    return {"macro_f1": float(f1_K.mean())}


def facts(work: Sequence[Sentences], seed: int, figures: Mapping[str, Any]) -> dict[str, Any]:
    """What the header of the encoder's file says of it."""
    uses = {t.commercial_use for t in work}
    return {
        "name": "lmam-text-first-stage",
        "version": "0.1.0",
        "data": ["all-MiniLM-L6-v2 (initial weights)", *(f"{t.name} train" for t in work)],
        "data_licences": {"all-MiniLM-L6-v2": "Apache-2.0", **{t.name: t.licence for t in work}},
        "commercial_use": "no" if "no" in uses else "unclear" if "unclear" in uses else "yes",
        "seed": seed,
        "metrics": figures,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; its exit code is that of `models.command.run`."""
    parser = argparse.ArgumentParser(
        prog="python -m models.train_sentences",
        description="First stage of the text encoder: sentences of several corpora at once. An interrupted "
        "run goes on where it was.",
    )
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument("--out", type=Path, required=True, help="where the state and the encoder are kept")
    parser.add_argument("--corpora", nargs="+", help="instead of those of the configuration")
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: 1)")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    return command.run(
        lambda: _train(args),
        f"stopped; the same command goes on from the last kept state in {args.out}",
    )


def _train(args: argparse.Namespace) -> None:
    names, recipe = read(args.config)
    work = tasks(args.corpora or names, args.data, recipe, args.seed)
    trainer = Trainer(pretrained(), work, recipe, args.seed, args.out)
    with command.bar() as bar:
        at = bar.add_task("sentences", total=trainer.total)
        for said in trainer.run():
            bar.update(at, completed=trainer.step)
            if said:
                log.info("%s", said)
    for split, found in trainer.finish().items():
        log.info("%s: %s", split, found)


if __name__ == "__main__":
    sys.exit(main())
