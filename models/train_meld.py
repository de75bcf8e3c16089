"""Training of the text encoder together with the conversation model on MELD: words and voice, past only.

One seed at a time: three epochs, evaluated on dev twice in each, the best state kept, then stored as it would
ship (int8) and measured on test. A run that was killed goes on from its last half epoch.
"""

from __future__ import annotations

import logging
import random
import tomllib
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import batches, meld
from models.asr_noise import Noise, WordErrors
from models.batches import Example
from models.calibration import fit_temperature, probabilities
from models.data.check import sentence
from models.encoders.text import TextEncoder
from models.hosts import gru
from models.losses import masked_cross_entropy
from models.metrics import scores
from models.normalise import Prior, fit_prior
from models.schedule import linear
from models.training.store import save_state

log = logging.getLogger(__name__)
VERSION = "0.2.0"
MINILM = {"all-MiniLM-L6-v2": "Apache-2.0"}
NOISY = 0.30  # word error rate of the evaluation row, about that of the embedded recogniser


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train; see configs/models/meld.toml for the units."""

    epochs: int
    dialogues: int
    encoder_lr: float
    head_lr: float
    frozen_epochs: int
    frozen_dialogues: int
    weight_decay: float
    warm_up: float
    smoothing: float
    clip: float
    audio_dropout: float
    noise: Noise


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What a control leaves out."""

    frozen: bool = False
    no_context: bool = False
    text_only: bool = False

    @property
    def name(self) -> str:
        """``full``, or what is left out."""
        parts = [n.replace("_", "-") for n, on in asdict(self).items() if on]
        return "+".join(parts) or "full"


@dataclass(frozen=True)
class Setup:
    """A configuration file, read."""

    measures: tuple[str, ...]
    context: int  # tokens of what was said before that the encoder reads
    net: dict[str, Any]
    recipe: Recipe
    fusion: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Setup:
        """``path`` as a set-up.

        Raises:
            ValueError: the file is missing or lacks or misspells a key.
        """
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
            gru.Config(**raw["net"])
            recipe = {**raw["train"], "noise": Noise.read(raw["train"]["noise"])}
            fusion = {k: tuple(v) if isinstance(v, list) else v for k, v in raw["fusion"].items()}
            measures, context = tuple(raw["audio_measures"]), int(raw["encoder"]["context"])
            return cls(measures, context, raw["net"], Recipe(**recipe), fusion)
        except (OSError, KeyError, TypeError, tomllib.TOMLDecodeError) as error:
            raise ValueError(f"{path}: not a training configuration ({error})") from error


@dataclass(frozen=True)
class Corpus:
    """The three splits, and from train the prior of the voice, the word errors, and what a recogniser heard
    of some sentences (`models.hear`)."""

    train: list[Example]
    dev: list[Example]
    test: list[Example]
    prior: Prior
    errors: WordErrors
    heard: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, data: Path, measures: tuple[str, ...], *, no_context: bool = False) -> Corpus:
        """MELD below ``data``; with ``no_context`` every utterance is a conversation of its own.

        Labels of train are hidden (-1) whose words, five or more, stand in dev or test.
        """
        raw = {s: meld.load(data, s, measures) for s in ("train", "dev", "test")}
        heard = {sentence(t) for s in ("dev", "test") for c in raw[s] for t in c.texts} - {""}
        known = _labels(raw["train"])
        raw["train"] = [hidden(c, heard) for c in raw["train"]]
        fewer = known - _labels(raw["train"])
        log.info("meld: %d labels of train are not learnt, as their words stand in dev or test", fewer)
        prior = fit_prior(np.concatenate([c.audio_NA for c in raw["train"]]), measures)
        splits = {s: batches.examples(c, prior) for s, c in raw.items()}
        if no_context:
            splits = {s: [u for e in es for u in batches.alone(e)] for s, es in splits.items()}
        errors = WordErrors(t for c in raw["train"] for t in c.texts)
        return cls(splits["train"], splits["dev"], splits["test"], prior, errors)


def _labels(conversations: Sequence[meld.Conversation]) -> int:
    return sum(label >= 0 for c in conversations for label in c.labels)


def hidden(c: meld.Conversation, heard: Set[str]) -> meld.Conversation:
    """``c`` without the labels of what is in ``heard``."""
    labels = (-1 if sentence(t) in heard else label for t, label in zip(c.texts, c.labels, strict=True))
    return replace(c, labels=tuple(labels))


def noisy(
    examples: Sequence[Example], errors: WordErrors, rate: float, seed: int = 0, *, punctuated: bool = False
) -> list[Example]:
    """``examples`` as a small recogniser with ``rate`` word errors writes them, or a ``punctuated`` one."""
    random_ = random.Random(seed)

    def heard(text: str) -> str:
        return errors.corrupt(text, rate, random_, punctuated=punctuated) or text

    return [batches.retext(e, [heard(t) for t in e.texts]) for e in examples]


class Features:
    """Text features by ``encoder``: with gradient while it is tuned, kept where it is frozen."""

    def __init__(self, encoder: TextEncoder, *, frozen: bool) -> None:
        self.encoder, self.frozen = encoder, frozen
        encoder.net.word.requires_grad_(False)  # 30522 rows that 10,000 utterances cannot all move
        encoder.net.position.requires_grad_(False)
        self._kept: dict[tuple[object, ...], Tensor] = {}

    def __call__(self, group: Sequence[Example], *, grad: bool) -> list[Tensor]:
        """Features ``[N, D]`` of each conversation."""
        if not self.frozen:
            return encode(self.encoder, group, grad=grad)
        new = [e for e in group if (e.texts, e.speakers) not in self._kept]
        for e, f in zip(new, encode(self.encoder, new, grad=False), strict=True):
            self._kept[e.texts, e.speakers] = f
        return [self._kept[e.texts, e.speakers] for e in group]


class Trainer:
    """One seed of one variant."""

    def __init__(
        self,
        corpus: Corpus,
        setup: Setup,
        variant: Variant,
        seed: int,
        folder: Path,
        features: Features,
        about: dict[str, Any] | None = None,
    ) -> None:
        """``about`` is what the encoder's file says of itself (default: `facts`)."""
        torch.manual_seed(seed)
        self.about = about or facts()
        self.random = random.Random(seed)
        self.corpus, self.recipe, self.variant, self.folder = corpus, setup.recipe, variant, folder
        self.features, self.encoder = features, features.encoder
        self.net = gru.GruLmam(gru.Config(**setup.net, audio=len(setup.measures)))
        r = self.recipe
        groups = [{"params": list(self.net.parameters()), "lr": r.head_lr}]
        if not variant.frozen:
            tuned = [p for p in self.encoder.net.parameters() if p.requires_grad]
            groups.append({"params": tuned, "lr": r.encoder_lr})
        self.optimiser = torch.optim.AdamW(groups, weight_decay=r.weight_decay)
        size = (r.frozen_dialogues if variant.frozen else r.dialogues) * (10 if variant.no_context else 1)
        self.size = size
        self.per_epoch = -(-len(corpus.train) // size)
        self.epochs = r.frozen_epochs if variant.frozen else r.epochs
        self.total = self.per_epoch * self.epochs
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, self._rate)
        self.step, self.best = 0, -1.0
        self.order: list[int] = []

    def _rate(self, step: int) -> float:
        return linear(step, self.recipe.warm_up * self.total, self.total)

    def run(self) -> Iterator[tuple[int, int, str]]:
        """Train to the end; yields the step, how many there are, and what is worth saying (often nothing)."""
        self._resume()
        while self.step < self.total:
            at = self.step % self.per_epoch
            if at == 0:
                self.order = self.random.sample(range(len(self.corpus.train)), len(self.corpus.train))
            group = [self.corpus.train[i] for i in self.order[at * self.size : (at + 1) * self.size]]
            loss = self._train(group)
            self.step += 1
            said = ""
            if self.step == self.total or self.step % max(1, self.per_epoch // 2) == 0:
                score = scores(*self.predict(self.corpus.dev))["weighted_f1"]
                said = f"step {self.step}/{self.total} loss {loss:.3f} dev weighted F1 {score:.2f}"
                self._keep(score)
            yield self.step, self.total, said

    def _train(self, group: list[Example]) -> float:
        r = self.recipe
        self.net.train()
        self.encoder.net.train(not self.variant.frozen)
        group = [batches.retext(e, [self._augment(t) for t in e.texts]) for e in group]
        present = [batches.presence(e, audio=not self.variant.text_only) for e in group]
        for p in present:
            p[:, 1] &= torch.rand(len(p)) >= r.audio_dropout
        dialogue, labels = batches.collate(
            group, self.features(group, grad=self.net.training), present, visual_dim=self.net.config.visual
        )
        loss = masked_cross_entropy(self.net(dialogue), labels, dialogue.valid_BN, smoothing=r.smoothing)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([p for g in self.optimiser.param_groups for p in g["params"]], r.clip)
        self.optimiser.step()
        self.schedule.step()
        return float(loss.detach())

    def _augment(self, text: str) -> str:
        if self.variant.frozen:
            self.random.random()  # stored rows of this control drew it, and the order of dialogues follows
            return text
        return self.corpus.errors.sometimes(text, self.random, self.recipe.noise, self.corpus.heard)

    def predict(
        self,
        examples: Sequence[Example],
        *,
        text: bool = True,
        audio: bool = True,
        encoder: TextEncoder | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Logits ``[N, C]`` and labels ``[N]`` of all utterances of ``examples`` that have a label."""
        self.net.eval()
        (encoder or self.encoder).net.eval()
        logits, labels = [], []
        for i in range(0, len(examples), 32):
            group = examples[i : i + 32]
            features = (
                encode(encoder, group, grad=False)
                if encoder
                else self.features(group, grad=self.net.training)
            )
            present = [
                batches.presence(e, text=text, audio=audio and not self.variant.text_only) for e in group
            ]
            dialogue, labels_BN = batches.collate(group, features, present, visual_dim=self.net.config.visual)
            known_BN = dialogue.valid_BN & (labels_BN >= 0)
            with torch.no_grad():
                logits.append(self.net(dialogue)[known_BN])
            labels.append(labels_BN[known_BN])
        return torch.cat(logits), torch.cat(labels)

    def _keep(self, score: float) -> None:
        models = {"net": self.net.state_dict()}
        if not self.variant.frozen:
            models["encoder"] = self.encoder.net.state_dict()
        if score > self.best:
            self.best = score
            save_state(self.folder / "best.pt", models)
        state = {
            **models,
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "step": self.step,
            "best": self.best,
            "order": self.order,
            "torch": torch.get_rng_state(),
            "random": list(self.random.getstate()),
        }
        save_state(self.folder / "last.pt", state)

    def _resume(self) -> None:
        path = self.folder / "last.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        self._set(state)
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.step, self.best, self.order = state["step"], state["best"], state["order"]
        torch.set_rng_state(state["torch"])
        version, internal, gauss = state["random"]
        self.random.setstate((version, tuple(internal), gauss))
        log.info("%s: going on from step %d of %d", self.folder, self.step, self.total)

    def _set(self, models: dict[str, Any]) -> None:
        self.net.load_state_dict(models["net"])
        if "encoder" in models:
            self.encoder.net.load_state_dict(models["encoder"])

    def finish(self) -> dict[str, Any]:
        """The row of the best state as it would ship (int8): dev, test, noisy test, without voice."""
        self._set(torch.load(self.folder / "best.pt", weights_only=True))
        shipped = None
        if not self.variant.frozen:
            path = self.folder / "text.safetensors"
            self.encoder.save(path, self.about)
            shipped = TextEncoder.load(path)
        c = self.corpus
        dev, labels = self.predict(c.dev, encoder=shipped)
        temperature = fit_temperature(dev, labels)

        def row(of: Sequence[Example], **masks: bool) -> dict[str, float]:
            logits, labels = self.predict(of, encoder=shipped, **masks)
            return {k: round(v, 4) for k, v in scores(probabilities(logits, temperature), labels).items()}

        rows = {"dev": row(c.dev), "test": row(c.test), "test_noisy": row(noisy(c.test, c.errors, NOISY))}
        if not self.variant.text_only:
            rows["test_voice_masked"] = row(c.test, audio=False)
        torch.save(
            {"net": self.net.state_dict(), "temperature": temperature, "best": self.best},
            self.folder / "fusion.pt",
        )
        return {"temperature": round(temperature, 4), "dev_best_float": round(self.best, 2), **rows}


def encode(encoder: TextEncoder, group: Sequence[Example], *, grad: bool) -> list[Tensor]:
    """Text features per conversation."""
    with torch.set_grad_enabled(grad):
        return encoder.conversations([(e.texts, e.speakers) for e in group])


def facts(start: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the header of the encoder's file says of it; ``start``: the header of the one it began as."""
    before = start or {"data": ["all-MiniLM-L6-v2 (initial weights)"], "data_licences": MINILM}
    own = "MELD train (Poria et al. 2019)"
    return {
        "name": "lmam-text",
        "version": VERSION,
        "labels": list(meld.LABELS),
        "data": [*(d for d in before["data"] if d != "meld train"), own],
        "data_licences": {
            **{name: licence for name, licence in before["data_licences"].items() if name != "meld"},
            "MELD labels": "GPL-3.0",
            "MELD text": "TV-show content, research",
        },
        "commercial_use": "no",
    }
