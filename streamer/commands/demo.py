"""``lmam demo``: the main job on the bundled sample, with a broker of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from ..config import RunConfig, Table, override, parse
from ..context import Session
from ..conversations import new_conversation_id
from ..sources.decode import probe
from .common import add_mqtt, execute, media_table, state_dir

SAMPLE = Path(__file__).parents[1] / "sample" / "sample.mp4"
BANNER = """LMAM Streamer demo: two synthetic speakers whose mood turns, and a face while they are glad.
Estimates are observed expression: an observer's reading, never what anyone feels.
Words from {words}; weights for research only (models/weights/LICENSE).
"""


def run(*, transcribe: bool, mqtt: str | None, pace: float | None, settings: Sequence[str]) -> None:
    table: Table = {
        "purpose": "demo",
        "publish_text": True,
        "source": [media_table(SAMPLE, pace)],
        "transcriber": {"kind": "auto", "media": None} if transcribe else {"kind": "sidecar"},
        "sink": [
            {"kind": "console", "duration": probe(SAMPLE).duration},
            {"kind": "mqtt", "broker": "embedded"},
        ],
    }
    if pace is None:
        table["segmenter"] = {"partial_every": None}
    config = add_mqtt(parse(RunConfig, override(table, settings), "lmam demo"), mqtt)
    conversation = f"demo-{new_conversation_id()}"
    log = state_dir(config) / "logs" / f"{conversation}.jsonl"
    config = config.model_copy(update={"sink": (*config.sink, {"kind": "jsonl", "path": str(log)})})
    session = Session(
        conversation=conversation,
        purpose=config.purpose or "demo",
        publish_text=config.publish_text,
        live=pace is not None,
    )
    words = (
        "the speech recogniser" if transcribe else f"the sidecar transcript {SAMPLE.with_suffix('.vtt').name}"
    )
    typer.echo(BANNER.format(words=words))
    execute(config, session, "lmam demo", lossless=pace is None, speed=pace or 1.0)
    typer.echo(f"log: {log}")
