"""Any network of pictures (ViT and its like of Hugging Face, any of timm): one row for each face.

Faces come as the face detector frames them, in colour, and go in at the size and scale that the files name.

Shape suffixes: n faces, H and W rows and columns, C channels, L places, D features.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.checkpoint import CheckpointError
from models.encoders.hub import files
from models.encoders.hub.spec import Spec
from models.encoders.hub.text import pooled

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # where the files name no mean and deviation


class HubFace:
    """The network of ``spec``, ready to use; ``size``: rows and columns of the faces that it takes.

    Raises:
        CheckpointError: the files are missing, damaged or of something else.
    """

    def __init__(self, spec: Spec, folder: Path | None = None) -> None:
        folder = folder or files.find(spec)
        self.spec, self._device = spec, files.device_of(spec)
        self._see, self.size, (mean, std) = (_hf if spec.source == "hf" else _timm)(spec, folder)
        self._mean_C11, self._std_C11 = (torch.tensor(v).view(3, 1, 1).to(self._device) for v in (mean, std))
        self.dim = self.encode(np.zeros((1, self.size, self.size, 3), dtype=np.uint8)).shape[1]

    def encode(self, rgb_nHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features ``[n, dim]`` of faces uint8 ``[n, size, size, 3]``, red first.

        Raises:
            ValueError: faces of another shape.
        """
        if rgb_nHWC.shape[1:] != (self.size, self.size, 3):
            raise ValueError(f"faces of shape {rgb_nHWC.shape}; expected [n, {self.size}, {self.size}, 3]")
        if not len(rgb_nHWC):
            return np.zeros((0, self.dim), dtype=np.float32)
        rows = []
        for part in torch.split(torch.from_numpy(rgb_nHWC), self.spec.batch):
            x_nCHW = part.to(self._device).permute(0, 3, 1, 2).float() / 255
            with files.computing(self.spec, self._device):
                rows.append(self._see((x_nCHW - self._mean_C11) / self._std_C11).float().cpu())
        return np.asarray(torch.cat(rows).numpy())


See = Callable[[Tensor], Tensor]
Scale = tuple[tuple[float, ...], tuple[float, ...]]


def _hf(spec: Spec, folder: Path) -> tuple[See, int, Scale]:
    """How to see, the size of a face, and the mean and deviation of its colours."""
    about = files.read_json(folder / files.PREPROCESSOR)
    net = files.load_model(spec, folder)
    size = (
        _side(about.get("crop_size"))
        or _side(about.get("size"))
        or _side(getattr(net.config, "image_size", 0))
    )
    if net.main_input_name != "pixel_values" or not size:
        raise CheckpointError(f"{spec}: a {type(net).__name__}; expected a network of pictures, such as ViT")
    many = spec.layers > 1
    scale = tuple(about.get("image_mean") or IMAGENET[0]), tuple(about.get("image_std") or IMAGENET[1])

    def see(x_nCHW: Tensor) -> Tensor:
        out = net(x_nCHW, output_hidden_states=many)
        layers = out.hidden_states[-spec.layers :] if many else [out.last_hidden_state]
        states = [_places(x) for x in layers]
        return pooled(states, torch.ones(states[-1].shape[:2], device=x_nCHW.device), spec)

    return see, size, scale


def _side(size: Any) -> int:
    """The one number of a size as preprocessors write it, 0 where there is none."""
    if isinstance(size, dict):
        size = size.get("height") or size.get("shortest_edge")
    if isinstance(size, (list, tuple)):
        size = size[0]
    return int(size or 0)


def _places(x: Tensor) -> Tensor:
    """``[n, L, D]``, of places in sequence or, of convolutions, in rows and columns."""
    return x.flatten(2).transpose(1, 2) if x.ndim == 4 else x


def _timm(spec: Spec, folder: Path) -> tuple[See, int, Scale]:
    """As `_hf`; pooled as the network does before its classes."""
    timm = files.import_timm()
    try:
        net = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0)
    except Exception as error:  # timm, safetensors and pickle each raise their own
        raise CheckpointError(f"{spec}: {folder} cannot be loaded by timm ({error})") from error
    about = timm.data.resolve_model_data_config(net)
    return files.ready(net, spec), int(about["input_size"][-1]), (about["mean"], about["std"])
