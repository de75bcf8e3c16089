"""``lmam export``: the streaming step of a trained model as an ONNX file; `models.export` does the work."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from models.checkpoint import CheckpointError
from models.fusion_weights import DEFAULT

from ..errors import ConfigError


def export(checkpoint: Path | None, out: Path, turns: int | None) -> None:
    """Write ``out`` from ``checkpoint`` (default: the weights that ship) and say how near it is to torch.

    Raises:
        ConfigError: a file that is no conversation model or cannot be written, ``turns`` that do not fit it,
            or packages of the extra ``export`` are missing.
    """
    from models.export import ExportError, load, save_onnx

    try:
        with Console(stderr=True).status("exporting, then checking against torch"):
            loaded = load(checkpoint or DEFAULT, turns)
            apart = save_onnx(loaded.step, out, loaded.facts)
    except (CheckpointError, ExportError) as error:
        raise ConfigError(str(error)) from error
    size = out.stat().st_size
    Console(soft_wrap=True, highlight=False).print(
        f"{out}: {size:,} bytes; logits at most {apart:.1e} from torch's over 40 random utterances",
        markup=False,
    )
