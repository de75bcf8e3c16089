"""One run: epochs over a corpus, chosen on dev, resumable to the bit.

The generator of random numbers is seeded once, never per epoch. After each epoch `Fit.state` is all that
decides what follows: a run that goes on from it ends as the one that was never interrupted (on a CPU; a GPU
adds up in an order of its own). With several devices every one holds the corpus and takes each batch's
conversations in turn; gradients are those of the whole batch.

Shape suffixes: U utterances, B conversations, N utterances, C classes, K labelled utterances.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.conversation import Config, ConversationModel
from models.dialogue import Dialogue
from models.metrics import scores
from models.training.config import MODALITIES, Modality, RunConfig, TrainingError
from models.training.engine import Engine, Plain, scaler_of
from models.training.objective import Objective
from models.training.tensors import Split, Tensors

SORTED = 8  # batches: within as many, conversations of like length come together
AT_ONCE = 64  # conversations in a batch of evaluation


@dataclass(frozen=True, slots=True)
class Epoch:
    """What an epoch ended with; ``dev`` is `scores_of` dev, ``best`` whether it is the best so far."""

    number: int
    loss: float
    lr: float
    dev: dict[str, float]
    best: bool


@dataclass
class Progress:
    """How far a run is; part of its state."""

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_dev: dict[str, float] = field(default_factory=dict)


def build(config: RunConfig, data: Tensors) -> ConversationModel:
    """The untrained model of ``config`` for ``data``, drawn from torch's generator.

    Raises:
        TrainingError: a part that does not exist, that cannot be built so, or for which memory is short.
    """
    m = config.model
    try:
        return ConversationModel(
            Config(
                sizes={k: v for k, v in data.sizes.items() if v},
                classes=data.classes,
                host=m.host,
                fusion=m.fusion,
                placement=m.placement,
                span=m.span,
                dim=m.dim,
                speakers=m.speakers,
                dropout=m.dropout,
                host_options=m.host_options,
                fusion_options=m.fusion_options,
            )
        )
    except (ValueError, RuntimeError, MemoryError) as error:  # torch's word for short memory is the second
        raise TrainingError(f"[model]: {str(error) or type(error).__name__}") from error


class Whole(nn.Module):
    """The model as a function of plain tensors, which is what engines know how to wrap."""

    def __init__(self, model: ConversationModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, *tensors: Tensor) -> Tensor:
        """Logits ``[B, N, C]`` of the `Dialogue` of ``tensors``."""
        logits_BNC: Tensor = self.model(Dialogue(*tensors))
        return logits_BNC


def tensors_of(dialogue: Dialogue) -> tuple[Tensor, ...]:
    """The fields of ``dialogue`` in their order."""
    return tuple(getattr(dialogue, f.name) for f in fields(dialogue))


class Fit:
    """Seeds torch's generator and trains one model; iterate over `epochs`, then see ``best``.

    Raises:
        TrainingError: the data has no train or no dev split, or one without labels.
    """

    def __init__(self, config: RunConfig, data: Tensors, seed: int, engine: Engine | None = None) -> None:
        if missing := [s for s in ("train", "dev") if s not in data.splits]:
            raise TrainingError(f"no split {' and no split '.join(missing)}: training chooses on dev")
        if bare := [s for s in ("train", "dev") if not data.splits[s].labelled]:
            raise TrainingError(f"no utterance of {' and none of '.join(bare)} has a label")
        self.config, self.engine = config, engine or Plain()
        self.data = data.to(self.engine.device)
        torch.manual_seed(seed)
        self.model = build(config, data)
        t, self.train = config.train, self.data.splits["train"]
        self.objective = Objective(t, self.train.label_U, data.classes)
        optimiser = torch.optim.AdamW(self.model.parameters(), lr=t.lr, weight_decay=t.weight_decay)
        self.net, self.optimiser = self.engine.setup(Whole(self.model), optimiser)
        self.std = {m: _deviation(self.train, m) for m in t.feature_noise if data.sizes.get(m)}
        self.per_epoch = math.ceil(len(self.train) / t.batch)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self._rate)
        # Of order and modality dropout, which are alike on every device.
        self.generator = torch.Generator().manual_seed(seed)
        if self.engine.global_rank:
            torch.manual_seed(seed + 7919 * self.engine.global_rank)  # dropout of its own
        self.progress, self.best = Progress(), _copy(self.model)

    @property
    def finished(self) -> bool:
        """No epochs are left, or dev has not improved for ``patience`` of them."""
        p, t = self.progress, self.config.train
        return p.epoch >= t.epochs or p.epoch - p.best_epoch >= t.patience

    def epochs(self) -> Iterator[Epoch]:
        """Train to the end, an epoch at a time.

        Raises:
            TrainingError: the weights are no longer numbers.
        """
        while not self.finished:
            yield self._epoch()

    def _epoch(self) -> Epoch:
        total = weight = 0.0
        for which in self._batches():
            loss, of = self._step(which)
            total, weight = total + loss, weight + of
        p, lr = self.progress, float(self.schedule.get_last_lr()[0])
        p.epoch += 1
        dev = self.engine.broadcast(scores_of(self.model, self.data.splits["dev"], self.engine))
        if not math.isfinite(dev["loss"]):
            raise TrainingError(f"epoch {p.epoch}: the loss of dev is {dev['loss']}; lower train.lr")
        best = not p.best_dev or self._better(dev, p.best_dev)
        if best:
            p.best_epoch, p.best_dev, self.best = p.epoch, dev, _copy(self.model)
        return Epoch(p.epoch, total / max(weight, 1e-9), lr, dev, best)

    def _better(self, dev: dict[str, float], than: dict[str, float]) -> bool:
        by = self.config.train.choose
        return dev[by] < than[by] if by == "loss" else dev[by] > than[by]

    def _batches(self) -> Sequence[Tensor]:
        """A random order in which conversations of like length come together."""
        size = self.config.train.batch
        order = torch.randperm(len(self.train), generator=self.generator)
        lengths = self.train.length_B.cpu()
        batches: list[Tensor] = []
        for pool in torch.split(order, SORTED * size):
            batches += torch.split(pool[lengths[pool].argsort(stable=True)], size)
        return [batches[i] for i in torch.randperm(len(batches), generator=self.generator).tolist()]

    def _step(self, which: Tensor) -> tuple[float, float]:
        """One update with the conversations ``which``; the summed loss of this device's share, its weight."""
        self.net.train()
        labels = self.train.label_U[self.train.rows_BN[which]]
        whole = self.objective.weight(labels)
        hidden = self._hidden(which)
        rank, world = self.engine.global_rank, self.engine.world_size
        mine = which[rank::world] if rank < len(which) else which[:1]
        dialogue, label_BN = self.train.batch(mine.to(self.engine.device))
        for m, hidden_B in hidden.items():
            dropped_BN = hidden_B[rank::world] if rank < len(which) else hidden_B[:1]
            dialogue.present_BNM[..., m] &= ~dropped_BN[:, : label_BN.shape[1]].to(self.engine.device)
        dialogue = self._noisy(dialogue)
        known_BN = (label_BN >= 0) & (rank < len(which))
        with self.engine.autocast():
            logits_BNC = self.net(*tensors_of(dialogue))
        total = self.objective.sum(logits_BNC[known_BN], label_BN[known_BN])
        # Each device's gradients are averaged with the others': times their number, the sum over the batch.
        self.engine.backward(total * (world / max(whole, 1e-9)))
        self.engine.clip_gradients(
            self.net, self.optimiser, max_norm=self.config.train.clip, error_if_nonfinite=False
        )
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.schedule.step()
        self.progress.step += 1
        return float(total.detach()), self.objective.weight(label_BN[known_BN])

    def _hidden(self, which: Tensor) -> dict[int, Tensor]:
        """Which utterances ``[B, N]`` of a batch lose a modality, by its index."""
        shares = self.config.train.modality_dropout
        size = (len(which), self.train.rows_BN.shape[1])
        return {
            i: torch.rand(size, generator=self.generator) < shares[m]
            for i, m in enumerate(MODALITIES)
            if m in shares
        }

    def _noisy(self, dialogue: Dialogue) -> Dialogue:
        """With Gaussian noise on the features that ``feature_noise`` names.

        Torch's own generator draws it, as it does dropout: each device has conversations of its own.
        """
        shares, d = self.config.train.feature_noise, dialogue
        features = [d.text_BNT, d.audio_BNA, d.visual_BNV]
        for m, std_D in self.std.items():
            x = features[MODALITIES.index(m)]
            features[MODALITIES.index(m)] = x + shares[m] * std_D * torch.randn_like(x)
        return replace(d, text_BNT=features[0], audio_BNA=features[1], visual_BNV=features[2])

    def _rate(self, step: int) -> float:
        t = self.config.train
        total = self.per_epoch * t.epochs
        warm = t.warm_up * total
        rise = min(1.0, (step + 1) / warm) if warm else 1.0
        done = min(1.0, max(0.0, step - warm) / max(1.0, total - warm))
        fall = {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}
        return rise * fall[t.schedule]

    def state(self) -> dict[str, Any]:
        """All that decides what follows, as tensors and plain values."""
        cuda = self.engine.device.type == "cuda"
        return {
            "model": _copy(self.model),
            "best": self.best,
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "progress": asdict(self.progress),
            "generator": self.generator.get_state(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(self.engine.device) if cuda else torch.empty(0),
            "scaler": scaler.state_dict() if (scaler := scaler_of(self.engine)) else {},
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from ``state``."""
        self.model.load_state_dict(state["model"])
        self.best = state["best"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.progress = Progress(**state["progress"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch"])
        if len(state["cuda"]):
            torch.cuda.set_rng_state(state["cuda"], self.engine.device)
        if scaler := scaler_of(self.engine):
            scaler.load_state_dict(state["scaler"])


@torch.no_grad()
def predict(net: nn.Module, split: Split, engine: Engine | None = None) -> Tensor:
    """Logits ``[U, C]`` of every utterance of ``split`` in its order, on the CPU."""
    net.eval()
    engine = engine or Plain()
    units, out = len(split.label_U) - 1, torch.empty(0)
    for which in split.by_length(AT_ONCE):
        dialogue, _ = split.batch(which)
        with engine.autocast():
            logits_BNC = net(dialogue)
        if not len(out):
            out = torch.zeros(units, logits_BNC.shape[-1])
        rows_BN = split.rows_BN[which, : logits_BNC.shape[1]]
        out[rows_BN[dialogue.valid_BN].cpu()] = logits_BNC[dialogue.valid_BN].float().cpu()
    return out


def scores_of(net: nn.Module, split: Split, engine: Engine | None = None) -> dict[str, float]:
    """`scores_and_loss` of the labelled utterances of ``split``."""
    label_U = split.label_U[:-1].cpu()
    return scores_and_loss(predict(net, split, engine)[label_U >= 0], label_U[label_U >= 0])


def scores_and_loss(logits_KC: Tensor, label_K: Tensor) -> dict[str, float]:
    """`models.metrics.scores` and the mean cross-entropy, ``loss``."""
    loss = float(F.cross_entropy(logits_KC, label_K))
    return {**scores(logits_KC.softmax(-1), label_K), "loss": loss}


def _deviation(split: Split, modality: Modality) -> Tensor:
    """Standard deviation ``[D]`` of a modality over the utterances that have it."""
    rows_UD = (split.text_UT, split.audio_UA, split.visual_UV)[MODALITIES.index(modality)]
    there_U = split.present_UM[:, MODALITIES.index(modality)]
    return rows_UD[there_U].std(0)


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}
