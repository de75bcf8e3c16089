"""What a conversation is called, where it goes on, and how all of it is removed again."""

from __future__ import annotations

import contextlib
import hashlib
import html
import json
import os
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel

from .errors import CaptureError, PublishError
from .outbox import Known, Outbox, glance, outboxes

_LOGS = "conversations.sqlite"  # under the state folder: which logs and reports hold which conversation
_TABLES = ("logs", "reports")
_HEAD = 4096  # bytes of a report in which its mark stands
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"


def new_conversation_id(now: datetime | None = None) -> str:
    """A name nobody else has, that sorts by time and says nothing about people: ``20260131-235959-k3f9``."""
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    return f"{moment:%Y%m%d-%H%M%S}-{''.join(secrets.choice(_LETTERS) for _ in range(4))}"


def file_conversation_id(path: Path) -> str:
    """The same bytes have the same name, wherever they lie: ``file-`` and 12 digits of their SHA-256.

    Raises:
        CaptureError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return f"file-{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"
    except OSError as error:
        raise CaptureError(f"{path}: cannot be read ({error.strerror or error})") from error


@dataclass(frozen=True, slots=True)
class Resumed:
    """Where a conversation goes on: the next number, and seconds since its clock stood at zero."""

    first_sequence: int = 1
    offset: float = 0.0


def resume(state_dir: Path, conversation: str, now: datetime | None = None) -> Resumed:
    """Go on after the last final that an outbox accepted or a log holds: a run may have had only one of them.

    Raises:
        PublishError: an outbox cannot be read.
    """
    known = [k for path in outboxes(state_dir) if (k := glance(path, conversation))]
    known += [k for path in logs(state_dir, conversation) if (k := _logged(path, conversation))]
    if not known:
        return Resumed()
    elapsed = ((now or datetime.now(UTC)) - min(k.started_at for k in known)).total_seconds()
    # a wall clock that was set back must not make time run backwards
    offset = max(elapsed, *(k.last_end for k in known))
    return Resumed(max(k.last_sequence for k in known) + 1, round(offset, 3))


def note_log(state_dir: Path, conversation: str, path: Path) -> None:
    """Remember that ``path`` holds lines of ``conversation``, so that a purge finds them."""
    with _registry(state_dir) as db:
        db.execute("INSERT OR IGNORE INTO logs VALUES (?, ?)", (conversation, str(path.absolute())))


def logs(state_dir: Path, conversation: str) -> list[Path]:
    """The log files that were written for ``conversation``."""
    return _noted(state_dir, "logs", conversation)


def report_mark(conversation: str) -> str:
    """What stands in the head of a report (HTML) to tell whose it is."""
    return f'<meta name="lmam-conversation" content="{html.escape(conversation)}">'


def note_report(state_dir: Path, conversation: str, path: Path) -> None:
    """Remember that ``path`` is a report of ``conversation``, so that a purge finds it."""
    with _registry(state_dir) as db:
        db.execute("INSERT OR IGNORE INTO reports VALUES (?, ?)", (conversation, str(path.absolute())))


def reports(state_dir: Path, conversation: str) -> list[Path]:
    """The reports that were written of ``conversation``."""
    return _noted(state_dir, "reports", conversation)


def discard(path: Path, conversation: str) -> bool:
    """Delete a report, unless something else now stands in its place; whether it was deleted.

    Raises:
        PublishError: it cannot be read or deleted.
    """
    try:
        with path.open("rb") as file:
            if report_mark(conversation).encode() not in file.read(_HEAD):
                return False
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise PublishError(f"{path}: cannot be deleted ({error.strerror or error})") from error
    return True


def strike(path: Path, conversation: str) -> int:
    """Remove the conversation's lines from a log, and the log if nothing else is in it; how many there were.

    Raises:
        PublishError: the file cannot be read or replaced.
    """
    try:
        with path.open("rb") as file:
            lines = file.readlines()
        others = [line for line in lines if not _is_of(line, conversation)]
        if not others:
            path.unlink()
        elif len(others) < len(lines):
            draft = path.with_name(f"{path.name}.purging")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.writelines(others)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        return len(lines) - len(others)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise PublishError(f"{path}: cannot be purged ({error.strerror or error})") from error


@dataclass(slots=True)
class Purged:
    """What was removed, and what could not be: sentences for the operator."""

    removed: list[str] = field(default_factory=list)
    remaining: list[str] = field(default_factory=list)


async def purge(state_dir: Path, conversation: str, sinks: Sequence[BaseModel] = ()) -> Purged:
    """Remove a conversation from logs, reports, outboxes and brokers.

    Args:
        sinks: Configs of mqtt sinks, for brokers whose password is neither in a file nor in the environment.
    """
    done = Purged()
    for path in logs(state_dir, conversation):
        try:
            if count := strike(path, conversation):
                done.removed.append(f"{path}: {count} lines")
        except PublishError as error:
            done.remaining.append(str(error))
    for path in reports(state_dir, conversation):
        try:
            if discard(path, conversation):
                done.removed.append(f"{path}: the report")
        except PublishError as error:
            done.remaining.append(str(error))
    if not done.remaining:
        _forget_files(state_dir, conversation)
    for path in outboxes(state_dir):
        await _purge_outbox(path, conversation, sinks, done)
    return done


async def _purge_outbox(path: Path, conversation: str, sinks: Sequence[BaseModel], done: Purged) -> None:
    try:
        if glance(path, conversation) is None:
            return
        with Outbox(path) as outbox:
            if count := outbox.forget(conversation):
                done.removed.append(f"{path}: {count} messages that were not sent")
            if conversation in outbox.to_clear():
                from .mqtt.purge import clear  # only who has published needs the library

                if cleared := await clear(outbox, conversation, sinks):
                    done.removed.append(cleared)
    except PublishError as error:
        done.remaining.append(f"{error}")


@contextlib.contextmanager
def _registry(state_dir: Path) -> Iterator[sqlite3.Connection]:
    path = state_dir / _LOGS
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with contextlib.closing(sqlite3.connect(path, timeout=5)) as db, db:
            for table in _TABLES:
                db.execute(
                    f"CREATE TABLE IF NOT EXISTS {table}"
                    " (conversation TEXT, path TEXT, PRIMARY KEY (conversation, path))"
                )
            yield db
    except (sqlite3.Error, OSError) as error:
        raise PublishError(
            f"{path}: cannot be used ({error}); check its permissions, or move it away"
        ) from error


def _noted(state_dir: Path, table: str, conversation: str) -> list[Path]:
    if not (state_dir / _LOGS).exists():
        return []
    with _registry(state_dir) as db:
        rows = db.execute(f"SELECT path FROM {table} WHERE conversation = ? ORDER BY path", (conversation,))
        return [Path(row[0]) for row in rows]


def _forget_files(state_dir: Path, conversation: str) -> None:
    if (state_dir / _LOGS).exists():
        with _registry(state_dir) as db:
            for table in _TABLES:
                db.execute(f"DELETE FROM {table} WHERE conversation = ?", (conversation,))


def _is_of(line: bytes, conversation: str) -> bool:
    try:
        body = json.loads(line)
    except ValueError:  # the torn last line of a killed process: nobody can say whose it is
        return conversation.encode() in line
    return isinstance(body, dict) and body.get("conversation") == conversation


def _logged(path: Path, conversation: str) -> Known | None:
    """What a log tells of a conversation, from its finals."""
    started, sequence, end = None, 0, 0.0
    try:
        with path.open("rb") as file:
            for line in file:
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    body = json.loads(line)
                    if body["conversation"] == conversation and body["sequence"] is not None:
                        at = datetime.fromisoformat(body["captured_at"]).timestamp() - body["end"]
                        started = at if started is None else min(started, at)
                        sequence, end = max(sequence, body["sequence"]), max(end, body["end"])
    except OSError:
        return None  # moved or deleted by its owner
    if started is None:
        return None
    return Known(conversation, datetime.fromtimestamp(started, UTC), sequence, end, "other")
