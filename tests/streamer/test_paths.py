"""What cannot be written is found out without writing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamer.errors import ConfigError
from streamer.paths import writable


def test_a_new_file_an_old_one_and_one_in_folders_to_be_made_can_be_written(tmp_path: Path) -> None:
    old = tmp_path / "old.txt"
    old.write_text("kept")
    for path in (old, tmp_path / "new.txt", tmp_path / "a" / "b" / "c.txt"):
        writable(path)
    assert old.read_text() == "kept"
    assert list(tmp_path.iterdir()) == [old]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("folder", "it is a folder"),
        ("file/a.txt", "Not a directory|is no folder"),
        ("file/a/b.txt", "Not a directory|is no folder"),
        ("n" * 300, "name too long"),
    ],
)
def test_what_stands_in_the_way_is_named(tmp_path: Path, path: str, why: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=rf"{path}: cannot be written \(.*({why})\); choose another"):
        writable(tmp_path / path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("path", ["locked/new.txt", "locked/more/new.txt", "mine.txt"])
def test_a_missing_permission_is_named(tmp_path: Path, path: str) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    (tmp_path / "mine.txt").touch(mode=0o400)
    with pytest.raises(ConfigError, match="permission denied"):
        writable(tmp_path / path)
