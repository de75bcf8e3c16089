"""Shows estimates on the terminal as they happen; plain lines where the output is no terminal."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import Any, TextIO

from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from rich.live import Live
from rich.text import Text

from ..channel import Channel
from ..clock import Clock
from ..context import Context, Notices
from ..errors import PublishError
from ..payloads import EstimateV1, Event, HealthV1, SessionV1
from ..terminal import Hand, Said, beside, let_go, standard_output
from ..view import View

PATIENCE = 1.0  # seconds without a sign of life after which a held terminal is left at the end


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
        return ConsoleSink(self, waits=not context.session.live, notices=context.notices)


class ConsoleSink:
    """Writes to ``file`` (default: standard output) in a thread of its own, which may get stuck there: a
    terminal that is held must not hold the graph. While it shows, what is logged goes the same way.

    Args:
        waits: For a file as fast as possible: wait for a slow reader instead of leaving lines out.
        notices: Are told while a terminal is held.
    """

    def __init__(
        self,
        config: Config,
        file: TextIO | None = None,
        *,
        waits: bool = False,
        notices: Notices | None = None,
    ) -> None:
        self._file, self._waits, self._notices = file, waits, notices or Notices()
        self.view = View(config.duration)
        console = _console(file or sys.stdout)
        self._terminal = console.is_terminal
        self.plain = not _can_draw(console) if config.plain is None else config.plain
        self._partials = not self.plain if config.partials is None else config.partials
        self._hand = Hand(self.view)

    @property
    def skipped(self) -> int:
        """How many events were not shown because the terminal was held."""
        return self._hand.skipped

    def say(self, line: str, style: str = "") -> None:
        """Show a line that is no event: beside the estimates on a terminal, else on standard error."""
        if self._terminal and not self._hand.over:
            self._hand.offer(Said(line, style))
        else:
            sys.stderr.write(line + "\n")

    async def run(self, inbox: Channel[Event], clock: Clock) -> None:
        """Raises PublishError where the terminal was closed or the disk behind it is full."""
        if self._file is not None:
            await self._run(inbox, self._file)
            return
        file = standard_output()
        try:
            await self._run(inbox, file)
        except PublishError:
            let_go()
            raise
        finally:
            if file is not sys.stdout and not self._hand.busy:
                with suppress(OSError):
                    file.close()

    async def _run(self, inbox: Channel[Event], file: TextIO) -> None:
        writer = _Lines(file, self.view) if self.plain else _Screen(_console(file), self.view)
        with beside(self.say, self._terminal and sys.stderr.isatty()):
            self._hand.start(writer)
            try:
                await self._show(inbox)
            finally:
                self._hand.finish()
                await self._wait_for_the_end()
                self._notices.set("console", None)
        if isinstance(writer, _Lines) and writer.gone and self._file is None:
            let_go()

    async def _show(self, inbox: Channel[Event]) -> None:
        async for event in inbox:
            if isinstance(event, EstimateV1) and not event.final and not self._partials:
                continue
            while self._waits and self._hand.full:
                await self._hand.progress()
            self._raise()
            self._hand.offer(event)
            held = f"the terminal is held: {self._hand.missed} updates are not shown"
            self._notices.set("console", held if self._hand.missed else None)

    async def _wait_for_the_end(self) -> None:
        while self._hand.busy:
            try:
                async with asyncio.timeout(None if self._waits else PATIENCE):
                    await self._hand.progress()
            except TimeoutError:
                self._hand.leave()
                return
        self._raise()

    def _raise(self) -> None:
        error = self._hand.error
        if isinstance(error, OSError):
            raise PublishError(
                f"console: nothing more can be shown ({error.strerror or error}); the other sinks go on"
            ) from error
        if error is not None:
            raise error


class _Screen:
    """Finals scroll up and stay; below them, what is being said and how the node keeps up."""

    def __init__(self, console: Console, view: View) -> None:
        self._console, self._view = console, view
        self._live = Live(
            console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )

    def open(self) -> None:
        self._live.start()

    def show(self, event: Event) -> None:
        if isinstance(event, SessionV1):
            above: Any = self._view.header() if event.event == "started" else self._view.line(event)
            self._console.print(above)
        elif isinstance(event, EstimateV1) and event.final:
            self._console.print(self._view.entry(event))
        self._live.update(self._view.status(), refresh=True)

    def say(self, said: Said) -> None:
        self._console.print(Text(said.line, said.style))
        self._live.update(self._view.status(), refresh=True)

    def close(self) -> None:
        self._live.stop()


class _Lines:
    """One line a final; health only when something about it is new. A reader that left ends the writing."""

    def __init__(self, file: TextIO, view: View) -> None:
        self._file, self._view = file, view
        self._encoding = getattr(file, "encoding", None) or "utf-8"
        self._said: object = (False, False, {})
        self.gone = False

    def open(self) -> None:
        pass

    def show(self, event: Event) -> None:
        if isinstance(event, HealthV1):
            state = (event.behind, event.paused, event.problems)
            if state == self._said:
                return
            self._said = state
        self._write(self._view.line(event))

    def say(self, said: Said) -> None:
        self._write(said.line)

    def _write(self, line: str) -> None:
        if self.gone:
            return
        try:
            self._file.write(line.encode(self._encoding, "replace").decode(self._encoding) + "\n")
            self._file.flush()
        except BrokenPipeError:
            self.gone = True

    def close(self) -> None:
        pass


def _console(file: TextIO) -> Console:
    return Console(file=file, highlight=False, emoji=False, markup=False)


def _can_draw(console: Console) -> bool:
    """Whether the terminal takes cursor movement, colours and more than ASCII."""
    return console.is_terminal and not console.is_dumb_terminal and not console.options.ascii_only
