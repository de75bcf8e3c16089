from __future__ import annotations

import asyncio
import errno
import io
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from streamer.channel import Channel
from streamer.clock import ManualClock
from streamer.context import Context, Session
from streamer.errors import PublishError
from streamer.payloads import Event
from streamer.sinks.console import Config, ConsoleSink
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


def test_the_config_is_strict(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="duration"):
        Config(duration=0)
    with pytest.raises(ValidationError, match="colour"):
        Config.model_validate({"colour": "pink"})
    context = Context(session=Session(conversation="c1", purpose="demo"), state_dir=tmp_path)
    assert isinstance(Config(plain=True).build(context), ConsoleSink)
