"""Fit the voice network, and measure it on speakers that it has never heard.

Every clip is read in three ways. *live*: nothing is known of the speaker but the clip itself. *running*: what
the same speaker said before is known, too, in an order that the seed draws. *offline*: all clips of the
speaker are known. One network serves all three, since it is told how much is known.

Shape suffixes: V versions, N clips, S statistics, K labels, W ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from models.encoders.voice import Config, VoiceNet, z_scores
from models.perception.plan import Filed
from models.training.config import Table

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Known = tuple[Floats, Floats, Floats]  # count, mean and summed squared deviations of each clip's speaker

WAYS = ("live", "running", "offline")
NOISE, TELEPHONE = ", 10 dB", ", telephone"  # behind the name of a way, see `TESTED`
TESTED = {"": "clean", NOISE: "noisy", TELEPHONE: "telephone"}  # of `models.perception.voice_features`
DEFAULT = Path(__file__).parents[2] / "configs" / "encoders" / "voice.toml"


class Network(Table):
    """See `models.encoders.voice.Config`."""

    width: int = Field(256, ge=1)
    embedding: int = Field(64, ge=1)
    dropout: float = Field(0.4, ge=0, lt=1)
    prior: float = Field(5.0, gt=0)


class Plan(Filed):
    """How to train: ``configs/encoders/voice.toml`` says what each value is."""

    file: ClassVar[Path] = DEFAULT

    versions: int = Field(17, ge=1)
    recordings: tuple[Literal["room 1", "room 2", "line"], ...] = Field(
        ("room 1", "room 2", "line"), min_length=1
    )
    epochs: tuple[int, ...] = (120, 240, 360)
    batch: int = Field(64, ge=2)
    rate: float = Field(2e-3, gt=0)
    decay: float = Field(0.05, ge=0)
    smoothing: float = Field(0.1, ge=0, lt=1)
    mix: float = Field(0.3, gt=0)
    noise: float = Field(0.1, ge=0)
    known: tuple[float, float, float] = (0.5, 0.25, 0.25)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    network: Network = Network()


@dataclass(frozen=True, slots=True, eq=False)
class Voices:
    """Clips with their labels (indices into ``labels``); ``statistics_VNS``: the first version is the clip as
    it is."""

    statistics_VNS: Floats
    label_N: Ints
    speakers: tuple[str, ...]
    labels: tuple[str, ...]

    def of(self, speakers: Sequence[str]) -> Ints:
        """The numbers of the clips of ``speakers``."""
        return np.flatnonzero(np.isin(self.speakers, list(speakers)))

    def instead(self, statistics_NS: Floats) -> Voices:
        """The same clips as they sound under another condition."""
        return replace(self, statistics_VNS=statistics_NS[None])


def known(voices: Voices, way: str, rng: np.random.Generator) -> Known:
    """What is known of each clip's speaker, the clip itself included, in one of `WAYS`; ``[V, N, ...]``."""
    x_VNS = voices.statistics_VNS
    if way == "live":
        return np.ones((*x_VNS.shape[:2], 1)), x_VNS, np.zeros_like(x_VNS)
    count_VN1 = np.zeros((*x_VNS.shape[:2], 1))
    mean_VNS, square_VNS = np.zeros_like(x_VNS), np.zeros_like(x_VNS)
    for speaker in sorted(set(voices.speakers)):
        own = rng.permutation(voices.of([speaker]))
        x_VMS = x_VNS[:, own]
        if way == "offline":
            count_VN1[:, own] = len(own)
            mean_VNS[:, own] = x_VMS.mean(1, keepdims=True)
            square_VNS[:, own] = np.square(x_VMS - x_VMS.mean(1, keepdims=True)).sum(1, keepdims=True)
        else:
            so_far_M1 = np.arange(1.0, len(own) + 1)[:, None]
            middle_V1S = x_VMS.mean(1, keepdims=True)  # against rounding; the deviations do not depend on it
            sums_VMS, squares_VMS = (np.cumsum((x_VMS - middle_V1S) ** p, axis=1) for p in (1, 2))
            count_VN1[:, own] = so_far_M1
            mean_VNS[:, own] = middle_V1S + sums_VMS / so_far_M1
            square_VNS[:, own] = np.maximum(0.0, squares_VMS - np.square(sums_VMS) / so_far_M1)
    return count_VN1, mean_VNS, square_VNS


def fit(voices: Voices, train: Ints, plan: Plan, epochs: int, seed: int) -> VoiceNet:
    """A network trained on the clips numbered ``train``; what it is told of speakers is drawn by ``seed``."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = VoiceNet(Config(**plan.network.model_dump(), labels=voices.labels))
    x_VNS = voices.statistics_VNS[:, train]
    net.mean_S.copy_(torch.from_numpy(x_VNS.mean((0, 1))))
    net.std_S.copy_(torch.from_numpy(x_VNS.std((0, 1)) + 1e-6))
    part = Voices(x_VNS, voices.label_N[train], tuple(voices.speakers[i] for i in train), voices.labels)
    x_WVNS = torch.stack([_relative(net, part, way, rng) for way in WAYS])
    label_N = torch.from_numpy(part.label_N)
    classes = len(voices.labels)
    target_NK = F.one_hot(label_N, classes) * (1 - plan.smoothing) + plan.smoothing / classes
    batch = min(plan.batch, len(train))
    solver = torch.optim.AdamW(net.parameters(), lr=plan.rate, weight_decay=plan.decay)
    steps = epochs * (len(train) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(solver, plan.rate, total_steps=steps)
    share_W = torch.tensor(plan.known)
    net.train()
    for _ in range(epochs):
        for at in torch.randperm(len(train)).split(batch):  # type: ignore[no-untyped-call]
            if len(at) < batch:
                continue
            way = torch.multinomial(share_W, batch, replacement=True)
            x_NS = x_WVNS[way, torch.randint(len(x_VNS), (batch,)), at]
            x_NS, goal_NK = _mixed(x_NS, target_NK[at], float(rng.beta(plan.mix, plan.mix)))
            x_NS = x_NS + plan.noise * torch.randn_like(x_NS)
            loss = -(net(x_NS)[1].log_softmax(1) * goal_NK).sum(1).mean()
            solver.zero_grad()
            loss.backward()
            solver.step()
            schedule.step()
    return net.eval().requires_grad_(False)


def _mixed(x_NS: Tensor, target_NK: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Each clip mixed with another of the batch, and their targets likewise (Zhang et al., 2018)."""
    other_N = torch.randperm(len(x_NS))
    return share * x_NS + (1 - share) * x_NS[other_N], share * target_NK + (1 - share) * target_NK[other_N]


def _relative(net: VoiceNet, voices: Voices, way: str, rng: np.random.Generator) -> Tensor:
    speaker = known(voices, way, rng)
    mean_S, std_S = net.mean_S.numpy(), net.std_S.numpy()
    return torch.from_numpy(z_scores(voices.statistics_VNS, speaker, mean_S, std_S, net.config.prior))


@torch.inference_mode()
def logits(net: VoiceNet, voices: Voices, which: Ints, way: str, seed: int = 0) -> Tensor:
    """``[N, K]`` of the clips numbered ``which`` as they are, read in ``way``."""
    own = Voices(
        voices.statistics_VNS[:1, which],
        voices.label_N[which],
        tuple(voices.speakers[i] for i in which),
        voices.labels,
    )
    out: Tensor = net(_relative(net, own, way, np.random.default_rng(seed))[0])[1]
    return out


def confusion(logits_NK: Tensor, label_N: Ints) -> Ints:
    """Counts ``[K, K]``: rows are the truth, columns what was read."""
    classes = logits_NK.shape[1]
    cells = np.bincount(label_N * classes + logits_NK.argmax(1).numpy(), minlength=classes**2)
    return np.asarray(cells.reshape(classes, classes), dtype=np.int64)


def accuracy(counts_KK: Ints) -> float:
    """Percent of all clips."""
    return 100.0 * float(np.trace(counts_KK)) / float(counts_KK.sum())


def macro_f1(counts_KK: Ints) -> float:
    """Mean of the F1 of every label that occurs, in percent."""
    hits, true, said = np.diag(counts_KK), counts_KK.sum(1), counts_KK.sum(0)
    f1 = 2 * hits / np.maximum(1, true + said)
    return 100.0 * float(f1[true > 0].mean())


def choose(voices: Voices, train: Ints, dev: Ints, plan: Plan, seed: int = 0) -> tuple[int, dict[int, float]]:
    """The number of epochs with the lowest cross entropy on ``dev``, live plus offline; and all of them."""
    label_N = torch.from_numpy(voices.label_N[dev])
    losses = {}
    for epochs in plan.epochs:
        net = fit(voices, train, plan, epochs, seed)
        both = [F.cross_entropy(logits(net, voices, dev, way), label_N).item() for way in ("live", "offline")]
        losses[epochs] = sum(both) / 2
    return min(losses, key=lambda e: losses[e]), losses


def summary(counts_KK: Ints) -> dict[str, Any]:
    """What a row keeps of one way of reading."""
    return {"accuracy": accuracy(counts_KK), "macro_f1": macro_f1(counts_KK), "confusion": counts_KK.tolist()}
