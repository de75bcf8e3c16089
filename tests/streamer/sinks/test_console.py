from __future__ import annotations

import asyncio
import errno
import io
import logging
import sys
import threading
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from streamer.channel import Channel, Overflow
from streamer.clock import ManualClock, settle
from streamer.context import Context, Notices, Session
from streamer.errors import PublishError
from streamer.payloads import Event, kept
from streamer.sinks import console
from streamer.sinks.console import Config, ConsoleSink
from streamer.terminal import ROOM
from tests.fakes import Inbox
from tests.messages import estimate, session
from tests.streamer.test_view import health


class Terminal(io.StringIO):
    """A terminal of 100 columns that keeps what is written."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return True


class Pipe(io.TextIOWrapper):
    """A pipe into bytes, of any encoding."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding=encoding)


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")


async def show(file: Any, events: list[Event], **options: Any) -> ConsoleSink:
    sink = ConsoleSink(Config(**options), file)
    await sink.run(cast("Channel[Event]", Inbox(events)), ManualClock())
    return sink


async def test_a_pipe_gets_one_plain_line_a_final() -> None:
    pipe = Pipe()
    await show(pipe, [estimate(1, final=False), estimate(1), estimate(2, text="Bye.")])
    lines = pipe.bytes.getvalue().decode().splitlines()
    assert len(lines) == 2
    assert lines[1].endswith('"Bye."')
    assert not any("\x1b" in line for line in lines)


async def test_partials_are_lines_too_if_asked_for() -> None:
    pipe = Pipe()
    await show(pipe, [estimate(1, final=False, text="Hello")], partials=True)
    assert "(provisional)" in pipe.bytes.getvalue().decode()


async def test_an_encoding_without_the_signs_of_a_text_replaces_them() -> None:
    pipe = Pipe("ascii")
    await show(pipe, [estimate(1, text="Grüße")])
    assert '"Gr??e"' in pipe.bytes.getvalue().decode("ascii")


async def test_health_is_said_when_something_about_it_is_new() -> None:
    pipe = Pipe()
    wrong = health(problems={"mqtt": "away"})
    await show(pipe, [health(), health(), wrong, wrong, health(lag=0.4), health()])
    lines = pipe.bytes.getvalue().decode().splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("mqtt: away")
    assert lines[1].endswith("512 MB")


async def test_a_terminal_keeps_finals_and_takes_back_what_was_provisional() -> None:
    terminal = Terminal()
    sink = await show(
        terminal,
        [session(), estimate(1, final=False, text="Hello"), estimate(1), health(), session("stopped")],
    )
    written = terminal.getvalue()
    assert not sink.plain
    assert "Hello there." in written
    assert "Hello ..." in written
    assert "\x1b[2K" in written  # the lines below the finals are erased and drawn again
    assert written.count("observed expression") == 1


async def test_the_cursor_is_shown_again_whatever_happens() -> None:
    loop, drawn = asyncio.get_running_loop(), asyncio.Event()

    class Watched(Terminal):
        def write(self, text: str) -> int:
            if "Hello there." in text:
                loop.call_soon_threadsafe(drawn.set)
            return super().write(text)

    terminal = Watched()
    inbox: Channel[Event] = Channel("console", 4)
    sink = ConsoleSink(Config(), terminal)
    task = asyncio.create_task(sink.run(inbox, ManualClock()))
    await inbox.send(estimate(1))
    await drawn.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    written = terminal.getvalue()
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")


@pytest.mark.parametrize(
    ("encoding", "term"), [("ascii", "xterm"), ("utf-8", "dumb"), ("iso8859-1", "xterm")]
)
def test_a_terminal_that_cannot_draw_gets_plain_lines(
    encoding: str, term: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    assert ConsoleSink(Config(), Terminal(encoding)).plain


def test_plain_can_be_asked_for_on_a_terminal() -> None:
    assert ConsoleSink(Config(plain=True), Terminal()).plain


async def test_a_reader_that_left_stops_the_lines_and_nothing_else() -> None:
    class Closed(Pipe):
        writes = 0

        def write(self, text: str) -> int:
            self.writes += 1
            raise BrokenPipeError

    pipe = Closed()
    sink = await show(pipe, [estimate(n) for n in range(1, 5)])
    assert sink.view.count == 4
    assert pipe.writes == 1


async def test_a_full_disk_behind_the_console_is_named() -> None:
    class Full(Pipe):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(PublishError, match=r"console: .*No space left"):
        await show(Full(), [estimate(1)])


async def test_a_terminal_that_was_closed_is_named() -> None:
    class Gone(Terminal):
        def write(self, text: str) -> int:
            raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(PublishError, match=r"console: .*Input/output error"):
        await show(Gone(), [estimate(1)])


class Held(Pipe):
    """A pipe or terminal whose other side reads nothing until ``gate`` is open; ``stuck`` once it is felt."""

    def __init__(self, terminal: bool = False) -> None:
        super().__init__()
        self.gate, self.stuck, self._terminal = threading.Event(), threading.Event(), terminal

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> int:
        self.stuck.set()
        self.gate.wait()
        return super().write(text)

    @property
    def shown(self) -> str:
        return self.bytes.getvalue().decode()


@pytest.mark.parametrize("terminal", [True, False])
async def test_a_held_terminal_holds_nothing_else_and_counts_what_it_misses(terminal: bool) -> None:
    file, notices = Held(terminal), Notices()
    sink = ConsoleSink(Config(), file, notices=notices)
    inbox: Channel[Event] = Channel("sink0", ROOM, Overflow.DROP_OLDEST, keep=kept)
    task = asyncio.create_task(sink.run(inbox, ManualClock()))
    await inbox.send(session())
    assert await asyncio.to_thread(file.stuck.wait, 10)  # or the misses would be told in two lines
    for n in range(1, 2 * ROOM + 50):
        await inbox.send(estimate(n, text=f"number {n}."))  # would wait for ever if the sink did
    await settle()
    assert "the terminal is held" in notices.all()["console"]
    assert sink.skipped == ROOM + (50 if terminal else 49)  # a pipe has the session's start on its way
    file.gate.set()
    inbox.close()
    await task
    assert f"the terminal was held: {sink.skipped} updates were not shown" in file.shown
    assert f"number {2 * ROOM + 49}." in file.shown
    assert "observed expression" in file.shown  # the session's start is not among what was missed
    assert sink.view.count == 2 * ROOM + 49
    assert notices.all() == {}


async def test_a_terminal_that_is_still_held_at_the_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "PATIENCE", 0.05)
    file = Held(terminal=True)
    sink = await show(file, [estimate(1), estimate(2)])
    assert file.shown == ""
    assert sink.skipped == 2
    file.gate.set()
    for thread in [t for t in threading.enumerate() if t.name == "console"]:
        thread.join()
    assert "Hello" not in file.shown  # what comes after the run is not mixed with it


async def test_a_slow_reader_of_a_file_that_is_analysed_misses_nothing() -> None:
    file = Held()
    sink = ConsoleSink(Config(), file, waits=True)
    inbox: Channel[Event] = Channel("sink0", 10)
    task = asyncio.create_task(sink.run(inbox, ManualClock()))
    said = [estimate(n) for n in range(1, 2 * ROOM + 50)]
    for event in said:
        if event is said[ROOM]:
            file.gate.set()
        await inbox.send(event)
    inbox.close()
    await task
    assert len(file.shown.splitlines()) == len(said)
    assert sink.skipped == 0


async def test_what_is_logged_meanwhile_stands_above_the_live_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    errors, terminal, root = Terminal(), Terminal(), logging.getLogger()
    monkeypatch.setattr(sys, "stderr", errors)
    usual = logging.StreamHandler()
    usual.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    monkeypatch.setattr(root, "handlers", [usual])
    inbox: Channel[Event] = Channel("console", 4)
    task = asyncio.create_task(ConsoleSink(Config(), terminal).run(inbox, ManualClock()))
    await inbox.send(session())
    await settle()
    logging.getLogger("streamer.test").warning("the broker is away")
    inbox.close()
    await task
    assert "WARNING the broker is away" in terminal.getvalue()
    assert errors.getvalue() == ""
    logging.getLogger("streamer.test").warning("all is over")
    assert errors.getvalue() == "WARNING all is over\n"
    assert root.handlers == [usual]


@pytest.mark.parametrize("shown_on_a_terminal", [True, False])
async def test_a_log_that_goes_elsewhere_stays_there(
    shown_on_a_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = Terminal() if shown_on_a_terminal else Pipe()
    monkeypatch.setattr(sys, "stderr", Pipe() if shown_on_a_terminal else Terminal())
    usual = logging.StreamHandler()
    monkeypatch.setattr(logging.getLogger(), "handlers", [usual])
    inbox: Channel[Event] = Channel("console", 4)
    task = asyncio.create_task(ConsoleSink(Config(), output).run(inbox, ManualClock()))
    await inbox.send(session())
    await settle()
    assert logging.getLogger().handlers == [usual]
    inbox.close()
    await task


async def test_a_line_that_is_no_event_goes_beside_the_view_or_to_standard_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors = Pipe()
    monkeypatch.setattr(sys, "stderr", errors)
    for file in (Terminal(), Pipe()):
        sink = ConsoleSink(Config(), file)
        sink.say("watching broker:1883")
        await sink.run(cast("Channel[Event]", Inbox([session()])), ManualClock())
        if isinstance(file, Terminal):
            assert "watching broker:1883" in file.getvalue()
    errors.flush()
    assert errors.bytes.getvalue().decode() == "watching broker:1883\n"


async def test_a_mistake_in_the_drawing_is_not_swallowed() -> None:
    class Odd(Pipe):
        def write(self, text: str) -> int:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await show(Odd(), [estimate(1)])


def test_the_config_is_strict(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="duration"):
        Config(duration=0)
    with pytest.raises(ValidationError, match="colour"):
        Config.model_validate({"colour": "pink"})
    context = Context(session=Session(conversation="c1", purpose="demo"), state_dir=tmp_path)
    assert isinstance(Config(plain=True).build(context), ConsoleSink)
