"""``lmam doctor``: the machine, part by part."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console

from ..doctor import checks, passed, render, to_json
from .common import usual_state_dir, write_json


def run(mqtt: str | None, json_file: Path | None) -> None:
    found = checks(usual_state_dir(), mqtt)
    Console().print(render(found))
    write_json(json_file, to_json(found))
    if not passed(found):
        raise typer.Exit(1)
