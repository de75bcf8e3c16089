"""``lmam inspect``: a recording in, one page to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from models.whole import whole, write_private

from ..config import RunConfig, Table, override, parse
from ..context import Session
from ..conversations import file_conversation_id, note_report
from ..errors import ConfigError, PublishError
from ..inspection.findings import findings
from ..inspection.onlookers import Onlookers
from ..inspection.page import page
from ..paths import writable
from ..sources.decode import probe
from ..view import minutes
from .common import execute, fail_if_missing, media_table, spare, state_dir


def run(
    media: Path,
    *,
    out: Path | None,
    transcriber: str | None,
    purpose: str,
    settings: Sequence[str],
    force: bool,
) -> Path:
    """Analyse ``media`` and write the report; returns where it is.

    Raises:
        ConfigError: the report cannot be written there, or something stands there and ``force`` is not set.
    """
    fail_if_missing(media, "media file")
    path = out or Path(f"{media.stem}.inspect.html")
    _check(media, path, force)
    info = probe(media)
    table: Table = {
        "purpose": purpose,
        "publish_text": True,
        "source": [media_table(media, None)],
        "segmenter": {"partial_every": None},
        "sink": [{"kind": "console", "duration": info.duration}],
    }
    if transcriber is not None:
        table["transcriber"] = {"kind": transcriber}
    config = parse(RunConfig, override(table, settings), "lmam inspect")
    session = Session(
        conversation=config.conversation or file_conversation_id(media),
        purpose=config.purpose or purpose,
        consent=config.consent,
        exemption=config.exemption,
        publish_text=config.publish_text,
    )
    seen = Onlookers()
    report = execute(config, session, "lmam inspect", lossless=True, watch=seen.watch)
    stopped = [f"stopped at {minutes(seen.sound.end)}: the rest was not read"] if report.interrupted else []
    content = page(findings(seen, media, session, info.duration, stopped)).encode()
    note_report(state_dir(config), session.conversation, path)  # first: a purge must find what is written
    _write(path, content, force)
    typer.echo(f"report: {path} ({len(content) / 1e6:.1f} MB)")
    return path


def _check(media: Path, path: Path, force: bool) -> None:
    spare(media, path)
    writable(path)
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path}: is no ordinary file; choose another path")
    if path.exists() and not force:
        raise ConfigError(f"{path}: is already there; --force replaces it, --out FILE writes another")


def _write(path: Path, content: bytes, force: bool) -> None:
    """All of it or nothing, readable by its owner only: it may show people."""
    try:
        with whole(path) as part:
            write_private(part, content)
            if path.exists() and not force:  # since the run began
                raise PublishError(
                    f"{path}: appeared meanwhile; --force replaces it, --out FILE writes another"
                )
    except OSError as error:
        raise PublishError(f"{path}: the report cannot be written ({error.strerror or error})") from error
