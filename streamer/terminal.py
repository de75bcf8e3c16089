"""A terminal that may be held (Ctrl-S) or gone: one thread touches it, and nobody waits for that thread."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from typing import Protocol, TextIO

from .payloads import EstimateV1, Event, kept
from .view import View

ROOM = 256  # what waits for a held terminal; from there on the oldest is not shown
LOUD = {logging.WARNING: "yellow", logging.ERROR: "red", logging.CRITICAL: "bold red"}


@dataclass(frozen=True, slots=True)
class Said:
    """A line that is no event."""

    line: str
    style: str


class Writer(Protocol):
    """What draws; only ever called by the thread."""

    def open(self) -> None: ...
    def show(self, event: Event) -> None: ...
    def say(self, said: Said) -> None: ...
    def close(self) -> None: ...


class Hand:
    """The one thread that touches the terminal and the view; the loop only puts things down for it."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._items: deque[Event | Said] = deque()
        self._change = threading.Condition()
        self._moved = asyncio.Event()
        self._thread: threading.Thread | None = None
        self.error: Exception | None = None
        self.over = False
        self.skipped = 0  # events that were not shown
        self.missed = 0  # of these, those since the thread took something
        self._missed_finals = 0

    @property
    def busy(self) -> bool:
        thread = self._thread
        return thread is not None and thread.is_alive()

    @property
    def full(self) -> bool:
        return len(self._items) >= ROOM and self.error is None

    def start(self, writer: Writer) -> None:
        loop = asyncio.get_running_loop()

        def tell() -> None:
            with suppress(RuntimeError):  # the loop has been closed: nobody waits any more
                loop.call_soon_threadsafe(self._moved.set)

        self._thread = threading.Thread(
            target=self._work, args=(writer, tell), name="console", daemon=True
        )  # a daemon: a held terminal does not keep the process from ending, either
        self._thread.start()

    async def progress(self) -> None:
        """Until the thread has done one thing more, or has ended."""
        self._moved.clear()
        if self.busy:
            await self._moved.wait()

    def offer(self, item: Event | Said) -> None:
        """Put ``item`` down; where there is no room, something older is not shown."""
        with self._change:
            if len(self._items) >= ROOM:
                self._drop()
            self._items.append(item)
            self._change.notify()

    def finish(self) -> None:
        with self._change:
            self.over = True
            self._change.notify()

    def leave(self) -> None:
        """Nobody waits for a held terminal any more: what has not been shown will not be."""
        with self._change:
            self.skipped += len(self._items)
            self._items.clear()

    def _drop(self) -> None:
        """The oldest provisional thing; without any the oldest final; only then what the session told."""
        expendable = (i for i, e in enumerate(self._items) if isinstance(e, Said) or not kept(e))
        finals = (i for i, e in enumerate(self._items) if isinstance(e, EstimateV1))
        at = next(chain(expendable, finals), 0)
        gone = self._items[at]
        del self._items[at]
        self.skipped += 1
        self.missed += 1
        self._missed_finals += isinstance(gone, EstimateV1) and gone.final

    def _next(self) -> tuple[Event | Said, int, int] | None:
        with self._change:
            while not self._items:
                if self.over:
                    return None
                self._change.wait()
            missed, finals, self.missed, self._missed_finals = self.missed, self._missed_finals, 0, 0
            return self._items.popleft(), missed, finals

    def _work(self, writer: Writer, tell: Callable[[], None]) -> None:
        try:
            try:
                writer.open()
                while (taken := self._next()) is not None:
                    self._do(writer, *taken)
                    tell()
            finally:
                writer.close()
        except Exception as error:  # of the terminal, or a mistake: the loop raises it
            self.error = error
        finally:
            self._thread = None
            tell()

    def _do(self, writer: Writer, item: Event | Said, missed: int, finals: int) -> None:
        if missed:
            self._view.skip(missed, finals)
            writer.say(Said(f"the terminal was held: {missed} updates were not shown", "yellow"))
        if isinstance(item, Said):
            writer.say(item)
        else:
            self._view.update(item)
            writer.show(item)


class _Beside(logging.Handler):
    """Log records as lines of the console."""

    def __init__(self, say: Callable[[str, str], None]) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(self.format(record), LOUD.get(record.levelno, "dim"))


@contextmanager
def beside(say: Callable[[str, str], None], same: bool) -> Iterator[None]:
    """While the console shows, log lines go through it, if they would go to the ``same`` terminal anyway:
    written past it, they would garble what is drawn there, and wait for it while it is held."""
    root = logging.getLogger()
    mine = [h for h in root.handlers if same and type(h) is logging.StreamHandler and h.stream is sys.stderr]
    made: list[_Beside] = []
    for old in mine:
        new = _Beside(say)
        new.setFormatter(old.formatter)
        new.setLevel(old.level)
        root.removeHandler(old)
        root.addHandler(new)
        made.append(new)
    try:
        yield
    finally:
        for old, new in zip(mine, made, strict=True):
            root.removeHandler(new)
            root.addHandler(old)


def standard_output() -> TextIO:
    """Standard output by a handle of its own: a thread that is stuck in it would break Python's exit."""
    try:
        handle = os.dup(sys.stdout.fileno())
    except (OSError, ValueError):  # it is none of the system's files
        return sys.stdout
    return open(handle, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors)


def let_go() -> None:
    """Nobody reads standard output any more; or Python complains once more when it exits."""
    with suppress(OSError, ValueError), open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())
