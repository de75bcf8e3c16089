"""Pickles of others: data is read, everything else is refused by its name."""

from __future__ import annotations

import collections
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.data.corpus import DataError
from models.data.pickles import load

WHAT = "features"


def write(path: Path, value: object, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_containers_are_read(tmp_path: Path, protocol: int) -> None:
    """Of every protocol: arrays of numbers, of text and of rows of unequal length; scalars; sets; text."""
    ragged = np.empty(2, dtype=object)
    ragged[:] = [[1, 2], [3]]
    value: dict[str, Any] = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "i": [np.int64(3), np.float32(0.5), 7, 2.5, True, None, b"\xff\x00", "ça"],
        "s": ({"x", "y"}, frozenset({1})),
        "u": np.array(["ab", "c"]),
        "r": ragged,
        "o": collections.OrderedDict(a=1),
        "d": collections.defaultdict(list, {"k": [1]}),
        "e": np.zeros((0, 3)),
        "f": np.asfortranarray(np.eye(3)),
    }
    read = load(write(tmp_path / "x.pkl", value, protocol), WHAT)
    for name in ("a", "u", "e", "f"):
        np.testing.assert_array_equal(read[name], value[name])
        assert read[name].dtype == value[name].dtype
    assert read["i"] == value["i"]
    assert read["s"] == value["s"]
    assert list(map(list, read["r"])) == [[1, 2], [3]]
    assert read["o"] == value["o"]
    assert read["d"] == value["d"]


def test_arrays_of_older_numpy_are_read(tmp_path: Path) -> None:
    """They name modules that have moved since."""
    raw = pickle.dumps(np.arange(3.0), protocol=2).replace(
        b"numpy._core.multiarray", b"numpy.core.multiarray"
    )
    assert b"numpy.core.multiarray" in raw
    path = tmp_path / "old.pkl"
    path.write_bytes(raw)
    np.testing.assert_array_equal(load(path, WHAT), [0, 1, 2])


def test_text_of_python_2_is_read_as_latin_1(tmp_path: Path) -> None:
    path = tmp_path / "two.pkl"
    path.write_bytes(b"\x80\x02U\x03\xe7a!.")  # SHORT_BINSTRING
    assert load(path, WHAT) == "ça!"


class Evil:
    """Runs a command where it is loaded without care."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch '{self.mark}'",))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_program_in_a_pickle_is_refused_by_name_and_not_run(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "ran"
    path = write(tmp_path / "evil.pkl", {"a": [Evil(mark)]}, protocol)
    with pytest.raises(DataError, match=r"evil\.pkl: asks for posix\.system.*expected features"):
        load(path, WHAT)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["builtins\neval", "builtins\nexec", "builtins\n__import__", "numpy\nload"])
def test_names_beside_the_allowed_ones_are_refused(tmp_path: Path, name: str) -> None:
    """Being in a module of which something else is allowed does not help."""
    path = tmp_path / "x.pkl"
    path.write_bytes(f"c{name}\n(S'1'\ntR.".encode())
    with pytest.raises(DataError, match="asks for " + name.replace("\n", r"\.")):
        load(path, WHAT)


def test_bytes_in_another_encoding_are_refused(tmp_path: Path) -> None:
    """A few bytes of a compressing codec could become gigabytes."""
    path = tmp_path / "x.pkl"
    path.write_bytes(b"c_codecs\nencode\n(Vab\nVzlib\ntR.")
    with pytest.raises(DataError, match="encoding 'zlib'"):
        load(path, WHAT)


@pytest.mark.parametrize("name", ["_codecs\nencode", "builtins\nbytes", "numpy\nndarray", "builtins\nlist"])
def test_what_is_allowed_cannot_be_changed_for_the_next_file(tmp_path: Path, name: str) -> None:
    """A pickle may set attributes of what it names; here nothing has any that it could set."""
    path = tmp_path / "x.pkl"
    path.write_bytes(f"c{name}\n(N(dVevil\nVyes\nstb.".encode())
    with pytest.raises(DataError, match="not a readable pickle"):
        load(path, WHAT)


def test_missing_damaged_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.pkl: not found; expected features"):
        load(tmp_path / "none.pkl", WHAT)
    whole = write(tmp_path / "x.pkl", np.arange(100.0))
    cut = tmp_path / "cut.pkl"
    cut.write_bytes(whole.read_bytes()[:200])
    with pytest.raises(DataError, match=r"cut\.pkl: not a readable pickle"):
        load(cut, WHAT)
    text = tmp_path / "t.pkl"
    text.write_text("<html>not found</html>")
    with pytest.raises(DataError, match="not a readable pickle"):
        load(text, WHAT)
