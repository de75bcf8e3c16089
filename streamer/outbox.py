"""A queue on disk for what must not be lost: appended before it is sent, deleted once it is acknowledged.

One SQLite file (WAL) a broker and node. What ``append`` has accepted outlives the process, however that ends;
`sync` makes it outlive a power cut, too, and waits for the disk (10 ms on a busy one; everything else takes
less than 1 ms, save a checkpoint every few hundred messages). An acknowledgement that gets lost only repeats
a message, which its ``id`` makes harmless.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from .errors import PublishError

R = TypeVar("R")
FOLDER = "outbox"  # under the state folder
_SCHEMA = """
CREATE TABLE IF NOT EXISTS waiting (
    number INTEGER PRIMARY KEY AUTOINCREMENT, conversation TEXT NOT NULL, kind TEXT NOT NULL,
    payload BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS waiting_conversation ON waiting (conversation);
CREATE TABLE IF NOT EXISTS conversations (
    name TEXT PRIMARY KEY, started_at TEXT NOT NULL, last_sequence INTEGER NOT NULL DEFAULT 0,
    last_end REAL NOT NULL DEFAULT 0, purpose TEXT NOT NULL, retained INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
NOT_RETAINED, RETAINED, TO_CLEAR = 0, 1, 2  # what the broker holds of a conversation's state


@dataclass(frozen=True, slots=True)
class Waiting:
    """One message that the broker has not acknowledged. ``kind`` is the topic's last part."""

    number: int
    conversation: str
    kind: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Known:
    """What an outbox remembers of a conversation after everything was delivered. ``last_end``: seconds."""

    name: str
    started_at: datetime
    last_sequence: int
    last_end: float
    purpose: str


class InUseError(PublishError):
    """Another process has the outbox."""


class Outbox:
    """First in, first out; one process at a time.

    Args:
        path: The database; made with its folder, readable by its owner only.

    Raises:
        InUseError: another process has it.
        PublishError: the file cannot be used (every method raises this).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _lock(path)
        except OSError as error:
            raise PublishError(f"{path}: the outbox cannot be opened ({error.strerror or error})") from error
        try:
            self._db = _open(path)
            self._do(lambda: self._db.executescript(_SCHEMA))
        except (sqlite3.Error, OSError) as error:
            os.close(self._lock)
            raise PublishError(_broken(path, error)) from error
        except PublishError:
            self.close()
            raise

    def close(self) -> None:
        self._db.close()
        os.close(self._lock)

    def __enter__(self) -> Outbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(
        self, conversation: str, kind: str, payload: bytes, *, sequence: int | None = None, end: float = 0.0
    ) -> int:
        """Keep one message, from here on safe from our end. ``end``: seconds on the conversation clock."""

        def add() -> int:
            if sequence is not None:
                self._db.execute(
                    "UPDATE conversations SET last_sequence = max(last_sequence, ?),"
                    " last_end = max(last_end, ?) WHERE name = ?",
                    (sequence, end, conversation),
                )
            row = self._db.execute(
                "INSERT INTO waiting (conversation, kind, payload) VALUES (?, ?, ?)",
                (conversation, kind, payload),
            )
            return int(row.lastrowid or 0)

        return self._write(add)

    def peek(self, limit: int) -> list[Waiting]:
        """The oldest ``limit`` messages, in the order of their appending."""
        rows = self._all(
            "SELECT number, conversation, kind, payload FROM waiting ORDER BY number LIMIT ?", limit
        )
        return [Waiting(*row) for row in rows]

    def acknowledge(self, numbers: Sequence[int]) -> None:
        """The broker has these: delete them."""
        rows = [(n,) for n in numbers]
        self._write(lambda: self._db.executemany("DELETE FROM waiting WHERE number = ?", rows))

    def sync(self) -> None:
        """Wait until all that was appended is on the disk itself; may be called from any thread."""
        log = self.path.with_name(f"{self.path.name}-wal")
        try:
            with log.open("rb") as file:
                os.fsync(file.fileno())
        except FileNotFoundError:
            return  # all of it is in the database, which sqlite syncs by itself
        except OSError as error:
            raise PublishError(_broken(self.path, error)) from error

    def __len__(self) -> int:
        return int(self._all("SELECT count(*) FROM waiting")[0][0])

    def bytes_waiting(self) -> int:
        """Bytes of payload that wait."""
        return int(self._all("SELECT coalesce(sum(length(payload)), 0) FROM waiting")[0][0])

    def begin(self, conversation: str, started_at: datetime, purpose: str) -> None:
        """Remember when the conversation's clock stood at zero; a resumed one keeps its own start."""
        self._write(
            lambda: self._db.execute(
                "INSERT INTO conversations (name, started_at, purpose) VALUES (?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET purpose = excluded.purpose",
                (conversation, started_at.isoformat(), purpose),
            )
        )

    def known(self, conversation: str) -> Known | None:
        return self._do(lambda: _known(self._db, conversation))

    def last_sequence(self, conversation: str) -> int:
        """The highest sequence number ever appended; 0 where there is none."""
        known = self.known(conversation)
        return known.last_sequence if known else 0

    def started_at(self, conversation: str) -> datetime | None:
        known = self.known(conversation)
        return known.started_at if known else None

    def forget(self, conversation: str) -> int:
        """Overwrite and delete the conversation's messages; numbers stay. How many were deleted."""

        def delete() -> int:
            gone = self._db.execute("DELETE FROM waiting WHERE conversation = ?", (conversation,))
            self._db.execute(
                "UPDATE conversations SET retained = ? WHERE name = ? AND retained = ?",
                (TO_CLEAR, conversation, RETAINED),
            )
            return gone.rowcount

        gone = self._write(delete)
        self._all("PRAGMA wal_checkpoint(TRUNCATE)")  # older copies live in the log, too
        return gone

    def retain(self, conversation: str, state: int) -> None:
        """What the broker holds: NOT_RETAINED, RETAINED or TO_CLEAR."""
        self._write(
            lambda: self._db.execute(
                "UPDATE conversations SET retained = ? WHERE name = ?", (state, conversation)
            )
        )

    def to_clear(self) -> list[str]:
        """Conversations whose retained state at the broker is still to be removed."""
        rows = self._all("SELECT name FROM conversations WHERE retained = ? ORDER BY name", TO_CLEAR)
        return [row[0] for row in rows]

    def identity(self) -> str:
        """Twelve random characters, made once: names this outbox to the broker, and nobody else."""
        made = uuid.uuid4().hex[:12]
        self._write(
            lambda: self._db.execute(
                "INSERT OR IGNORE INTO facts (name, value) VALUES ('identity', ?)", (made,)
            )
        )
        return self.recall("identity") or made

    def remember(self, name: str, value: str) -> None:
        self._write(lambda: self._db.execute("REPLACE INTO facts (name, value) VALUES (?, ?)", (name, value)))

    def recall(self, name: str) -> str | None:
        rows = self._all("SELECT value FROM facts WHERE name = ?", name)
        return str(rows[0][0]) if rows else None

    def _all(self, query: str, *values: int | str) -> list[Any]:
        return self._do(lambda: self._db.execute(query, values).fetchall())

    def _write(self, action: Callable[[], R]) -> R:
        def transaction() -> R:
            self._db.execute("BEGIN IMMEDIATE")
            with self._db:  # commits, or rolls back
                return action()

        return self._do(transaction)

    def _do(self, action: Callable[[], R]) -> R:
        try:
            return action()
        except sqlite3.Error as error:
            raise PublishError(_broken(self.path, error)) from error


def glance(path: Path, conversation: str) -> Known | None:
    """What an outbox knows of ``conversation``, without locking it: a running process may have it."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as db:
            return _known(db, conversation)
    except sqlite3.Error as error:
        raise PublishError(_broken(path, error)) from error


def outboxes(state_dir: Path) -> Iterator[Path]:
    """Every outbox under the state folder."""
    yield from sorted((state_dir / FOLDER).glob("*.sqlite"))


def _known(db: sqlite3.Connection, conversation: str) -> Known | None:
    row = db.execute(
        "SELECT name, started_at, last_sequence, last_end, purpose FROM conversations WHERE name = ?",
        (conversation,),
    ).fetchone()
    return Known(row[0], datetime.fromisoformat(row[1]), *row[2:]) if row else None


def _open(path: Path) -> sqlite3.Connection:
    os.close(
        os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    )  # sqlite3 has no argument for the mode
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    try:
        db.execute("PRAGMA journal_mode = WAL").fetchall()
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA secure_delete = ON").fetchall()  # deleted words are overwritten, not just unlinked
    except sqlite3.Error:
        db.close()
        raise
    return db


def _lock(path: Path) -> int:
    """Hold ``path``'s lock file; the system lets go of it when the process ends, however it ends."""
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise InUseError(
            f"{path}: in use by another process (pid {holder}), which publishes as the same node to the same"
            " broker; stop it, or give this one a node name or a state folder of its own"
        ) from None
    except OSError:
        os.close(lock)
        raise
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def _broken(path: Path, error: Exception) -> str:
    if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
        return f"{path}: the disk is full; free some space, nothing that was already kept is lost"
    return f"{path}: the outbox cannot be used ({error}); check its permissions, or move it away"
