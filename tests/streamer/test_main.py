"""What the command leaves behind when it fails: one line and an exit code, never a traceback."""

from __future__ import annotations

import asyncio

import pytest

from models.checkpoint import CheckpointError
from streamer import cli
from streamer.__main__ import main
from streamer.errors import CaptureError, ConfigError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("a key"), 2),
        (CaptureError("a device"), 1),
        (CheckpointError("a file"), 1),
        (ExceptionGroup("tasks", [ConfigError("a key")]), 2),
        (ExceptionGroup("tasks", [ExceptionGroup("more", [CaptureError("a device")])]), 1),
        (asyncio.CancelledError(), 130),  # by a second Ctrl-C
        (KeyboardInterrupt(), 130),  # while the program is still loading
    ],
)
def test_every_way_to_fail_has_its_exit_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def app() -> None:
        raise error

    monkeypatch.setattr(cli, "app", app)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    said = capsys.readouterr().err
    assert said.count("\n") == (1 if code < 130 else 0)


def test_an_unknown_level_of_logging_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LMAM_LOG", "loud")
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "lmam: LMAM_LOG=LOUD: expected DEBUG, INFO, WARNING or ERROR\n"


def test_a_mistake_in_the_program_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def app() -> None:
        raise ExceptionGroup("tasks", [CaptureError("a device"), ZeroDivisionError()])

    monkeypatch.setattr(cli, "app", app)
    with pytest.raises(ExceptionGroup):
        main()
