"""Tables of a corpus (CSV, plain or gzipped), with errors that say what was expected."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from models.data.corpus import DataError

Row = Mapping[str, str]

ODD = (
    ("\x92", "'"),
    ("’", "'"),
    ("‘", "'"),
    ("“", '"'),
    ("”", '"'),
    ("…", "..."),
    ("\x85", "..."),
)


def tidy(text: str) -> str:
    """``text`` with typographic quotes and the leftovers of old encodings made plain, single spaces."""
    for odd, plain in ODD:
        text = text.replace(odd, plain)
    return " ".join(text.split())


def existing(path: Path, what: str) -> Path:
    """``path``, if it is a file.

    Raises:
        DataError: it is not; the message says that ``what`` was expected there.
    """
    if path.is_file():
        return path
    raise DataError(
        f"{path}: not found; expected {what} (--data must name the folder that holds {path.parent.name}/)"
    )


def rows(path: Path, columns: Iterable[str], what: str, whole: Sequence[str] = ()) -> list[Row]:
    """The rows of the CSV file ``path`` (gzipped where its name ends in .gz), each with all of ``columns``.

    ``whole`` are those that hold whole numbers.

    Raises:
        DataError: no such file, not a CSV file in UTF-8, without rows, a column is missing, a row has more or
            fewer fields than there are columns, or no whole number where there must be one.
    """
    existing(path, what)
    try:
        with _open(path) as file:
            reader = csv.DictReader(file)
            numbered = [(reader.line_num, row) for row in reader]
            header = reader.fieldnames or ()
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error}); expected {what} as CSV in UTF-8") from error
    missing = [c for c in columns if c not in header]
    if missing:
        raise DataError(
            f"{path}: no column {', '.join(map(repr, missing))}; expected {what},"
            f" found the columns {', '.join(header)}"
        )
    if not numbered:
        raise DataError(f"{path}: no rows; expected {what}")
    for number, row in numbered:
        if None in row or None in row.values():
            raise DataError(f"{path}:{number}: not {len(header)} fields, as there are columns of {what}")
        if wrong := [c for c in whole if not row[c].isdecimal()]:
            raise DataError(f"{path}:{number}: {wrong[0]} {row[wrong[0]]!r}; expected a whole number")
    return [row for _, row in numbered]


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def measured(rows_N: Sequence[Row], measures: Sequence[str], where: object) -> NDArray[np.float64]:
    """The columns ``measures`` as numbers ``[N, A]``; an empty field is NaN.

    Raises:
        DataError: no such column, or a field is not a number; ``where`` (a file, a dialogue) is named.
    """
    missing = [m for m in measures if rows_N and m not in rows_N[0]]
    if missing:
        raise DataError(f"{where}: no measure {missing[0]!r}; the columns are {', '.join(rows_N[0])}")
    try:
        values = [[float(r[m]) if r[m] else np.nan for m in measures] for r in rows_N]
    except ValueError as error:
        raise DataError(f"{where}: {error}; {', '.join(measures)} must be numbers or empty") from error
    return np.array(values, dtype=np.float64).reshape(len(rows_N), len(measures))


def index(labels: Sequence[str], name: str, where: object) -> int:
    """The index of the label ``name``.

    Raises:
        DataError: no such label; ``where`` (a file, an utterance) is named.
    """
    try:
        return labels.index(name)
    except ValueError:
        raise DataError(f"{where}: label {name!r}; expected one of {', '.join(labels)}") from None


def by(rows_N: Iterable[Row], *keys: str) -> dict[tuple[str, ...], list[Row]]:
    """Rows by the values of ``keys``, in the order of first appearance."""
    out: dict[tuple[str, ...], list[Row]] = {}
    for row in rows_N:
        out.setdefault(tuple(row[k] for k in keys), []).append(row)
    return out
