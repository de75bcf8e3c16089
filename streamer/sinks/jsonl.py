"""The canonical log: one estimate a line, as it was published."""

from __future__ import annotations

import contextlib
import os
from io import FileIO
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from ..channel import Channel
from ..clock import Clock
from ..context import Context
from ..conversations import logs, note_log, strike
from ..errors import PublishError
from ..paths import writable
from ..payloads import EstimateV1, Event, SessionV1
from ..redact import publishable


class Config(BaseModel):
    """Where to write, and what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path = Field(description="the file; {conversation} stands for the conversation's id")
    partials: bool = Field(False, description="provisional estimates, too")
    append: bool | None = Field(
        None,
        description="keep what it holds; default: no for a file (unless a conversation goes on), else yes",
    )

    def file(self, conversation: str) -> Path:
        """Where the lines of ``conversation`` go."""
        return Path(str(self.path).replace("{conversation}", conversation)).expanduser()

    def check(self, context: Context) -> None:
        """Raises ConfigError where the file cannot be written; makes nothing."""
        writable(self.file(context.session.conversation))

    def build(self, context: Context) -> JsonlSink:
        """Open the log.

        Raises:
            PublishError: the file or its folder cannot be written.
        """
        return JsonlSink(self, context)


class JsonlSink:
    """Each line reaches the system before the next is written; ``path`` is the file.

    A file or folder that it makes is its owner's only. The event `purged` removes the conversation's lines.
    """

    def __init__(self, config: Config, context: Context) -> None:
        conversation = context.session.conversation
        self.path = config.file(conversation)
        self._context, self._partials = context, config.partials
        goes_on = context.session.live or context.session.first_sequence > 1
        keep = goes_on if config.append is None else config.append
        note_log(
            context.state_dir, conversation, self.path
        )  # first: what is written must be found by a purge
        self._file = _open(self.path, keep=keep)

    async def run(self, inbox: Channel[Event], clock: Clock) -> None:
        try:
            async for event in inbox:
                if isinstance(event, SessionV1) and event.event == "purged":
                    self._purge(event.conversation)
                elif isinstance(event, EstimateV1) and (event.final or self._partials):
                    self._write(publishable(event, self._context.session).to_json())
        finally:
            self._file.close()

    def _write(self, line: str) -> None:
        rest, whole = f"{line}\n".encode(), os.fstat(self._file.fileno()).st_size
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            with contextlib.suppress(OSError):  # half a line would spoil the next one
                self._file.truncate(whole)
            raise PublishError(
                f"{self.path}: the log cannot be written ({error.strerror or error}); free some space or"
                " choose another path, what was written so far is kept"
            ) from error

    def _purge(self, conversation: str) -> None:
        self._file.close()
        for path in {self.path, *logs(self._context.state_dir, conversation)}:  # earlier runs', too
            strike(path, conversation)
        self._file = _open(self.path, keep=True)


def _open(path: Path, *, keep: bool) -> FileIO:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_APPEND if keep else os.O_TRUNC)
        return FileIO(
            os.open(path, flags, 0o600), "ab" if keep else "wb"
        )  # unbuffered: a line is out at once
    except OSError as error:
        raise PublishError(f"{path}: the log cannot be opened ({error.strerror or error})") from error
