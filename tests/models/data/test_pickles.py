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


@pytest.mark.parametrize(
    "name",
    [
        *("_codecs\nencode", "builtins\nbytes", "builtins\nlist", "collections\nOrderedDict"),
        *("numpy\nndarray", "numpy\ndtype", "numpy._core.numeric\n_frombuffer"),
        *("numpy.core.multiarray\nscalar", "numpy.core.multiarray\n_reconstruct"),
    ],
)
def test_what_is_allowed_cannot_be_changed_for_the_next_file(tmp_path: Path, name: str) -> None:
    """A pickle may set attributes of what it names; here nothing has any that it could set."""
    path = tmp_path / "x.pkl"
    path.write_bytes(f"c{name}\n(N(dVevil\nVyes\nstb.".encode())
    with pytest.raises(DataError, match="not a readable pickle"):
        load(path, WHAT)


def said(value: object) -> bytes:
    """``value`` as a part of a pickle."""
    return pickle.dumps(value, protocol=2)[2:-1]


def called(name: str, *arguments: bytes) -> bytes:
    """The call of a name as a part of a pickle."""
    return b"".join([f"c{name}\n".encode(), b"(", *arguments, b"tR"])


def attempted(tmp_path: Path, *parts: bytes) -> Any:
    """What the reader makes of the pickle of ``parts``."""
    path = tmp_path / "attack.pkl"
    path.write_bytes(b"".join([b"\x80\x02", *parts, b"."]))
    return load(path, WHAT)


FROM_BUFFER, RECONSTRUCT = "numpy._core.numeric\n_frombuffer", "numpy._core.multiarray\n_reconstruct"
NAMED, AGAIN = b"q\xff", b"h\xff"  # what was made last gets a name; the same thing again


def test_bytes_of_an_array_do_not_become_longer_afterwards(tmp_path: Path) -> None:
    """A dtype that is changed under an array would let it read what lies behind it in memory."""
    made = called("numpy\ndtype", said("S8")) + NAMED
    array = called(FROM_BUFFER, said(b"ABCDEFGH"), AGAIN, said((1,)), said("C"))
    longer = AGAIN + said((3, "|", None, None, None, 10**6, 1, 0)) + b"b"
    (read, _) = attempted(tmp_path, made, b"0(", array, longer, b"t")
    assert read.dtype == "S8"
    assert read.tobytes() == b"ABCDEFGH"


@pytest.mark.parametrize(
    "parts",
    [
        # Bytes that are said to be objects: their addresses would be followed.
        (called(FROM_BUFFER, said(b"A" * 8), called("numpy\ndtype", said("O8")), said((1,)), said("C")),),
        (
            called(RECONSTRUCT, said(None), said((0,)), said(b"b")),
            b"(" + said(1) + said((1,)) + called("numpy\ndtype", said("O8")) + said(False),
            said("A" * 8) + b"tb",
        ),
        (called("numpy._core.multiarray\nscalar", called("numpy\ndtype", said("O8")), said(b"A" * 8)),),
        # The same behind a record, at once or afterwards.
        (called(FROM_BUFFER, said(b"A" * 8), called("numpy\ndtype", said("V8")), said((1,)), said("C")),),
        (called("numpy\ndtype", said("V8")), b"(" + said("|") + b"tb"),
        (called("numpy\ndtype", said("V8")), b"(" + b"".join(map(said, (3, "|", None, ("f",)))) + b"}tb"),
    ],
)
def test_bytes_do_not_become_addresses(tmp_path: Path, parts: tuple[bytes, ...]) -> None:
    with pytest.raises(DataError, match="not a readable pickle"):
        attempted(tmp_path, *parts)


def filled(shape: tuple[int, ...], code: str, content: object) -> bytes:
    """An array's content, as a part of a pickle behind the empty array."""
    kind = called("numpy\ndtype", said(code))
    return b"(" + said(1) + said(shape) + kind + said(False) + said(content) + b"tb"


EMPTY = called(RECONSTRUCT, said(None), said((0,)), said(b"b")) + NAMED


def test_the_memory_of_an_array_does_not_go_away_under_another(tmp_path: Path) -> None:
    """A second content would free the first, at which a third thing may still look."""
    once, again = filled((2,), "f8", "A" * 16), filled((1,), "f8", "B" * 8)
    with pytest.raises(DataError, match="an array that is filled twice"):
        attempted(tmp_path, EMPTY, once, AGAIN, again)
    view = called(FROM_BUFFER, AGAIN, called("numpy\ndtype", said("f8")), said((2,)), said("C"))
    with pytest.raises(DataError, match="an array whose content is _Array"):
        attempted(tmp_path, EMPTY, once, b"0", view)


def test_addresses_are_no_numbers(tmp_path: Path) -> None:
    """Numbers over the entries of an array of objects would be where these lie, and could be written over."""
    objects = filled((1,), "O8", [[]])
    view = called(FROM_BUFFER, AGAIN, called("numpy\ndtype", said("i8")), said((1,)), said("C"))
    with pytest.raises(DataError, match="an array whose content is _Array"):
        attempted(tmp_path, EMPTY, objects, b"0", view)


@pytest.mark.parametrize("shape", [(10**12,), (2**40, 2**40), (-1,), ("a",), (0.5,)])
@pytest.mark.parametrize("content", ["", []])
def test_an_array_is_as_large_as_its_content(tmp_path: Path, shape: object, content: object) -> None:
    """A shape alone would ask for memory, or for what lies in it."""
    empty = called(RECONSTRUCT, said(None), said((0,)), said(b"b"))
    kind = called("numpy\ndtype", said("f4" if content == "" else "O8"))
    filled = b"(" + said(1) + said(shape) + kind + said(False) + said(content) + b"tb"
    with pytest.raises(DataError, match="not a readable pickle"):
        attempted(tmp_path, empty, filled)
    with pytest.raises(DataError, match="an array without content"):
        attempted(tmp_path, called("numpy\nndarray", said((3,))))


def test_records_and_times_are_refused(tmp_path: Path) -> None:
    """No such file holds them."""
    for value in (np.zeros(2, dtype="f4,i4"), np.array(["2020"], dtype="M8[D]")):
        with pytest.raises(DataError, match="not a readable pickle"):
            load(write(tmp_path / "x.pkl", value), WHAT)


def test_what_is_missing_in_a_dictionary_with_a_default_is_missing(tmp_path: Path) -> None:
    read = load(write(tmp_path / "x.pkl", collections.defaultdict(list, {"k": [1]})), WHAT)
    assert type(read) is dict
    assert "other" not in read


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
