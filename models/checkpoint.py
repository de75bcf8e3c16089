"""One file format for every weight that ships: safetensors with its facts inside.

The header holds a JSON object under the key ``lmam``: ``kind`` (what the tensors are), ``config`` (how to
build the network), ``labels``, ``metrics``, ``data`` (what it was trained on), ``data_licences`` and
``commercial_use`` (``yes``, ``no`` or ``unclear``). Matrices may be stored as int8 with one scale a row.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

FORMAT = "lmam/1"
SCALE = ".scale"  # suffix of the per-row scales of an int8 matrix
WEIGHTS = Path(__file__).parent / "weights"  # what ships with the package


class CheckpointError(Exception):
    """A weight file is missing, damaged or of another kind; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """``tensors`` by parameter name (float32 after loading) and the facts ``meta`` of the header."""

    tensors: dict[str, Tensor]
    meta: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = self.meta["config"]
        return config


def save(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any], *, int8: bool = False) -> None:
    """Write ``tensors`` and ``meta`` (must hold ``kind`` and ``config``) to ``path``.

    With ``int8``, every two-dimensional tensor is stored as int8 with one float32 scale a row
    (symmetric, round to nearest): the error of an entry is at most half its row's scale.
    """
    from safetensors.torch import save_file

    stored: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        if int8 and tensor.ndim == 2 and tensor.is_floating_point():
            stored[name], stored[name + SCALE] = quantise(tensor)
        else:
            stored[name] = tensor.clone()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(stored, str(path), {"format": FORMAT, "lmam": json.dumps(dict(meta), sort_keys=True)})


def load(path: Path, kind: str) -> Checkpoint:
    """Read ``path``, which must hold weights of ``kind``; int8 matrices come back as float32.

    Raises:
        CheckpointError: the file is missing, truncated, not ours, or holds another kind.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    meta = read_meta(path)
    if meta.get("kind") != kind:
        raise CheckpointError(f"{path}: holds weights of kind {meta.get('kind')!r}, expected {kind!r}")
    try:
        stored = load_file(str(path))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); fetch it again") from error
    tensors = {n: t for n, t in stored.items() if not n.endswith(SCALE)}
    for name, tensor in tensors.items():
        if tensor.dtype == torch.int8:
            tensors[name] = tensor.float() * stored[name + SCALE].unsqueeze(1)
    return Checkpoint(tensors, meta)


def read_meta(path: Path) -> dict[str, Any]:
    """The facts in the header of ``path``, without reading the tensors.

    Raises:
        CheckpointError: the file is missing, truncated or not ours.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
            size = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
            header = json.loads(file.read(size)) if 0 < size < 100_000_000 else {}
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: no such weight file; 'lmam models list' shows what there is"
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from error
    facts = header.get("__metadata__", {}) if isinstance(header, dict) else {}
    if facts.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a weight file of this program (format {FORMAT!r} expected)")
    end = max((t["data_offsets"][1] for n, t in header.items() if n != "__metadata__"), default=0)
    if path.stat().st_size < 8 + size + end:
        raise CheckpointError(
            f"{path}: truncated ({path.stat().st_size} of {8 + size + end} bytes); fetch it again"
        )
    meta: dict[str, Any] = json.loads(facts["lmam"])
    return meta


def digest(path: Path) -> str:
    """16 digits of the SHA-256 of a weight file's tensors, which other facts in the header leave alone."""
    raw = path.read_bytes()
    return hashlib.sha256(raw[8 + int.from_bytes(raw[:8], "little") :]).hexdigest()[:16]


def quantise(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """``matrix`` ``[R, C]`` as int8 ``[R, C]`` and float32 scales ``[R]`` with ``int8 * scale ~ matrix``."""
    scale = matrix.abs().amax(1).clamp_min(1e-12).float() / 127
    return (matrix.float() / scale.unsqueeze(1)).round().clamp(-127, 127).to(torch.int8), scale
