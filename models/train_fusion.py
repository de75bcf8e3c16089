"""Second stage: the fusion on frozen encoders, with every modality missing at times, and synthetic pairs.

The text features come from the int8 file that ships, so that training sees what runs. An encoder fits the
utterances it was tuned on better than new ones, and a fusion trained on its features would trust words too
much; so the features of train carry Gaussian noise, its size set such that words alone are as uncertain on
train as they are on dev (`calibrate_noise`). Faces are synthetic pairs (`models.synthetic_faces`). So are the
voices of a share of the conversations (`models.synthetic_voices`): measures and the voice network's embedding
of acted clips, as live has both; the others keep MELD's measures, without an embedding. Of the utterances
with a synthetic voice, some have their words replaced by those of an utterance labelled neutral: a voice must
be heard where the words say nothing.

Shape suffixes: N utterances, M modalities, D text features, E face embedding, C classes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from models import batches
from models.batches import Example
from models.calibration import Temperatures
from models.fusion_data import Bank, pairs, plain_rows, smiled, spoken
from models.fusion_measures import FACE, after_smiles, calibrated, predict, subsets
from models.fusion_weights import as_stored, load_fusion, save_fusion
from models.hosts.gru import Config, GruLmam
from models.losses import masked_cross_entropy
from models.meld import LABELS
from models.normalise import Prior
from models.schedule import linear
from models.synthetic_faces import Faces
from models.synthetic_voices import Voices
from models.train_meld import Setup
from models.train_voice import LICENCES as VOICE_LICENCES

VERSION = "0.5.0"
VOICE_MAP, FACE_MAP = "maps.1.weight", "maps.2."


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train the fusion; shares are of the utterances, or of the conversations where it says so."""

    epochs: int = 12
    lr: float = 5e-4
    weight_decay: float = 0.01
    dialogues: int = 32
    smoothing: float = 0.1
    clip: float = 1.0
    warm_up: float = 0.1
    noisy_text: float = 0.35
    no_text: float = 0.12
    no_voice: float = 0.12
    no_face: float = 0.15
    conversation_without: tuple[float, float, float] = (0.08, 0.15, 0.45)  # shares of whole conversations
    face_for_a_while: float = 0.0  # conversations in which faces are seen in one stretch alone
    face_held: float = 0.0  # utterances whose face shows what it showed at the one before
    one_speaker: float = 0.15  # conversations whose speakers are not told apart
    synthetic_voice: float = 0.4  # conversations whose voices are synthetic, and of their utterances ...
    no_measures: float = 0.1  # ... those without measures ...
    no_embedding: float = 0.1  # ... without an embedding ...
    plain_words: float = 0.0  # ... and with words that say nothing


def calibrate_noise(net: GruLmam, train: Bank, dev: Bank) -> Tensor:
    """Standard deviation ``[D]`` of the noise that makes words alone as uncertain on train as on dev.

    The least multiple (in steps of a twentieth) of each feature's own deviation at which the cross-entropy of
    ``net`` on the first 200 conversations of train reaches that on dev; at most twice the deviation.
    """
    few = Bank(train.examples[:200], train.gold[:200], train.noisy[:200])
    std_D = torch.cat(few.gold).std(0)
    words = (True, False, False)

    def loss(of: Bank, noise: Tensor | None = None) -> float:
        logits, labels = predict(net, of, words, noise=noise)
        return float(F.cross_entropy(logits, labels))

    aim, step = loss(dev), 0.0
    while step < 2 and loss(few, step * std_D) < aim:
        step += 0.05
    return step * std_D


class FusionTrainer:
    """Trains ``net`` in place on ``train``; which modalities it may use is in ``modalities``."""

    def __init__(
        self,
        net: GruLmam,
        train: Bank,
        *,
        recipe: Recipe,
        noise: Tensor,
        seed: int,
        faces: Faces | None = None,
        voices: Voices | None = None,
        dropout: bool = True,
        text_only: bool = False,
    ) -> None:
        torch.manual_seed(seed)
        self.net, self.bank, self.recipe, self.noise, self.faces = net, train, recipe, noise, faces
        self.voices, self.dropout, self.text_only = voices, dropout, text_only
        self.plain_nD = plain_rows(train)
        self.random, self.generator = random.Random(seed), torch.Generator().manual_seed(seed)
        self.optimiser = torch.optim.AdamW(net.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
        self.total = recipe.epochs * -(-len(train.examples) // recipe.dialogues)
        warm = max(1, recipe.warm_up * self.total)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: linear(step, warm, self.total)
        )

    def run(self) -> Iterator[float]:
        """Train to the end; yields the mean loss of each epoch."""
        n = len(self.bank.examples)
        for _ in range(self.recipe.epochs):
            order, size = self.random.sample(range(n), n), self.recipe.dialogues
            losses = [self._step(order[i : i + size]) for i in range(0, n, size)]
            yield sum(losses) / len(losses)

    def _step(self, rows: list[int]) -> float:
        r = self.recipe
        self.net.train()
        acted = [self.voices is not None and self.random.random() < r.synthetic_voice for _ in rows]
        group = [
            self._who(self._voiced(i) if a else self.bank.examples[i])
            for i, a in zip(rows, acted, strict=True)
        ]
        text = [self._text(i, r.plain_words if a else 0.0) for i, a in zip(rows, acted, strict=True)]
        present = [self._present(e) for e in group]
        held = r.face_held
        visual = [self.faces.pair(e.labels_N, self.generator, held) for e in group] if self.faces else None
        c = self.net.config
        dialogue, labels = batches.collate(group, text, present, visual, c.visual, c.voice)
        learn_BN = dialogue.valid_BN & dialogue.present_BNM.any(-1)
        loss = masked_cross_entropy(self.net(dialogue), labels, learn_BN, smoothing=r.smoothing)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), r.clip)
        self.optimiser.step()
        self.schedule.step()
        return float(loss.detach())

    def _text(self, i: int, share: float) -> Tensor:
        """Features of the words, a ``share`` of the rows those of words that say nothing."""
        gold, other = self.bank.gold[i], self.bank.noisy[i]
        swap = torch.rand(len(gold), 1, generator=self.generator) < self.recipe.noisy_text
        text = torch.where(swap, other, gold)
        if share and len(self.plain_nD):
            row_N = torch.randint(len(self.plain_nD), (len(gold),), generator=self.generator)
            empty = torch.rand(len(gold), 1, generator=self.generator) < share
            text = torch.where(empty, self.plain_nD[row_N], text)
        return text + self.noise * torch.randn(text.shape, generator=self.generator)

    def _voiced(self, i: int) -> Example:
        assert self.voices is not None
        return self.voices.speak(self.bank.examples[i], self.generator)

    def _who(self, e: Example) -> Example:
        together = self.random.random() < self.recipe.one_speaker
        return replace(e, speakers=(0,) * len(e.speakers)) if together else e

    def _present(self, e: Example) -> Tensor:
        """Whole conversations without a modality, and utterances without one, at random."""
        r = self.recipe
        if not self.dropout:
            return batches.presence(e, audio=not self.text_only, visual=False)
        present = batches.presence(e, audio=not self.text_only, visual=self.faces is not None)
        keep = torch.rand(present.shape, generator=self.generator) >= torch.tensor(
            [r.no_text, r.no_voice, r.no_face]
        )
        whole = torch.rand(3, generator=self.generator) >= torch.tensor(r.conversation_without)
        present = present & keep & whole
        if r.face_for_a_while and float(torch.rand((), generator=self.generator)) < r.face_for_a_while:
            present[:, FACE] &= self._stretch(len(present))
        return present

    def _stretch(self, n: int) -> Tensor:
        """True ``[n]`` from one of the utterances, chosen at random, to another."""
        ends_2 = torch.randint(n, (2,), generator=self.generator)
        at_N = torch.arange(n)
        return (ends_2.min() <= at_N) & (at_N <= ends_2.max())


@dataclass(frozen=True)
class Trained:
    """A finished fusion: the dev-chosen ``net`` and its ``figures`` by split and subset."""

    net: GruLmam
    temperatures: Temperatures
    figures: dict[str, Any]


def fuse(
    net: GruLmam,
    data: dict[str, Bank],
    faces: dict[str, Faces],
    voices: dict[str, Voices],
    *,
    recipe: Recipe,
    seed: int,
    say: Callable[[str], None],
) -> Trained:
    """Train ``net`` (from the first stage) for every subset; chosen on dev, measured on test.

    The choice is by the mean weighted F1 on dev of words with voice, of words alone, and of all subsets
    together: what is said comes first, yet no subset is left out. ``say`` gets a line for each look at dev.
    ``faces`` and ``voices`` are those of each split.
    """
    noise = calibrate_noise(net, data["train"], data["dev"])
    seen = {s: pairs(data[s], faces[s], seed=0) for s in ("dev", "test")}
    heard = {s: spoken(data[s], voices[s], seed=0) for s in ("dev", "test")}
    synthetic: dict[str, Any] = {"faces": faces["train"], "voices": voices["train"]}
    trainer = FusionTrainer(net, data["train"], recipe=recipe, noise=noise, seed=seed, **synthetic)
    best, state = -1.0, net.state_dict()
    for epoch, loss in enumerate(trainer.run(), 1):
        if epoch % 2 and epoch != recipe.epochs:
            continue
        found = subsets(net, data["dev"], seen["dev"], voiced=heard["dev"])
        f1 = {k: v["weighted_f1"] for k, v in found.items()}
        score = (f1["text+voice"] + f1["text"] + sum(f1.values()) / len(f1)) / 3
        say(
            f"epoch {epoch}/{recipe.epochs} loss {loss:.3f} dev "
            + ", ".join(f"{k} {v:.1f}" for k, v in f1.items())
        )
        if score > best:
            best, state = score, {k: v.clone() for k, v in net.state_dict().items()}
    net.load_state_dict(state)
    as_stored(net)  # measured as it ships
    temperatures = calibrated(net, data["dev"], seen["dev"], heard["dev"])
    figures = {
        s: subsets(net, data[s], seen[s], temperatures, heard[s])
        | after_smiles(net, smiled(data[s], faces[s], seed=0), temperatures)
        for s in ("dev", "test")
    }
    noises = {"noise": float(noise.mean()), "voice_noise": float(voices["train"].noise_E.mean())}
    return Trained(net, temperatures, {**noises, "chosen_at": best, **figures})


def first_stage(path: Path, setup: Setup, voice: int = 0) -> GruLmam:
    """The conversation model that the first stage left in ``path``, with an input for ``voice`` numbers of
    the voice network that says nothing yet.

    Where the measures of the voice are others now, the map of the voice starts anew.
    """
    net = GruLmam(Config(**setup.net, audio=len(setup.measures), voice=voice))
    tensors = torch.load(path, weights_only=True)["net"]
    own = net.state_dict()
    measures_DA = tensors[VOICE_MAP]
    if voice and measures_DA.shape[1] == net.config.audio:
        tensors[VOICE_MAP] = F.pad(measures_DA, (0, net.config.heard - net.config.audio))
    net.load_state_dict({k: t if t.shape == own[k].shape else own[k] for k, t in tensors.items()})
    return net


def trained_before(path: Path, face: str | None) -> GruLmam:
    """The fusion in ``path``, to be trained on; its map of the face starts anew where the face network with
    the digest ``face`` is another than its own.

    Raises:
        CheckpointError: the file is missing, or holds other weights.
    """
    known = load_fusion(path)
    net = GruLmam(known.net.config)
    own = net.state_dict()
    anew = known.meta.get("encoders", {}).get("face") != face
    stored = known.net.state_dict().items()
    net.load_state_dict({k: own[k] if anew and k.startswith(FACE_MAP) else t for k, t in stored})
    return net


def store(
    path: Path,
    trained: Trained,
    prior: Prior,
    encoders: dict[str, str],
    seed: int,
    start: str | None = None,
) -> None:
    """Write the fusion with its facts to ``path``; ``encoders`` are digests of those it was trained with,
    ``start`` that of the fusion that was trained on, if one was."""
    facts = {
        "name": "lmam-fusion",
        "version": VERSION,
        "labels": list(LABELS),
        "data": [
            "MELD (Poria et al. 2019)",
            "FER+ (Barsoum et al. 2016), in synthetic pairs with MELD",
            "RAVDESS (Livingstone & Russo 2018), in synthetic pairs with MELD",
            "EmoDB (Burkhardt et al. 2005), in synthetic pairs with MELD",
        ],
        "data_licences": {
            "MELD labels": "GPL-3.0",
            "MELD text and prosody": "TV-show content, research",
            "FER+ labels": "MIT",
            "FER2013 images": "web images released for an ICML 2013 challenge, research",
            **VOICE_LICENCES,
        },
        "commercial_use": "no",
        "seed": seed,
        "encoders": encoders,
        "metrics": trained.figures["test"],
        **({"start": start} if start else {}),
    }
    save_fusion(path, trained.net, prior, trained.temperatures, facts)
