"""A small residual network that reads one grey 48x48 face.

It gives an embedding for the fusion and a distribution over the eight FER+ emotions (Barsoum et al., 2016,
"Training deep networks for facial expression recognition with crowd-sourced label distribution").

Shape suffixes: N faces, C channels, H and W rows and columns, E embedding, K emotions.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from models import checkpoint

KIND = "face"
SIZE = 48  # pixels, rows and columns of a crop
LABELS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
DEFAULT = checkpoint.WEIGHTS / "face.safetensors"

_FLOOR = 8.0  # grey levels: below this contrast a crop is stretched no further, or noise becomes a face


def normalise(crops_NHW: Tensor) -> Tensor:
    """Crops in grey levels 0..255 ``[N, 48, 48]`` -> network input ``[N, 1, 48, 48]``.

    Each crop gets zero mean and unit contrast, so that neither exposure nor gain of a camera matters.
    Training and live use are to call this and nothing else.
    """
    if crops_NHW.ndim != 3 or crops_NHW.shape[1:] != (SIZE, SIZE):
        raise ValueError(f"face crops are {list(crops_NHW.shape)}, expected [n, {SIZE}, {SIZE}]")
    x_NHW = crops_NHW.float()
    centred_NHW = x_NHW - x_NHW.mean((1, 2), keepdim=True)
    contrast_N11 = centred_NHW.square().mean((1, 2), keepdim=True).sqrt()
    return (centred_NHW / contrast_N11.clamp_min(_FLOOR)).unsqueeze(1)


class Block(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al., 2016); ``stride`` 2 halves the picture."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = _conv(channels_in, channels, 3, stride)
        self.second = _conv(channels, channels, 3, 1)
        same = channels_in == channels and stride == 1
        self.shortcut = nn.Identity() if same else _conv(channels_in, channels, 1, stride)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        y_NCHW = self.second(F.relu(self.first(x_NCHW)))
        return F.relu(y_NCHW + self.shortcut(x_NCHW))


def _conv(channels_in: int, channels: int, size: int, stride: int, groups: int = 1) -> nn.Sequential:
    padding = size // 2 if groups == 1 else 0
    conv = nn.Conv2d(channels_in, channels, size, stride, padding, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels))


@dataclass(frozen=True, slots=True)
class Config:
    """``width`` channels in the first stage, doubled in each of the next; ``blocks`` per stage."""

    width: int = 24
    blocks: tuple[int, ...] = (1, 1, 1)
    embedding: int = 64
    dropout: float = 0.2


class FaceNet(nn.Module):
    """Grey faces -> ``(embedding_NE, logits_NK)``, the emotions in the order of `LABELS`.

    The last pictures (6x6) are pooled with one learnt 6x6 weighting per channel instead of an average:
    on an aligned face, where something is matters as much as what it is.  An embedding has about zero mean
    and, before it is averaged with its mirror image, unit variance in every dimension.
    """

    def __init__(self, config: Config | None = None) -> None:
        super().__init__()
        self.config = config = config or Config()
        stages: list[nn.Module] = [_conv(1, config.width, 5, 2), nn.ReLU()]
        channels, side = config.width, SIZE // 2
        for stage, count in enumerate(config.blocks):
            for index in range(count):
                halve = stage > 0 and index == 0
                stages.append(Block(channels, config.width << stage, 2 if halve else 1))
                channels, side = config.width << stage, side // 2 if halve else side
        self.trunk = nn.Sequential(*stages)
        self.pool = _conv(channels, channels, side, 1, groups=channels)
        self.project = nn.Linear(channels, config.embedding, bias=False)
        self.centre = nn.BatchNorm1d(config.embedding, affine=False)
        self.head = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(config.embedding, len(LABELS)))

    def forward(self, x_N1HW: Tensor) -> tuple[Tensor, Tensor]:
        pooled_NC = F.relu(self.pool(self.trunk(x_N1HW)).flatten(1))
        embedding_NE = self.centre(self.project(pooled_NC))
        return embedding_NE, self.head(embedding_NE)

    def both_ways(self, x_N1HW: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` gives, its embedding averaged over each picture and its mirror image: what half a
        face shows by chance counts half."""
        embedding_NE = (self(x_N1HW)[0] + self(x_N1HW.flip(3))[0]) / 2
        return embedding_NE, self.head(embedding_NE)

    @torch.inference_mode()
    def embed(self, crops_NHW: Tensor | NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """Grey crops uint8 ``[N, 48, 48]`` -> embedding ``[N, E]`` and probabilities ``[N, K]``, float32.

        The result stays on the network's device.

        Raises:
            ValueError: the crops have another size.
        """
        crops = torch.as_tensor(crops_NHW, device=next(self.parameters()).device)
        embedding_NE, logits_NK = self.both_ways(normalise(crops))
        return embedding_NE, logits_NK.softmax(1)

    @classmethod
    def load(cls, path: Path | None = None, device: str | torch.device = "cpu") -> FaceNet:
        """The trained network of ``path`` (None: the one that ships), ready for `embed`.

        Raises:
            CheckpointError: the file is missing, truncated, or holds other weights.
        """
        path = path or DEFAULT
        stored = checkpoint.load(path, KIND)
        try:
            net = cls(_config(stored.config))
            net.load_state_dict(stored.tensors)
        except (RuntimeError, TypeError, KeyError) as error:
            raise checkpoint.CheckpointError(f"{path}: does not fit this face network ({error})") from error
        return net.to(device).eval().requires_grad_(False)

    def save(self, path: Path, facts: dict[str, Any]) -> None:
        """Write the weights with ``facts`` (metrics, data, licences) beside kind, config and labels."""
        meta = {"kind": KIND, "config": asdict(self.config), "labels": list(LABELS), **facts}
        checkpoint.save(path, self.state_dict(), meta)


def _config(stored: dict[str, Any]) -> Config:
    return Config(**{**stored, "blocks": tuple(stored["blocks"])})
