"""Fit and measure the head of valence and arousal on EmoBank's sentences, as a text encoder reads them.

A sentence is read *alone*; *misheard*, as a recogniser writes it that gets 30 % of the words wrong (in
training 5 to 40 %); and, by an encoder that reads what was said before, *in context*, behind the sentences
before it in the file. No sentence of EmoBank's or MELD's dev and test is learnt from.

Shape suffixes: N sentences, D text features, K labels, A measures.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from models import data
from models.asr_noise import WordErrors
from models.calibration import PRESENT, probabilities
from models.data import emobank, features
from models.data.sentences import Part, Sentences
from models.dialogue import Turn
from models.encoders.affect import MEASURES, AffectNet, Config
from models.encoders.text import TextEncoder
from models.fusion_weights import Fusion
from models.perception.plan import Filed
from models.train_sentences import JUDGE, without_leaks

DEFAULT = Path(__file__).parents[2] / "configs" / "encoders" / "affect.toml"
ALONE, MISHEARD, CONTEXT = "alone", "misheard", "in context"
ERRORS = 0.30  # share of wrong words in dev and test
ERROR_RATES = (0.05, 0.40)  # and in train
TOGETHER = 6  # sentences that are read as a conversation of two

Tick = Callable[[int, int], None]
Scores = dict[str, float]


class Plan(Filed):
    """How to train: ``configs/encoders/affect.toml`` says what each value is."""

    file: ClassVar[Path] = DEFAULT

    width: int = Field(96, ge=1)
    dropout: float = Field(0.4, ge=0, lt=1)
    noise: float = Field(0.5, ge=0)
    other: float = Field(0.35, ge=0, le=1)
    epochs: int = Field(40, ge=1)
    batch: int = Field(128, ge=2)
    rate: float = Field(1e-3, gt=0)
    decay: float = Field(0.05, ge=0)
    alphas: tuple[float, ...] = (100, 300, 1000, 3000, 10000)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """A split: text features ``[N, D]`` under each condition, and valence and arousal ``[N, A]``."""

    text: Mapping[str, Tensor]
    target_NA: Tensor

    def __len__(self) -> int:
        return len(self.target_NA)


def sentences(folder: Path) -> Sentences:
    """EmoBank, and in its train split nothing that stands in dev or test of it or of MELD.

    Raises:
        DataError: one of the two is missing below ``folder`` or damaged.
    """
    return without_leaks(emobank.load(folder), data.load(JUDGE, folder))


def read(
    encoder: TextEncoder, of: Sentences, cache: Path, *, more: bool = True, tick: Tick | None = None
) -> dict[str, Read]:
    """Every split of ``of`` as ``encoder`` reads it, kept in the folder ``cache``.

    ``more``: not only alone.
    """
    mark = features.digest(encoder)
    errors = WordErrors(of.splits["train"].texts)
    out = {}
    for name, part in of.splits.items():
        spoken = {ALONE: [[(t, 0)] for t in part.texts]}
        if more:
            spoken[MISHEARD] = [[(t, 0)] for t in misheard(part, name, errors)]
        if more and encoder.contextual:
            starts = range(0, len(part), TOGETHER)
            spoken[CONTEXT] = [
                [(t, i % 2) for i, t in enumerate(part.texts[s : s + TOGETHER])] for s in starts
            ]
        text = {
            c: torch.from_numpy(features.cached(encoder, mark, s, cache, tick)) for c, s in spoken.items()
        }
        out[name] = Read(text, torch.from_numpy(part.targets_NK[:, : len(MEASURES)]))
    return out


def misheard(part: Part, name: str, errors: WordErrors) -> list[str]:
    """The texts of split ``name`` with word errors, the same each time."""
    random_ = random.Random(name)
    rates = ERROR_RATES if name == "train" else (ERRORS, ERRORS)
    return [errors.corrupt(t, random_.uniform(*rates), random_) or t for t in part.texts]


def correlations(out_NA: Tensor, target_NA: Tensor) -> Scores:
    """Pearson's r of each of `MEASURES`; 0 where the output does not vary."""
    found = {}
    for name, out_N, target_N in zip(MEASURES, out_NA.T.numpy(), target_NA.T.numpy(), strict=True):
        varies = out_N.std() > 0 and target_N.std() > 0
        found[name] = float(np.corrcoef(out_N, target_N)[0, 1]) if varies else 0.0
    return found


def mean(scores: Scores) -> float:
    """Of the measures: what dev chooses by."""
    return sum(scores[m] for m in MEASURES) / len(MEASURES)


def fit(splits: Mapping[str, Read], plan: Plan, seed: int, labels: int) -> tuple[AffectNet, int]:
    """The head as it was after the epoch with the best `mean` on dev, and which that was.

    Each sentence is read alone or, in a share ``plan.other``, under another condition; all features carry
    Gaussian noise of ``plan.noise`` of their deviation, since an encoder knows the sentences it was tuned on
    better than others.
    """
    train, dev = splits["train"], splits["dev"]
    torch.manual_seed(seed)
    plain_ND = train.text[ALONE]
    net = AffectNet(Config(text=plain_ND.shape[1], width=plan.width, labels=labels), plan.dropout)
    net.mean_D, net.std_D = plain_ND.mean(0), plain_ND.std(0).clamp_min(1e-6)
    spread_A = train.target_NA.std(0)
    others = [x_ND for c, x_ND in train.text.items() if c != ALONE]
    judged = [c for c in dev.text if c != MISHEARD]
    optimiser = torch.optim.AdamW(net.parameters(), lr=plan.rate, weight_decay=plan.decay)
    best, chosen, state = -float("inf"), 0, net.state_dict()
    for epoch in range(1, plan.epochs + 1):
        net.train()
        for at in torch.split(torch.randperm(len(train)), plan.batch):
            x_ND = net.scaled(plain_ND[at])
            if others:
                which = int(torch.randint(len(others), ()))
                swap = torch.rand(len(at), 1) < plan.other
                x_ND = torch.where(swap, net.scaled(others[which][at]), x_ND)
            out_NA = net.head(x_ND + plan.noise * torch.randn_like(x_ND))
            loss = ((out_NA - train.target_NA[at]) / spread_A).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        score = sum(mean(correlations(outputs(net, dev, c), dev.target_NA)) for c in judged)
        if score > best:
            best, chosen, state = score, epoch, {k: v.clone() for k, v in net.state_dict().items()}
    net.load_state_dict(state)
    return net.eval(), chosen


@torch.inference_mode()
def outputs(net: AffectNet, of: Read, condition: str = ALONE) -> Tensor:
    """What the head says, ``[N, A]``."""
    net.eval()
    out_NA: Tensor = net(of.text[condition])
    return out_NA


@torch.inference_mode()
def label_probabilities(fusion: Fusion, text_ND: Tensor) -> Tensor:
    """What the fusion says of each sentence ``[N, K]``, from its words alone, without context."""
    c, m = fusion.net.config, PRESENT["text"]
    out = []
    for rows_nD in torch.split(text_ND, 256):
        n = len(rows_nD)
        turn = Turn(
            text_BT=rows_nD,
            audio_BA=torch.full((n, c.heard), torch.nan),
            visual_BV=torch.full((n, c.visual), torch.nan),
            present_BM=torch.tensor([m]).expand(n, -1),
            speaker_B=torch.zeros(n, dtype=torch.long),
        )
        logits_nK, _ = fusion.net.step(turn, fusion.net.init_state(n))
        out.append(probabilities(logits_nK.double(), fusion.temperatures.at(turn.present_BM)).float())
    return torch.cat(out)


def fit_map(probs_NK: Tensor, target_NA: Tensor) -> Tensor:
    """The map ``[K, A]`` with the least squared error: row k is what the label k alone is taken for."""
    solution: Tensor = torch.linalg.lstsq(probs_NK.double(), target_NA.double()).solution
    return solution.float()


def mixed(net: AffectNet, of: Read, probs_NK: Tensor, share: float) -> Tensor:
    """The head's measures ``[N, A]`` with a ``share`` of the map's."""
    return (1 - share) * outputs(net, of) + share * net.of_labels(probs_NK)


def ridge(splits: Mapping[str, Read], alpha: float) -> Callable[[Tensor], Tensor]:
    """The linear baseline on standardised features, fitted on train."""
    from sklearn.linear_model import Ridge  # type: ignore[import-untyped]
    from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
    from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

    train = splits["train"]
    machine = make_pipeline(StandardScaler(), Ridge(alpha))
    machine.fit(train.text[ALONE].double().numpy(), train.target_NA.double().numpy())
    return lambda text_ND: torch.from_numpy(machine.predict(text_ND.double().numpy()))
