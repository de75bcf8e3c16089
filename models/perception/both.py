"""Fit one network to voice and action units together, and read it on people that it has never met.

A trunk for each modality as that of `models.encoders.voice` gives an embedding; the conversation model fuses
both, and each embedding has a head of its own, which is trained beside. What is read is the sum of the fused
logits and of half of those of each modality that is there, averaged over the members: networks trained apart
that differ in their seed alone. A clip is a conversation of one utterance. Every clip is read in the three
ways of `models.perception.voice`, and with either modality missing.

Shape suffixes: W ways, V versions, N clips, S inputs of a modality, M modalities, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from models.conversation import Config, ConversationModel
from models.dialogue import Dialogue
from models.encoders.voice import z_scores
from models.perception.plan import Filed
from models.perception.voice import WAYS, Voices, known

Ints = NDArray[np.int64]
VOICE, FACE = "voice", "action units"
MODALITIES = (VOICE, FACE)
SUBSETS = {"": (True, True), f", {VOICE}": (True, False), f", {FACE}": (False, True)}
DEFAULT = Path(__file__).parents[2] / "configs" / "encoders" / "ravdess.toml"


class Plan(Filed):
    """How to train: ``configs/encoders/ravdess.toml`` says what each value is."""

    file: ClassVar[Path] = DEFAULT

    members: int = Field(2, ge=1)
    versions: int = Field(17, ge=1)
    strength: float = Field(1.0, ge=0)
    epochs: tuple[int, ...] = (40, 80)
    batch: int = Field(192, ge=2)
    rate: float = Field(4e-3, gt=0)
    decay: float = Field(0.05, ge=0)
    smoothing: float = Field(0.1, ge=0, lt=1)
    mix: float = Field(0.3, gt=0)
    noise: float = Field(0.15, ge=0)
    missing: float = Field(0.15, ge=0, le=0.5)
    own: float = Field(0.5, ge=0)
    known: tuple[float, float, float] = (0.5, 0.25, 0.25)
    prior: float = Field(5.0, gt=0)
    widths: tuple[int, int] = (256, 128)
    embedding: int = Field(64, ge=1)
    dropout: float = Field(0.45, ge=0, lt=1)
    fusions: tuple[str, ...] = ("lmam-all-memories", "concat")
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Mean and standard deviation ``[S]`` of a modality over the clips of training."""

    mean_S: NDArray[np.float64]
    std_S: NDArray[np.float64]

    @classmethod
    def of(cls, x_VNS: NDArray[np.float64]) -> Scale:
        return cls(x_VNS.mean((0, 1)), x_VNS.std((0, 1)) + 1e-6)


class Both(nn.Module):
    """Two modalities of ``sizes`` inputs each -> the logits of both together and of each alone."""

    def __init__(self, sizes: Sequence[int], classes: int, fusion: str, plan: Plan) -> None:
        super().__init__()
        e = plan.embedding
        self.scales: tuple[Scale, ...] = ()  # set by `fit`
        self.trunks = nn.ModuleList(
            _trunk(size, width, e, plan.dropout) for size, width in zip(sizes, plan.widths, strict=True)
        )
        self.heads = nn.ModuleList(
            nn.Sequential(nn.ReLU(), nn.Dropout(plan.dropout), nn.Linear(e, classes)) for _ in sizes
        )
        config = Config(
            sizes={"audio": e, "visual": e}, classes=classes, fusion=fusion, dim=e, dropout=plan.dropout
        )
        self.fusion = ConversationModel(config)

    def forward(self, inputs: Sequence[Tensor], present_NM: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits ``[N, K]`` of what is ``present_NM`` and, of each modality, those of its own head."""
        embeddings = [trunk(x_NS) for trunk, x_NS in zip(self.trunks, inputs, strict=True)]
        own = [head(x_NE) for head, x_NE in zip(self.heads, embeddings, strict=True)]
        n = len(present_NM)
        logits_N1K = self.fusion(
            Dialogue(
                torch.zeros(n, 1, 1),
                embeddings[0].unsqueeze(1),
                embeddings[1].unsqueeze(1),
                F.pad(present_NM, (1, 0), value=False).unsqueeze(1),
                torch.zeros(n, 1, dtype=torch.int64),
                torch.ones(n, 1, dtype=torch.bool),
            )
        )
        return logits_N1K[:, 0], own


def _trunk(size: int, width: int, embedding: int, dropout: float) -> nn.Sequential:
    """That of `models.encoders.voice.VoiceNet`."""
    return nn.Sequential(
        nn.Linear(size, width, bias=False),
        nn.BatchNorm1d(width),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(width, embedding, bias=False),
        nn.BatchNorm1d(embedding, affine=False),
    )


def relative(
    senses: Sequence[Voices], scales: Sequence[Scale], way: str, seed: int, prior: float
) -> list[Tensor]:
    """Each modality ``[V, N, S + 1]`` as z-scores against what is known of its speaker, in the same order."""
    out = []
    for sense, scale in zip(senses, scales, strict=True):
        speaker = known(sense, way, np.random.default_rng(seed))
        out.append(
            torch.from_numpy(z_scores(sense.statistics_VNS, speaker, scale.mean_S, scale.std_S, prior))
        )
    return out


def part(sense: Voices, which: Ints, versions: int | None = None) -> Voices:
    """The clips numbered ``which``, of the first ``versions``."""
    speakers = tuple(sense.speakers[i] for i in which)
    return Voices(sense.statistics_VNS[:versions, which], sense.label_N[which], speakers, sense.labels)


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What a network is trained on: each modality relative to its speaker in every way.

    ``inputs`` are ``[W, V, N, S + 1]``.
    """

    inputs: list[Tensor]
    scales: tuple[Scale, ...]
    label_N: Tensor
    classes: int

    @classmethod
    def of(cls, senses: Sequence[Voices], train: Ints, plan: Plan) -> Prepared:
        """The clips numbered ``train`` of ``senses``: the voice's, then the face's."""
        own = [part(s, train) for s in senses]
        scales = tuple(Scale.of(s.statistics_VNS) for s in own)
        each = [relative(own, scales, way, 0, plan.prior) for way in WAYS]
        inputs = [torch.stack(rows) for rows in zip(*each, strict=True)]
        return cls(inputs, scales, torch.from_numpy(own[0].label_N), len(own[0].labels))


def fit(of: Prepared, plan: Plan, fusion: str, epochs: int, seed: int) -> list[Both]:
    """The members, each trained on ``of`` for ``epochs``."""
    return [_member(of, plan, fusion, epochs, seed + 1000 * m) for m in range(plan.members)]


def _member(of: Prepared, plan: Plan, fusion: str, epochs: int, seed: int) -> Both:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = Both([x.shape[-1] for x in of.inputs], of.classes, fusion, plan)
    net.scales = of.scales
    target_NK = F.one_hot(of.label_N, of.classes) * (1 - plan.smoothing) + plan.smoothing / of.classes
    count = len(of.label_N)
    batch = min(plan.batch, count)
    steps = epochs * (count // batch)
    solver = torch.optim.AdamW(net.parameters(), lr=plan.rate, weight_decay=plan.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(solver, plan.rate, total_steps=steps)
    share_W = torch.tensor(plan.known)
    net.train()
    for _ in range(epochs):
        for at in torch.randperm(count).split(batch):  # type: ignore[no-untyped-call]
            if len(at) < batch:
                continue
            way = torch.multinomial(share_W, batch, replacement=True)
            share, other = float(rng.beta(plan.mix, plan.mix)), torch.randperm(batch)
            goal_NK = share * target_NK[at] + (1 - share) * target_NK[at][other]
            inputs = []
            for x_WVNS in of.inputs:
                x_NS = x_WVNS[way, torch.randint(x_WVNS.shape[1], (batch,)), at]
                x_NS = share * x_NS + (1 - share) * x_NS[other]
                inputs.append(x_NS + plan.noise * torch.randn_like(x_NS))
            logits_NK, each = net(inputs, _present(batch, plan.missing))
            loss = _cross_entropy(logits_NK, goal_NK)
            loss = loss + plan.own * sum((_cross_entropy(o, goal_NK) for o in each), torch.zeros(()))
            solver.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            solver.step()
            schedule.step()
    return net.eval().requires_grad_(False)


def choose(
    senses: Sequence[Voices], train: Ints, dev: Ints, plan: Plan, fusion: str, seed: int = 0
) -> tuple[int, dict[int, float]]:
    """The number of epochs with the lowest cross entropy on ``dev``, live plus offline; and all of them."""
    prepared, label_N = Prepared.of(senses, train, plan), torch.from_numpy(senses[0].label_N[dev])
    losses = {}
    for epochs in plan.epochs:
        nets = fit(prepared, plan, fusion, epochs, seed)
        found = [logits(nets, senses, dev, way, plan.prior) for way in ("live", "offline")]
        losses[epochs] = sum(F.cross_entropy(x_NK, label_N).item() for x_NK in found) / 2
    return min(losses, key=lambda e: losses[e]), losses


def _present(count: int, missing: float) -> Tensor:
    """``[N, M]``: each modality is missing in a share ``missing`` of the clips, never both."""
    drawn_N1 = torch.rand(count, 1)
    return torch.cat((drawn_N1 >= missing, drawn_N1 < 1 - missing), 1)


def _cross_entropy(logits_NK: Tensor, goal_NK: Tensor) -> Tensor:
    return -(logits_NK.log_softmax(1) * goal_NK).sum(1).mean()


@torch.inference_mode()
def logits(
    nets: Sequence[Both],
    senses: Sequence[Voices],
    which: Ints,
    way: str,
    prior: float,
    subset: str = "",
    seed: int = 0,
) -> Tensor:
    """``[N, K]`` of the clips numbered ``which`` as they are, read in ``way`` from one of `SUBSETS`."""
    own = [part(s, which, 1) for s in senses]
    inputs = [x_VNS[0] for x_VNS in relative(own, nets[0].scales, way, seed, prior)]
    present_NM = torch.tensor(SUBSETS[subset]).expand(len(which), len(MODALITIES))
    out = torch.zeros(())
    for net in nets:
        fused_NK, each = net(inputs, present_NM)
        votes = [0.5 * x_NK for x_NK, there in zip(each, SUBSETS[subset], strict=True) if there]
        out = out + sum(votes, fused_NK) / len(nets)
    return out
