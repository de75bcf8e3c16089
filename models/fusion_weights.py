"""The conversation model as it ships: weights, labels, temperatures and what its inputs must be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from models import checkpoint
from models.calibration import Temperatures
from models.checkpoint import WEIGHTS, CheckpointError
from models.dialogue import MODALITIES
from models.hosts.gru import Config, GruLmam
from models.normalise import Prior

KIND = "fusion"
DEFAULT = WEIGHTS / "fusion.safetensors"


@dataclass(frozen=True, slots=True)
class Fusion:
    """A conversation model ready to step.

    ``net`` is in eval mode; its probabilities, in the order of ``labels``, are
    ``models.calibration.probabilities(logits, temperatures.at(present))``. ``prior`` names the measures of
    the voice (`audio_measures`) and normalises them (`models.normalise.Running`). ``meta`` holds the facts of
    the file's header.
    """

    net: GruLmam
    labels: tuple[str, ...]
    temperatures: Temperatures
    prior: Prior
    meta: dict[str, Any]

    @property
    def audio_measures(self) -> tuple[str, ...]:
        """Which measures of the voice the net reads, in order."""
        return self.prior.measures

    @property
    def reads(self) -> tuple[bool, bool, bool]:
        """Which of `MODALITIES` it learnt to read; to it the others are absent, whatever is there."""
        text, audio, visual = (m in self.meta.get("modalities", MODALITIES) for m in MODALITIES)
        return text, audio, visual

    @property
    def name(self) -> str:
        """What published estimates call the model."""
        return str(self.meta.get("name", "unnamed"))

    @property
    def version(self) -> str:
        """The version of the weights."""
        return str(self.meta.get("version", "0"))


def load_fusion(path: Path | None = None, device: str | torch.device = "cpu") -> Fusion:
    """The fusion in ``path`` (default: the one that ships), its network and states on ``device``.

    Raises:
        CheckpointError: the file is missing, truncated, of another kind or does not fit its own config.
    """
    path = path or DEFAULT
    stored = checkpoint.load(path, KIND)
    config = stored.config
    try:
        net = GruLmam(Config(**config["net"]))
        net.load_state_dict(stored.tensors)
        p = config["prior"]
        prior = Prior(tuple(p["measures"]), tuple(p["mean_A"]), tuple(p["std_A"]), float(p["count"]))
        labels, temperatures = tuple(stored.meta["labels"]), Temperatures.of(config["temperatures"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: does not fit its own config ({error})") from error
    if len(labels) != net.config.classes or len(prior.measures) != net.config.audio:
        raise CheckpointError(f"{path}: its labels or measures do not fit its network")
    return Fusion(net.to(device).eval().requires_grad_(False), labels, temperatures, prior, stored.meta)


def save_fusion(
    path: Path, net: GruLmam, prior: Prior, temperatures: Temperatures, facts: Mapping[str, Any]
) -> None:
    """Write ``net`` at 16 bits a weight, with all that `load_fusion` needs; ``facts`` join the header.

    See `as_stored` for measuring what the file will hold.
    """
    config = {"net": asdict(net.config), "prior": asdict(prior), "temperatures": temperatures.table()}
    tensors = {name: tensor.half() for name, tensor in net.state_dict().items()}
    checkpoint.save(path, tensors, {**facts, "kind": KIND, "config": config})


def as_stored(net: GruLmam) -> GruLmam:
    """``net`` itself, its weights rounded to the 16 bits in which `save_fusion` writes them."""
    net.load_state_dict({name: tensor.half().float() for name, tensor in net.state_dict().items()})
    return net
