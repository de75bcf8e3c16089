"""``lmam export``: options in, a sentence out; `models.export` does the work."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from models.checkpoint import CheckpointError
from models.export import ExportError, write
from models.fusion_weights import DEFAULT

from ..errors import ConfigError


def run(checkpoint: Path | None, out: Path, turns: int | None) -> None:
    """Write the step of ``checkpoint`` (default: the model that ships) to ``out``.

    Raises:
        ConfigError: the file, the model or an option cannot be used, or a package is missing.
    """
    try:
        with Console(stderr=True).status("exporting, then checking against torch"):
            said = write(checkpoint or DEFAULT, out, turns)
    except (CheckpointError, ExportError) as error:
        raise ConfigError(str(error)) from error
    Console(soft_wrap=True).print(said, markup=False)
