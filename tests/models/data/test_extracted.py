"""A folder of extracted features: written whole or not at all, read back the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.data.corpus import Corpus, DataError
from models.data.extracted import MANIFEST, describe, described, load, read, save, shard
from tests.models.data.made import corpus, talk


def made() -> Corpus:
    rows = np.array([[1, np.nan], [2, 3]], dtype=np.float32)
    one = talk("a", "Hi, ça va?", "No.", labels=(0, -1), group="e1", features={"audio": rows})
    return corpus(
        [one], test=[talk("b", "Yes.", "So.", features={"audio": rows + 1})], measures={"audio": ("x", "y")}
    )


def write(folder: Path) -> Corpus:
    c = made()
    describe(folder, c, {"encoder": "1234"})
    for split, conversations in c.splits.items():
        for conversation in conversations:
            save(shard(folder, split, conversation.id), conversation.features)
    return c


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    want, got = write(tmp_path), read(tmp_path)
    assert replace(got, splits={}) == replace(want, splits={})
    for split, conversations in want.splits.items():
        for a, b in zip(conversations, got.splits[split], strict=True):
            assert (a.id, a.utterances, a.speakers, a.texts, a.group) == (
                (b.id, b.utterances, b.speakers, b.texts, b.group)
            )
            np.testing.assert_array_equal(a.labels_N, b.labels_N)
            np.testing.assert_array_equal(a.features["audio"], b.features["audio"])
            assert b.features["audio"].dtype == np.float32
    assert (described(tmp_path) or {})["settings"] == {"encoder": "1234"}
    assert not list(tmp_path.rglob("*.part"))


def test_a_shard_that_is_not_there_or_damaged_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    path = shard(tmp_path, "train", "a")
    with pytest.raises(DataError, match=r"a\.npz: audio of shape \[2, 2\]; expected \[3, features\]"):
        load(path, 3)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"a\.npz: cannot be read"):
        read(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=r"a\.npz: not found; 'lmam data extract' makes it"):
        read(tmp_path)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no corpus\.json; expected a folder that 'lmam data extract' made"):
        read(tmp_path)
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path)
    (tmp_path / MANIFEST).write_text("[]")
    with pytest.raises(DataError, match="not a folder of extracted features"):
        read(tmp_path)
    write(tmp_path)
    value = json.loads((tmp_path / MANIFEST).read_text())
    del value["labels"]
    (tmp_path / MANIFEST).write_text(json.dumps(value))
    with pytest.raises(DataError, match="lacks 'labels'"):
        read(tmp_path)
