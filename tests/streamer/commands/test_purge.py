"""A purge looks where the runs of this environment keep things."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.commands import purge
from streamer.conversations import note_log
from tests.messages import estimate


def test_what_a_run_kept_by_the_environment_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(estimate(1).to_json() + "\n")
    note_log(tmp_path / "state", "c1", log)
    monkeypatch.setenv("LMAM__STATE_DIR", str(tmp_path / "state"))
    purge.run("c1", None, None)
    assert not log.exists()
    assert str(log) in capsys.readouterr().out


def test_where_nothing_is_kept_the_folder_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    purge.run("c1", None, tmp_path)
    assert f"nothing is kept of c1 in {tmp_path}" in capsys.readouterr().out
