"""A file is replaced at once, or stays as it was."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from models.whole import whole, write_private


def test_a_file_takes_its_place_at_the_end(tmp_path: Path) -> None:
    """In a folder that is made where it is missing."""
    path = tmp_path / "new" / "file.txt"
    with whole(path) as part:
        part.write_text("all of it")
        assert not path.exists()
    assert path.read_text() == "all of it"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("stop", [OSError, KeyboardInterrupt])
def test_a_failure_or_a_stop_leaves_what_was_there(tmp_path: Path, stop: type[BaseException]) -> None:
    path = tmp_path / "file.txt"
    path.write_text("before")

    def write() -> None:
        with whole(path) as part:
            part.write_text("half")
            raise stop

    with pytest.raises(stop):
        write()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_says_which(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), whole(tmp_path / "file" / "below.txt"):
        pass


def test_what_is_private_is_its_owner_s(tmp_path: Path) -> None:
    """Whatever the umask would allow others."""
    before = os.umask(0)
    try:
        write_private(tmp_path / "face.html", b"somebody")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "face.html").stat().st_mode) == 0o600
    assert (tmp_path / "face.html").read_bytes() == b"somebody"
