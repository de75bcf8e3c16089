"""``lmam purge``: a conversation, removed everywhere it was kept."""

from __future__ import annotations

import asyncio
from pathlib import Path

import platformdirs
import typer
from pydantic import BaseModel

from ..config import plugin
from ..conversations import purge
from ..errors import PublishError


def run(conversation: str, mqtt: str | None, state_dir: Path | None) -> None:
    sinks: list[BaseModel] = []
    if mqtt is not None:
        sinks.append(plugin("streamer.sinks", {"kind": "mqtt", "url": mqtt}, "--mqtt"))
    done = asyncio.run(purge(state_dir or platformdirs.user_state_path("lmam"), conversation, sinks))
    for line in done.removed:
        typer.echo(f"removed  {line}")
    if not done.removed and not done.remaining:
        typer.echo(f"nothing is kept of {conversation}")
    if done.remaining:
        raise PublishError("not removed yet:\n" + "\n".join(f"  {line}" for line in done.remaining))
