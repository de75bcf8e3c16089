"""Pickle files of others, read without running what they say: numbers, text, plain containers and arrays.

A pickle is a program: loading one with the standard reader runs whatever its author put in. Here only the few
names that arrays and containers need are known; any other is refused by its name.
"""

from __future__ import annotations

import collections
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from models.data.corpus import DataError

# Where these live depends on the version of NumPy, which is why they are taken from an array's own pickle.
_RECONSTRUCT = np.zeros(0).__reduce__()[0]
_SCALAR = np.float64(0).__reduce__()[0]
_FROM_BUFFER = np.zeros(1).__reduce_ex__(5)[0]


class _Encode:
    """Bytes as Python 2 wrote them; other encodings (zlib among them) could make much of little.

    Without a dictionary, unlike a function, so that a pickle cannot change it for those read after it.
    """

    __slots__ = ()

    def __call__(self, text: str, encoding: str = "latin1", *_: str) -> bytes:
        if encoding.lower().replace("-", "") not in {"latin1", "iso88591"}:
            raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
        return text.encode("latin1")


class _Nothing:
    """How protocols before 3 write bytes of length 0; a length would ask for memory."""

    __slots__ = ()

    def __call__(self) -> bytes:
        return b""


_NUMPY = {"numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric"}
_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "defaultdict"): collections.defaultdict,
    ("_codecs", "encode"): _Encode(),
    ("builtins", "bytes"): _Nothing(),
    ("__builtin__", "bytes"): _Nothing(),
    **{(m, "_reconstruct"): _RECONSTRUCT for m in _NUMPY},
    **{(m, "scalar"): _SCALAR for m in _NUMPY},
    **{(m, "_frombuffer"): _FROM_BUFFER for m in _NUMPY},
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
