"""The command line explains itself."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from streamer.cli import _pace, app
from streamer.errors import ConfigError

TOP: Any = typer.main.get_command(app)


def commands(group: Any = TOP, path: str = "lmam") -> Iterator[tuple[str, Any]]:
    """Every command with its words."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


@pytest.mark.parametrize(("name", "command"), sorted(commands()), ids=lambda value: str(value))
def test_every_command_argument_and_option_is_explained(name: str, command: Any) -> None:
    assert command.help, name
    assert [p.name for p in command.params if not p.help] == []


def test_every_command_of_the_first_page_stands_under_a_heading() -> None:
    assert [n for n, c in TOP.commands.items() if not isinstance(c.rich_help_panel, str)] == []


def test_the_version_is_told() -> None:
    told = CliRunner().invoke(app, ["--version"])
    assert (told.exit_code, told.output) == (0, f"lmam {version('lmam-streamer')}\n")


@pytest.mark.parametrize("pace", ["inf", "nan", "-1", "0", "0.01", "101", "slow", ""])
def test_a_pace_that_makes_no_sense_is_refused(pace: str) -> None:
    with pytest.raises(ConfigError, match=r"expected 'fast' or a number from 0.1 to 100"):
        _pace(pace)


def test_a_pace_is_a_factor_or_as_fast_as_possible() -> None:
    assert (_pace("fast"), _pace("1.0"), _pace("100")) == (None, 1.0, 100.0)
