"""What is kept of people who asked to be known again."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import numpy as np
import pytest

from streamer.errors import ConfigError, EncodeError
from streamer.speakers.enrolled import FOLDER, SIZE, Voice, remove, store, voices


def voice(name: str, seed: int = 0) -> Voice:
    v = np.random.default_rng(seed).random(SIZE).astype(np.float32)
    return Voice(name, v / np.linalg.norm(v))


def test_what_is_stored_comes_back(tmp_path: Path) -> None:
    ann, bo = voice("Ann"), voice("Bo", 1)
    store(tmp_path, bo)
    store(tmp_path, ann)
    found = voices(tmp_path)
    assert [v.name for v in found] == ["Ann", "Bo"]
    assert np.array_equal(found[0].embedding, ann.embedding)


def test_enrolling_again_replaces(tmp_path: Path) -> None:
    store(tmp_path, voice("Ann"))
    store(tmp_path, voice("Ann", 1))
    (found,) = voices(tmp_path)
    assert np.array_equal(found.embedding, voice("Ann", 1).embedding)


def test_only_the_owner_can_read_it_and_no_file_name_holds_a_name(tmp_path: Path) -> None:
    path = store(tmp_path, voice("Ann ../ é"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.parent == tmp_path / FOLDER
    assert "Ann" not in path.name


def test_removing_leaves_nothing(tmp_path: Path) -> None:
    store(tmp_path, voice("Ann"))
    remove(tmp_path, "Ann")
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_who_is_not_there_cannot_be_removed(tmp_path: Path) -> None:
    store(tmp_path, voice("Ann"))
    with pytest.raises(ConfigError, match=r"'Bo' is not enrolled .*; enrolled: Ann"):
        remove(tmp_path, "Bo")


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_a_name_has_1_to_64_characters(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="1 to 64"):
        store(tmp_path, voice(name))


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[1]", json.dumps({"name": "A", "embedding": [1.0]}), '{"name": "A", "embedding": [NaN]}'],
)
def test_a_damaged_file_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "x.json").write_text(content)
    with pytest.raises(EncodeError, match=r"x\.json: damaged; remove the file"):
        voices(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file")
    with pytest.raises(ConfigError, match="cannot be written"):
        store(tmp_path, voice("Ann"))
