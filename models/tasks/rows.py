"""Rows of the other tasks: `models.training.rows` with the key of what a run is and the command that made it.

A command that is started again does only what is missing, and parts of a study can be done on several
machines and their files put end to end.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.training import rows as stored

STOPPED = "stopped; finished rows are kept, the same command goes on with the rest"


def key(facts: Mapping[str, Any]) -> str:
    """Sixteen characters that change with any of ``facts``, whatever their order."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


class Rows:
    """The finished runs of one file; without a path they are kept in memory alone.

    Raises:
        models.training.config.TrainingError: a line is not a row.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows = stored.read(path) if path else []
        self._keys = {row["key"] for row in self.rows}

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def append(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Store ``row`` (with its ``key``) at once, floats rounded to four places; returns what is stored."""
        made: dict[str, Any] = stored.rounded({**row, "commit": stored.commit() or "unknown"})
        self.rows.append(made)
        self._keys.add(made["key"])
        if self.path:
            stored.append(self.path, made)
        return made


def command(module: str, argv: list[str] | None) -> str:
    """The command line that ``module`` was started with."""
    return stored.told(["python", "-m", module, *(sys.argv[1:] if argv is None else argv)])
