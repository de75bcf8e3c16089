"""Train the face network on FER+ (``python -m models.train_face --help``).

Targets are the vote distributions of FER+ (Barsoum et al., 2016); pictures that most people called
"unknown" or "no face" are left out.  A second head learns the labels that the same pictures have in FER2013:
it shapes the embedding, is measured and is not kept.  The epoch is chosen on the valid split; test is read
once, at the end.
"""

from __future__ import annotations

import argparse
import copy
import json
import lzma
import math
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from models import command
from models.checkpoint import WEIGHTS
from models.encoders.face import LABELS, SIZE, Config, FaceNet, normalise

K = len(LABELS)
NAME, VERSION = "lmam-face", "0.2.0"
OTHERS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")  # FER2013's order
DATA = ["FER+ votes (Barsoum et al., 2016)", "FER2013 images and labels (Goodfellow et al., 2013)"]
LICENCES = {
    "FER+ labels": "MIT",
    "FER2013 images and labels": "web images released for an ICML 2013 challenge, research",
}


@dataclass(frozen=True, slots=True)
class Faces:
    """``images_NHW`` uint8; ``votes_NK`` float32, votes of the eight emotions (never all zero); ``others_N``
    int64, FER2013's labels as indices into `OTHERS`, -1 where there is none (None: nowhere)."""

    images_NHW: Tensor
    votes_NK: Tensor
    others_N: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images_NHW)

    def targets(self) -> Tensor:
        """Distributions ``[N, K]``: single votes count as slips where others agree, as in the paper."""
        kept_NK = torch.where(self.votes_NK > 1, self.votes_NK, 0)
        kept_NK = torch.where(kept_NK.sum(1, keepdim=True) > 0, kept_NK, self.votes_NK)
        return kept_NK / kept_NK.sum(1, keepdim=True)


def read(folder: Path, split: str) -> Faces:
    """The ``split`` (train, valid, test) of the FER+ archives in ``folder``.

    Raises:
        ValueError: an archive is missing, damaged or of another layout.
    """
    path = folder / ("ferplus_train.npz" if split == "train" else "ferplus_eval.npz")
    try:
        with path.open("rb") as file, np.load(file) as archive:
            images, votes = archive[f"images_{split}"], archive[f"votes_{split}"]
            others = archive.get(f"fer2013_{split}", np.full(len(images), -1)).astype(np.int64)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; --data names the folder that holds ferplus/") from None
    except (OSError, KeyError, EOFError, zipfile.BadZipFile, lzma.LZMAError, ValueError) as error:
        raise ValueError(f"{path}: not a readable FER+ archive ({error})") from error
    if images.shape[1:] != (SIZE, SIZE) or votes.shape != (len(images), K + 2):
        raise ValueError(f"{path}: images {images.shape} and votes {votes.shape} are not FER+")
    kept = (votes.argmax(1) < K) & (votes[:, :K].sum(1) > 0)
    votes_NK = torch.from_numpy(votes[kept][:, :K].astype(np.float32))
    return Faces(torch.from_numpy(images[kept]), votes_NK, torch.from_numpy(others[kept]))


def fer2013(path: Path) -> tuple[Tensor, Tensor]:
    """The test images of the archive ``path`` and their FER2013 labels, where those are known.

    Raises:
        ValueError: the archive lacks them.
    """
    with np.load(path) as archive:
        if "fer2013_test" not in archive:
            raise ValueError(f"{path}: no FER2013 labels (fer2013_test) in it")
        images, labels = archive["images_test"], archive["fer2013_test"].astype(np.int64)
    return torch.from_numpy(images[labels >= 0]), torch.from_numpy(labels[labels >= 0])


def augment(images_NHW: Tensor, rng: torch.Generator) -> Tensor:
    """Grey levels 0..255 float ``[N, 48, 48]``, as another camera or detector would cut them."""
    n = len(images_NHW)

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(n, generator=rng) * (high - low) + low

    angle, zoom = uniform(-0.2, 0.2), uniform(0.87, 1.15)
    flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    rows = (cos * flip, -sin, uniform(-0.13, 0.13), sin * flip, cos, uniform(-0.13, 0.13))
    grid = F.affine_grid(torch.stack(rows, 1).view(n, 2, 3), [n, 1, SIZE, SIZE], align_corners=False)
    x = F.grid_sample(images_NHW.float().unsqueeze(1), grid, padding_mode="border", align_corners=False)
    x = x.lerp(_blur(x), (uniform(-1.0, 1.0).clamp_min(0)).view(n, 1, 1, 1)).squeeze(1) / 255
    x = x.clamp(0, 1) ** uniform(-0.5, 0.5).exp().view(n, 1, 1)
    ramp = torch.linspace(-1, 1, SIZE)
    light = uniform(-0.15, 0.15).view(n, 1, 1) * ramp.view(1, 1, SIZE)
    light = light + uniform(-0.1, 0.1).view(n, 1, 1) * ramp.view(1, SIZE, 1)
    noise = torch.randn(x.shape, generator=rng) * uniform(-0.04, 0.04).clamp_min(0).view(n, 1, 1)
    x = (x * uniform(0.6, 1.25).view(n, 1, 1) + light + noise).clamp(0, 1) * 255
    return _erase(x, uniform, 0.2)


def _blur(x: Tensor) -> Tensor:
    """Gaussian of 1.4 pixels: what a cheap lens or a face of 30 pixels leaves."""
    taps = torch.exp(-(torch.arange(-3, 4, dtype=torch.float32) ** 2) / (2 * 1.4**2))
    taps = taps / taps.sum()
    x = F.conv2d(F.pad(x, (3, 3, 0, 0), mode="replicate"), taps.view(1, 1, 1, 7))
    return F.conv2d(F.pad(x, (0, 0, 3, 3), mode="replicate"), taps.view(1, 1, 7, 1))


def _erase(x: Tensor, uniform: Callable[[float, float], Tensor], share: float) -> Tensor:
    """Grey out one rectangle in ``share`` of the faces: a hand, a microphone, a mug."""
    n = len(x)
    on = uniform(0, 1) < share
    at = torch.arange(SIZE).view(1, SIZE)
    top, left = uniform(0, SIZE), uniform(0, SIZE)
    height, width = uniform(6, 20), uniform(6, 20)
    rows = (at >= top.view(n, 1)) & (at < (top + height).view(n, 1))
    columns = (at >= left.view(n, 1)) & (at < (left + width).view(n, 1))
    hole = rows.view(n, SIZE, 1) & columns.view(n, 1, SIZE) & on.view(n, 1, 1)
    return torch.where(hole, x.mean((1, 2), keepdim=True), x)


@torch.inference_mode()
def logits_of(net: FaceNet, faces: Faces, batch: int = 256) -> Tensor:
    """``[N, K]`` of all ``faces``, without augmentation, as they are read live."""
    net.eval()
    return torch.cat([net.both_ways(normalise(part))[1] for part in _batches(faces.images_NHW, batch)])


@torch.inference_mode()
def others_accuracy(net: FaceNet, head: nn.Linear, images_NHW: Tensor, label_N: Tensor) -> float:
    """Share of the images whose FER2013 label ``head`` gives."""
    net.eval()
    parts = [head(net.both_ways(normalise(part))[0]) for part in _batches(images_NHW, 256)]
    return (torch.cat(parts).argmax(1) == label_N).float().mean().item()


def _batches(items: Tensor, size: int) -> tuple[Tensor, ...]:
    parts: tuple[Tensor, ...] = items.split(size)  # type: ignore[no-untyped-call]
    return parts


def accuracy(logits_NK: Tensor, faces: Faces) -> float:
    """Share of faces whose top emotion has the most votes; where two tie, either is right."""
    top_NK = faces.votes_NK == faces.votes_NK.amax(1, keepdim=True)
    return top_NK.gather(1, logits_NK.argmax(1, keepdim=True)).float().mean().item()


def per_class(logits_NK: Tensor, faces: Faces) -> dict[str, dict[str, float]]:
    """Recall, precision and count of every emotion, the first of the most voted taken as true."""
    truth_N, guess_N = faces.votes_NK.argmax(1), logits_NK.argmax(1)
    table = {}
    for k, label in enumerate(LABELS):
        true, said = truth_N == k, guess_N == k
        hits = (true & said).sum().item()
        table[label] = {
            "n": int(true.sum()),
            "recall": hits / max(1, int(true.sum())),
            "precision": hits / max(1, int(said.sum())),
        }
    return table


def calibrate(net: FaceNet, valid: Faces) -> None:
    """Fold one temperature and one offset per emotion, fitted on ``valid``, into the last layer.

    The train split is capped in neutral and happiness, so its shares of the emotions are not those met in
    life; the offsets put that right without touching the embedding.
    """
    logits_NK, targets_NK = logits_of(net, valid).clone(), valid.targets()
    scale = torch.zeros((), requires_grad=True)
    offset_K = torch.zeros(K, requires_grad=True)
    solver = torch.optim.LBFGS([scale, offset_K], max_iter=100)

    def loss() -> Tensor:
        solver.zero_grad()
        value = (
            F.cross_entropy(logits_NK * scale.exp() + offset_K, targets_NK) + 1e-3 * offset_K.square().sum()
        )
        value.backward()  # type: ignore[no-untyped-call]
        return value

    solver.step(loss)  # type: ignore[no-untyped-call]
    last = net.head[1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.mul_(scale.exp())
        last.bias.mul_(scale.exp()).add_(offset_K)


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train: ``rate`` is the peak learning rate of one warm-up and cosine decay."""

    seed: int = 0
    epochs: int = 24
    stop: int | None = None  # leave off after this epoch of the schedule
    batch: int = 64
    rate: float = 2e-3
    decay: float = 0.02
    average: float = 0.998  # of the moving average of the weights that is kept
    others: float = 0.3  # weight of the loss of FER2013's labels


class Trainer:
    """One run; `epoch` trains once over the data and returns its mean loss."""

    def __init__(self, train: Faces, config: Config, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self._rng = torch.Generator().manual_seed(plan.seed)
        self._train, self._targets, self._plan = train, train.targets(), plan
        self._net = FaceNet(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._others = nn.Linear(config.embedding, len(OTHERS))
        self.average = copy.deepcopy(self._net).requires_grad_(False)
        self.others = copy.deepcopy(self._others).requires_grad_(False)
        self.steps = max(1, len(train) // plan.batch)  # an epoch; the rest is drawn in another
        self._done = 0
        parameters = [*self._net.parameters(), *self._others.parameters()]
        self._solver = torch.optim.AdamW(parameters, lr=plan.rate, weight_decay=plan.decay)

    def epoch(self, progress: Progress | None = None, task: int = 0) -> float:
        self._net.train()
        order = torch.randperm(len(self._train), generator=self._rng)
        total = 0.0
        for batch in _batches(order, self._plan.batch)[: self.steps]:
            total += self._step(batch)
            if progress is not None:
                progress.advance(task)  # type: ignore[arg-type]
        return total / self.steps

    def _step(self, batch: Tensor) -> float:
        for group in self._solver.param_groups:
            group["lr"] = self._plan.rate * self._shape()
        x = normalise(augment(self._train.images_NHW[batch], self._rng))
        embedding_NE, logits_NK = self._net(x.to(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits_NK, self._targets[batch]) + self._loss_of_others(embedding_NE, batch)
        self._solver.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._solver.step()
        self._done += 1
        keep = min(self._plan.average, self._done / (self._done + 10))
        _follow(self.average, self._net, keep)
        _follow(self.others, self._others, keep)
        return loss.item()

    def _loss_of_others(self, embedding_NE: Tensor, batch: Tensor) -> Tensor:
        labels_N = self._train.others_N
        if labels_N is None or bool((labels_N[batch] < 0).all()):
            return embedding_NE.new_zeros(())
        logits_NL = self._others(F.dropout(embedding_NE, self._net.config.dropout))
        loss = F.cross_entropy(logits_NL, labels_N[batch], ignore_index=-1, label_smoothing=0.1)
        return self._plan.others * loss

    def _shape(self) -> float:
        share = self._done / (self.steps * self._plan.epochs)
        return min(1.0, share / 0.05 + 0.02) * (0.5 + 0.5 * math.cos(math.pi * share))


def _follow(average: nn.Module, net: nn.Module, keep: float) -> None:
    for mine, theirs in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
        if mine.is_floating_point():
            mine.lerp_(theirs, 1 - keep)
        else:
            mine.copy_(theirs)


def train(data: Path, out: Path, config: Config, plan: Plan, console: Console) -> dict[str, object]:
    """Train, choose, calibrate, test and write ``out``; returns the report.

    Raises:
        ValueError: the data are missing or damaged.
    """
    started = time.monotonic()
    folder = data / "ferplus"
    faces, valid, test = (read(folder, split) for split in ("train", "valid", "test"))
    trainer = Trainer(faces, config, plan)
    parameters = sum(p.numel() for p in trainer.average.parameters())
    console.print(f"{len(faces)} train, {len(valid)} valid, {len(test)} test faces; {parameters} parameters")
    best, chosen, epoch_of_best = -1.0, copy.deepcopy(trainer.average), 0
    others = copy.deepcopy(trainer.others)
    with _bar(console) as progress:
        task = progress.add_task("training", total=min(plan.epochs, plan.stop or plan.epochs) * trainer.steps)
        for epoch in range(min(plan.epochs, plan.stop or plan.epochs)):
            loss = trainer.epoch(progress, task)
            score = accuracy(logits_of(trainer.average, valid), valid)
            progress.console.print(f"epoch {epoch + 1}: train loss {loss:.4f}, valid accuracy {score:.4f}")
            if score > best:
                best, chosen, epoch_of_best = score, copy.deepcopy(trainer.average), epoch + 1
                others = copy.deepcopy(trainer.others)
                calibrate(chosen, valid)
                chosen.save(
                    out, facts({"valid_accuracy": best, "finished": False})
                )  # a stopped run keeps this
    logits = logits_of(chosen, test)
    report: dict[str, object] = {
        "test_accuracy": accuracy(logits, test),
        "test_cross_entropy": F.cross_entropy(logits, test.targets()).item(),
        "valid_accuracy": accuracy(logits_of(chosen, valid), valid),
        "n": {"train": len(faces), "valid": len(valid), "test": len(test)},
        "per_class": per_class(logits, test),
        **_by_others(chosen, others, folder, faces),
        "chosen_epoch": epoch_of_best,
        "parameters": parameters,
        "seconds": time.monotonic() - started,
        "plan": asdict(plan),
    }
    chosen.save(out, facts(report))
    return report


def _by_others(net: FaceNet, head: nn.Linear, folder: Path, train: Faces) -> dict[str, float]:
    if train.others_N is None or bool((train.others_N < 0).all()):
        return {}
    return {"fer2013_accuracy": others_accuracy(net, head, *fer2013(folder / "ferplus_eval.npz"))}


def facts(report: dict[str, object]) -> dict[str, object]:
    """What the weight file says about itself."""
    return {
        "name": NAME,
        "version": VERSION,
        "metrics": {k: v for k, v in report.items() if k != "seconds"},
        "data": DATA,
        "data_licences": LICENCES,
        "commercial_use": "no",
    }


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


def parser() -> argparse.ArgumentParser:
    cli = argparse.ArgumentParser(
        prog="python -m models.train_face",
        description="Train the face network on FER+ and write its weights with their facts.",
    )
    cli.add_argument(
        "--data", type=Path, required=True, help="folder that holds ferplus/ with its two archives"
    )
    cli.add_argument("--out", type=Path, default=WEIGHTS / "face.safetensors", help="weights to write")
    cli.add_argument("--seed", type=int, default=Plan().seed, help="of weights, order and augmentation")
    cli.add_argument("--epochs", type=int, default=Plan().epochs, help="passes over the training faces")
    cli.add_argument("--stop", type=int, help="leave off after this epoch of the schedule")
    cli.add_argument("--width", type=int, default=Config().width, help="channels of the first stage")
    cli.add_argument(
        "--blocks", type=int, nargs=3, default=Config().blocks, help="residual blocks of the three stages"
    )
    cli.add_argument("--json", type=Path, help="write the report here, too")
    return cli


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    console = Console(stderr=True)
    torch.set_num_threads(1)
    if args.epochs < 1 or (args.stop is not None and args.stop < 1):
        console.print("--epochs and --stop must be at least 1", style="red")
        return 2
    return command.run(lambda: _train(args, console), f"stopped; the best so far is kept in {args.out}")


def _train(args: argparse.Namespace, console: Console) -> None:
    config = Config(width=args.width, blocks=tuple(args.blocks))
    plan = Plan(seed=args.seed, epochs=args.epochs, stop=args.stop)
    report = train(args.data, args.out, config, plan, console)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")
    n = report["n"]
    assert isinstance(n, dict)
    console.print(
        f"seed {args.seed}: test accuracy {report['test_accuracy']:.4f} (n = {n['test']}), FER2013's labels "
        f"{report.get('fer2013_accuracy', math.nan):.4f}, valid "
        f"{report['valid_accuracy']:.4f}, {report['parameters']} parameters, {report['seconds']:.0f} s; "
        f"{args.out}",
        soft_wrap=True,
    )


if __name__ == "__main__":
    sys.exit(main())
