"""The schemas in docs/ are those of the code."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from streamer.schemas import FOLDER, texts

ROOT = Path(__file__).parents[2]


def test_the_published_schemas_are_current() -> None:
    """If this fails: python -m streamer.schemas"""
    published = {f.name: f.read_text(encoding="utf-8") for f in (ROOT / FOLDER).glob("*.json")}
    assert published == texts()


def test_the_command_writes_them_where_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["schemas", str(tmp_path / "new")])
    monkeypatch.delitem(sys.modules, "streamer.schemas")
    runpy.run_module("streamer.schemas", run_name="__main__")
    assert {f.name: f.read_text(encoding="utf-8") for f in (tmp_path / "new").iterdir()} == texts()
