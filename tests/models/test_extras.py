"""The advice for a missing package is a command that works as it stands."""

from __future__ import annotations

import shlex
import sys
import tomllib
from pathlib import Path

import pytest

from models.extras import install

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("extra", ["train", "export"])
def test_it_is_for_the_python_that_runs_and_an_extra_that_there_is(extra: str) -> None:
    """An environment need not be active, and the first pip on the path may be another's."""
    python, *rest = shlex.split(install(extra))
    assert python == sys.executable
    assert rest == ["-m", "pip", "install", f"lmam-streamer[{extra}]"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == "lmam-streamer"
    assert extra in project["optional-dependencies"]


def test_a_path_with_a_space_can_be_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/my files/python")
    assert shlex.split(install("train"))[0] == "/my files/python"
