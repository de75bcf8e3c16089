"""Pickle files of others, read without running what they say: numbers, text, plain containers and arrays.

A pickle is a program: loading one with the standard reader runs whatever its author put in. Here only the few
names that arrays and containers need are known; any other is refused by its name. Arrays are put together by
the small parts below and not by NumPy's own, which trust a file: with those it can say, after the fact, that
the bytes of an array are longer than they are, or that they are addresses.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.corpus import DataError

# Where these live depends on the version of NumPy, which is why they are taken from an array's own pickle.
_SCALAR: Any = np.float64(0).__reduce__()[0]
_FROM_BUFFER: Any = np.zeros(1).__reduce_ex__(5)[0]

KINDS = "biufcSUO"  # of NumPy: numbers, bytes, text and lists of values; no records


def _sealed(function: Callable[..., Any]) -> Any:
    """``function`` as an object without attributes, so that no pickle can change it for those read later."""
    return type(function.__name__, (), {"__slots__": (), "__call__": staticmethod(function)})()


class _Kind:
    """What an array's entries are, as its pickle says it in two steps."""

    __slots__ = ("code", "order")

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.order, *parts = state
        if any(part is not None for part in parts[:3]):
            raise pickle.UnpicklingError(f"an array of records ({self.code!r})")

    def dtype(self, *, objects: bool = False) -> np.dtype[Any]:
        """A new dtype, which nothing in the file can get hold of."""
        made = np.dtype(str(self.code)).newbyteorder(self.order)  # type: ignore[arg-type]
        if made.kind not in KINDS or (made.hasobject and not objects):
            raise pickle.UnpicklingError(f"an array of {made} from bytes")
        return made


class _Array(np.ndarray[Any, Any]):
    """An array that is filled by what its pickle says, checked."""

    __slots__ = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        # What is in memory already may be looked at by another array, and would be freed under it.
        if self.shape != (0,):
            raise pickle.UnpicklingError("an array that is filled twice")
        shape, kind, fortran, content = state[-4:]
        dtype = _of(kind).dtype(objects=isinstance(content, list))
        count = math.prod(map(_size, shape))
        size = count if dtype.hasobject else count * dtype.itemsize
        if len(content) != size or (count and not dtype.itemsize):
            raise pickle.UnpicklingError(f"an array of shape {shape} and {dtype} with {len(content)} entries")
        super().__setstate__((1, shape, dtype, fortran, content))


def _of(kind: Any) -> _Kind:
    if not isinstance(kind, _Kind):
        raise pickle.UnpicklingError(f"an array of {type(kind).__name__}")
    return kind


def _size(n: Any) -> int:
    if not isinstance(n, int) or n < 0:
        raise pickle.UnpicklingError(f"an array with a side of {n!r}")
    return n


@_sealed
def _kind(code: Any, *_: Any) -> _Kind:
    return _Kind(code)


@_sealed
def _ndarray(*_: Any) -> NDArray[Any]:
    """Only named in files, never called: it would give whatever lies in memory."""
    raise pickle.UnpicklingError("an array without content")


@_sealed
def _array(*_: Any) -> NDArray[Any]:
    """Empty; its content follows."""
    return np.ndarray.__new__(_Array, (0,))


@_sealed
def _scalar(kind: Any, content: Any) -> Any:
    return _SCALAR(_of(kind).dtype(), content)


@_sealed
def _from_buffer(content: Any, kind: Any, shape: Any, order: str, *axes: Any) -> NDArray[Any]:
    """Of bytes alone, and of a copy: another array's memory may go away, or hold addresses."""
    if not isinstance(content, (bytes, bytearray)):
        raise pickle.UnpicklingError(f"an array whose content is {type(content).__name__}")
    out: NDArray[Any] = _FROM_BUFFER(bytearray(content), _of(kind).dtype(), shape, order, *axes)
    return out


@_sealed
def _ordered(items: Any = ()) -> dict[Any, Any]:
    return dict(items)


@_sealed
def _with_default(_: Any = None, items: Any = ()) -> dict[Any, Any]:
    """What is missing is missing."""
    return dict(items)


@_sealed
def _encode(text: str, encoding: str = "latin1", *_: str) -> bytes:
    """Bytes as Python 2 wrote them; other encodings (zlib among them) could make much of little."""
    if encoding.lower().replace("-", "") not in {"latin1", "iso88591"}:
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


@_sealed
def _nothing() -> bytes:
    """How protocols before 3 write bytes of length 0; a length would ask for memory."""
    return b""


_NUMPY = {"numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric"}
_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _ndarray,
    ("numpy", "dtype"): _kind,
    ("collections", "OrderedDict"): _ordered,
    ("collections", "defaultdict"): _with_default,
    ("_codecs", "encode"): _encode,
    ("builtins", "bytes"): _nothing,
    ("__builtin__", "bytes"): _nothing,
    **{(m, "_reconstruct"): _array for m in _NUMPY},
    **{(m, "scalar"): _scalar for m in _NUMPY},
    **{(m, "_frombuffer"): _from_buffer for m in _NUMPY},
    **{
        (module, kind.__name__): kind
        for module in ("builtins", "__builtin__")
        for kind in (set, frozenset, list, dict, int, float, complex)
    },
}


class _RefusedError(Exception):
    """A name that data does not need."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        try:
            found: Callable[..., Any] = _KNOWN[module, name]
        except KeyError:
            raise _RefusedError(f"{module}.{name}") from None
        return found


def load(path: Path, what: str) -> Any:
    """The value in the pickle ``path``; strings of Python 2 are read as Latin-1.

    Raises:
        DataError: no such file, no pickle, cut off, or it holds more than data; ``what`` was expected.
    """
    try:
        with path.open("rb") as file:
            return _Unpickler(file, encoding="latin1").load()
    except FileNotFoundError:
        raise DataError(f"{path}: not found; expected {what}") from None
    except _RefusedError as refused:
        raise DataError(
            f"{path}: asks for {refused}, which is not loaded from a file of others; expected {what} of"
            " numbers, text, lists, dictionaries and NumPy arrays (where you trust the file, convert it)"
        ) from None
    except Exception as error:  # a damaged pickle can raise anything
        raise DataError(f"{path}: not a readable pickle ({error}); expected {what}") from error
