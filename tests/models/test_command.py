"""How the training commands end, and what they show."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
import rich
from rich.console import Console

from models import command
from models.checkpoint import CheckpointError
from models.data.corpus import DataError
from models.training.config import RunsFailedError, TrainingError


def raising(error: BaseException) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TrainingError("no such key"), 2),
        (DataError("no such corpus"), 2),
        (CheckpointError("no such weights"), 2),
        (RunsFailedError("2 of 3 runs failed"), 1),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_user_can_cause_is_said_in_a_line(
    error: BaseException, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    """And told apart by the exit code."""
    assert command.run(raising(error), "stopped; go on") == code
    (record,) = caplog.records
    assert record.getMessage() == (str(error) or "stopped; go on")
    assert record.exc_info is None


def test_what_is_done_ends_with_0() -> None:
    done: list[str] = []
    assert command.run(lambda: done.append("work")) == 0
    assert done == ["work"]


def test_a_mistake_of_the_program_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        command.run(raising(ZeroDivisionError()))


@pytest.mark.parametrize("terminal", [True, False])
def test_the_bar_is_for_terminals(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(rich, "_console", Console(file=out, force_terminal=terminal))
    with command.bar() as bar:
        bar.add_task("training", total=2)
    assert ("training" in out.getvalue()) == terminal
