"""Whether a file can be written, found out before a long run and not after it."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import ConfigError


def writable(path: Path) -> None:
    """Look whether ``path`` could be written, its folders made if need be; makes and changes nothing.

    Raises:
        ConfigError: it could not; says why.
    """
    trouble = _trouble(path.expanduser())
    if trouble is not None:
        raise ConfigError(f"{path}: cannot be written ({trouble}); choose another path")


def _trouble(path: Path) -> str | None:
    try:
        if path.is_dir():
            return "it is a folder"
        if path.exists():
            return None if os.access(path, os.W_OK) else "permission denied"
        folder = next(p for p in path.absolute().parents if p.exists())
    except OSError as error:  # a part of it is a file, is too long, or may not be looked into
        return error.strerror or str(error)
    if not folder.is_dir():
        return f"{folder} is no folder"
    return None if os.access(folder, os.W_OK | os.X_OK) else f"permission denied in {folder}"
