"""``lmam analyze``: a recording in, the same estimates every time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from ..config import RunConfig, Table, override, parse
from ..context import Session
from ..conversations import Resumed, file_conversation_id, resume
from ..paths import writable
from ..sources.decode import probe
from ..telemetry import peak_memory_mb
from .common import add_mqtt, execute, fail_if_missing, media_table, spare, state_dir


def run(
    media: Path,
    *,
    out: Path | None,
    pace: float | None,
    mqtt: str | None,
    purpose: str,
    settings: Sequence[str],
    json_file: Path | None = None,
) -> dict[str, Any]:
    """Analyse ``media`` and return the figures of the run.

    Raises:
        ConfigError: ``out`` or ``json_file`` cannot be written, or would overwrite the recording or the
            transcript beside it.
    """
    fail_if_missing(media, "media file")
    for written in (out, json_file):
        if written is not None:
            spare(media, written)
            writable(written)
    named = override({}, settings).get("conversation") is not None
    table: Table = {
        "purpose": purpose,
        "publish_text": True,
        "source": [media_table(media, pace)],
        "sink": [{"kind": "console", "duration": probe(media).duration}],
    }
    if pace is None:
        table["segmenter"] = {"partial_every": None}  # nobody waits for provisional estimates of a file
    if out is not None:
        # what an earlier analysis wrote is replaced, whatever the pace; a named conversation goes on
        table["sink"].append({"kind": "jsonl", "path": str(out), "append": named})
    config = add_mqtt(parse(RunConfig, override(table, settings), "lmam analyze"), mqtt)
    conversation = config.conversation or file_conversation_id(media)
    resumed = resume(state_dir(config), conversation) if named else Resumed()
    session = Session(
        conversation=conversation,
        purpose=config.purpose or purpose,
        publish_text=config.publish_text,
        live=pace is not None,
        first_sequence=resumed.first_sequence,
        offset=resumed.offset,
    )
    report = execute(config, session, "lmam analyze", lossless=pace is None, speed=pace or 1.0)
    if out is not None:
        typer.echo(f"log: {out}")
    return {
        "media": str(media),
        "seconds": report.seconds,
        "finals": report.tally.finals,
        "partials": report.tally.partials,
        "peak_memory_mb": peak_memory_mb(),
    }
