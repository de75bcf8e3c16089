"""Shows estimates on the terminal as they happen; plain lines where the output is no terminal."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any, TextIO

from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from rich.live import Live

from ..channel import Channel
from ..clock import Clock
from ..context import Context
from ..errors import PublishError
from ..payloads import EstimateV1, Event, HealthV1, SessionV1
from ..view import View


class Config(BaseModel):
    """What to show, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    plain: bool | None = Field(
        None, description="plain lines, one an estimate; default: where the output is no terminal"
    )
    partials: bool | None = Field(None, description="provisional estimates, too; default: on a terminal")
    duration: float | None = Field(
        None, gt=0, description="seconds of the file that is read, for a progress bar"
    )

    def build(self, context: Context) -> ConsoleSink:
        return ConsoleSink(self)


class ConsoleSink:
    """Writes to ``file`` (default: standard output) in a thread: a held terminal must not hold the graph."""

    def __init__(self, config: Config, file: TextIO | None = None) -> None:
        self._config, self._file = config, file or sys.stdout
        self.view = View(config.duration)
        console = Console(file=self._file, highlight=False, emoji=False, markup=False)
        self._console = console
        self.plain = not _can_draw(console) if config.plain is None else config.plain
        self._partials = not self.plain if config.partials is None else config.partials

    async def run(self, inbox: Channel[Event], clock: Clock) -> None:
        """Raises PublishError where the terminal was closed or the disk behind it is full."""
        try:
            await self._show(inbox)
        except OSError as error:
            _let_go(self._file)
            raise PublishError(
                f"console: nothing more can be shown ({error.strerror or error}); the other sinks go on"
            ) from error

    async def _show(self, inbox: Channel[Event]) -> None:
        writer = _Lines(self._file, self.view) if self.plain else _Screen(self._console, self.view)
        try:
            async for event in inbox:
                if isinstance(event, EstimateV1) and not event.final and not self._partials:
                    continue
                self.view.update(event)
                await asyncio.to_thread(writer.show, event)
        finally:
            writer.close()


class _Screen:
    """Finals scroll up and stay; below them, what is being said and how the node keeps up."""

    def __init__(self, console: Console, view: View) -> None:
        self._console, self._view = console, view
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()

    def show(self, event: Event) -> None:
        if isinstance(event, SessionV1):
            above: Any = self._view.header() if event.event == "started" else self._view.line(event)
            self._console.print(above)
        elif isinstance(event, EstimateV1) and event.final:
            self._console.print(self._view.entry(event))
        self._live.update(self._view.status(), refresh=True)

    def close(self) -> None:
        self._live.stop()


class _Lines:
    """One line a final; health only when something about it is new. A reader that left ends the writing."""

    def __init__(self, file: TextIO, view: View) -> None:
        self._file, self._view = file, view
        self._encoding = getattr(file, "encoding", None) or "utf-8"
        self._said: object = (False, False, {})
        self._gone = False

    def show(self, event: Event) -> None:
        if isinstance(event, HealthV1):
            state = (event.behind, event.paused, event.problems)
            if state == self._said:
                return
            self._said = state
        self._write(self._view.line(event))

    def _write(self, line: str) -> None:
        if self._gone:
            return
        try:
            self._file.write(line.encode(self._encoding, "replace").decode(self._encoding) + "\n")
            self._file.flush()
        except BrokenPipeError:
            self._gone = True
            _let_go(self._file)

    def close(self) -> None:
        pass


def _let_go(file: TextIO) -> None:
    if file is sys.stdout:  # or Python complains once more when it exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())


def _can_draw(console: Console) -> bool:
    """Whether the terminal takes cursor movement, colours and more than ASCII."""
    return console.is_terminal and not console.is_dumb_terminal and not console.options.ascii_only
