"""What the commands that run a graph share: from a configuration to a report."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import platformdirs
import typer

from ..assemble import build, build_sinks, build_sources, check, choose_device, info, load_networks
from ..config import RunConfig, Table, override
from ..context import Context, Session
from ..errors import ConfigError, StreamerError
from ..launch import Report, Tally, launch, summary
from ..pipeline import Pipeline
from ..seams import Sink

log = logging.getLogger(__name__)


def state_dir(config: RunConfig) -> Path:
    """Where outboxes and logs are kept, made if need be.

    Raises:
        ConfigError: it cannot be made.
    """
    folder = config.state_dir or platformdirs.user_state_path("lmam")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(f"state_dir {folder}: cannot be made ({error.strerror}); set state_dir") from error
    return folder


def usual_state_dir() -> Path:
    """Where runs keep outboxes and logs whose configuration does not say: as the environment does, or the
    user's state folder."""
    named = override({}, ()).get("state_dir")
    return platformdirs.user_state_path("lmam") if named is None else Path(str(named))


def add_mqtt(config: RunConfig, url: str | None) -> RunConfig:
    """``config`` with ``--mqtt URL``: the first MQTT sink's address, or a sink of its own."""
    if url is None:
        return config
    tables: list[Table] = [dict(t) for t in config.sink]
    mqtt = next((t for t in tables if t.get("kind") == "mqtt"), None)
    if mqtt is None:
        tables.append({"kind": "mqtt", "url": url})
    else:
        mqtt.pop("broker", None)
        mqtt["url"] = url
    return config.model_copy(update={"sink": tuple(tables)})


def execute(
    config: RunConfig,
    session: Session,
    where: str,
    *,
    lossless: bool,
    speed: float = 1.0,
    sinks: Sequence[Sink] = (),
    show: bool = True,
    watch: Callable[[Pipeline], Pipeline] | None = None,
) -> Report:
    """Build the graph of ``config`` and run it to its end; ``sinks`` come in addition to the configured ones,
    and ``watch`` may put onlookers beside its stages.

    Raises:
        StreamerError: a part could not be built, or every source failed.
    """
    device = choose_device(config.device)
    context = Context(session=session, state_dir=state_dir(config), device=device)
    check(config, context, where)
    sources = build_sources(config, context, where)
    networks = load_networks(config.weights, device)
    tracks = frozenset[str]().union(*(s.tracks for s in sources))
    tally = Tally()
    pipeline = build(config, context, networks, sources, (), where)
    voices = pipeline.speakers is not None
    context = replace(context, info=info(config, networks, pipeline.transcriber.name, tracks, voices))
    outlets = [*build_sinks(config, context, where), *sinks, tally]
    pipeline = replace(pipeline, sinks=outlets)
    if watch is not None:
        pipeline = watch(pipeline)
    report = asyncio.run(launch(pipeline, context, tally, lossless=lossless, speed=speed))
    if show:
        typer.echo("\n".join(summary(report)))
    for failure in report.outcome.failures[1:]:  # the first is raised
        log.error("%s", failure)
    if report.outcome.failures:
        raise report.outcome.failures[0]
    return report


def media_table(path: Path, pace: float | None) -> Table:
    """The source for a file: as fast as possible (``pace`` None), or in pieces as small as a microphone's."""
    if pace is None:
        return {"kind": "media", "path": str(path), "pace": "fast"}
    return {"kind": "media", "path": str(path), "pace": 1.0, "chunk": 0.032}


def fail_if_missing(path: Path, what: str) -> Path:
    if not path.is_file():
        raise StreamerError(f"{path}: no such {what}")
    return path


def spare(media: Path, written: Path) -> None:
    """Raises ConfigError where ``written`` is ``media`` or the transcript beside it."""
    if not written.exists():
        return
    for read in (media, *(media.with_suffix(suffix) for suffix in (".vtt", ".srt"))):
        if read.exists() and written.samefile(read):
            raise ConfigError(f"{written}: is what is read and would be overwritten; write to another file")


def write_json(path: Path | None, value: Any) -> None:
    """Write ``value`` to ``path`` if there is one.

    Raises:
        StreamerError: the file cannot be written.
    """
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise StreamerError(f"{path}: cannot be written ({error.strerror})") from error
