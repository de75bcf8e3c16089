"""``lmam purge``: a conversation, removed everywhere it was kept."""

from __future__ import annotations

import asyncio
from pathlib import Path

import typer
from pydantic import BaseModel

from ..config import plugin
from ..conversations import purge
from ..errors import PublishError
from .common import usual_state_dir


def run(conversation: str, mqtt: str | None, state_dir: Path | None) -> None:
    sinks: list[BaseModel] = []
    if mqtt is not None:
        sinks.append(plugin("streamer.sinks", {"kind": "mqtt", "url": mqtt}, "--mqtt"))
    folder = state_dir or usual_state_dir()
    done = asyncio.run(purge(folder, conversation, sinks))
    for line in done.removed:
        typer.echo(f"removed  {line}")
    if not done.removed and not done.remaining:
        typer.echo(f"nothing is kept of {conversation} in {folder} (--state-dir names another folder)")
    if done.remaining:
        raise PublishError("not removed yet:\n" + "\n".join(f"  {line}" for line in done.remaining))
