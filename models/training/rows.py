"""One line of JSON for each finished run, appended whole or not at all, by any number of processes.

Per-utterance predictions are stored as bytes; of the truth, only what each conversation of test adds to the
confusion (hits, labels and guesses of each class): enough to resample conversations without the data.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shlex
import subprocess
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from models.training.config import TrainingError

Row = dict[str, Any]
ROOT = Path(__file__).parents[2]


def pack(values: NDArray[Any]) -> str:
    """Small whole numbers (0..255) as text.

    Raises:
        ValueError: a number outside 0..255.
    """
    if values.size and (values.min() < 0 or values.max() > 255):
        raise ValueError(f"{values.min()}..{values.max()}: only 0..255 fit into a byte")
    return base64.b64encode(zlib.compress(values.astype(np.uint8).tobytes(), 9)).decode("ascii")


def unpack(text: str) -> NDArray[np.uint8]:
    """What `pack` wrote, flat."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.uint8)


def tally(guess_U: NDArray[Any], label_U: NDArray[Any], lengths: NDArray[Any], classes: int) -> NDArray[Any]:
    """``[B, 3, C]`` of each conversation: hits, labels and guesses of each class; label -1 is not counted."""
    at_U = np.repeat(np.arange(len(lengths)), lengths)
    known = label_U >= 0
    at, guess, label = at_U[known], guess_U[known], label_U[known]

    def counted(at_K: NDArray[Any], class_K: NDArray[Any]) -> NDArray[Any]:
        cells = np.bincount(at_K * classes + class_K, minlength=len(lengths) * classes)
        return cells.reshape(len(lengths), classes)

    hit = guess == label
    return np.stack([counted(at[hit], label[hit]), counted(at, label), counted(at, guess)], 1)


def tallies(row: Row) -> NDArray[np.int64]:
    """``[B, 3, C]`` of the row's test split, see `tally`."""
    counts = unpack(row["tally"]).astype(np.int64)
    return counts.reshape(-1, 3, int(row["classes"]))


def append(path: Path, row: Row) -> None:
    """Add ``row`` to ``path`` in one write, under a lock; half a line left by a kill is cut off.

    Raises:
        TrainingError: it cannot be written.
    """
    line = (json.dumps(row, sort_keys=True, allow_nan=False) + "\n").encode()
    with _opened(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _mend(file)
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def probe(path: Path) -> None:
    """Make sure that rows can be appended to ``path``, before there is one that could be lost.

    Raises:
        TrainingError: it cannot be written.
    """
    with _opened(path):
        pass


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            yield file
    except OSError as error:
        raise TrainingError(f"{path}: rows cannot be written ({error.strerror})") from error


def _mend(file: BinaryIO) -> None:
    file.seek(0)
    content = file.read()
    if not content or content.endswith(b"\n"):
        return
    tail = content[content.rfind(b"\n") + 1 :]
    try:
        json.loads(tail)
        file.write(b"\n")  # a whole line, written by an editor
    except ValueError:
        file.truncate(len(content) - len(tail))


def read(path: Path) -> list[Row]:
    """The rows of ``path``, of several with one key the last; a missing file has none.

    Raises:
        TrainingError: it cannot be read, or a line but the last is not JSON.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise TrainingError(f"{path}: rows cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise TrainingError(f"{path}: not a file of rows ({error})") from error
    rows: dict[str, Row] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            rows[row["key"]] = row
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):  # no newline: a run was killed while it wrote
                continue
            raise TrainingError(f"{path}:{number}: not a row of results ({error!r})") from error
    return list(rows.values())


def rounded(value: Any) -> Any:
    """``value`` with every float in it rounded to four places."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    return round(value, 4) if isinstance(value, float) else value


def told(words: Iterable[str]) -> str:
    """A command line for a row: quoted for a shell; rows are published, so whole paths as seen from here."""
    return shlex.join(map(_seen_from_here, words))


def _seen_from_here(word: str) -> str:
    option, equals, path = word.rpartition("=")
    return option + equals + (os.path.relpath(path) if os.path.isabs(path) else path)


@cache
def commit() -> str:
    """The commit of this checkout, with ``+`` where code differs from it; empty outside a checkout."""
    try:
        head = _git("rev-parse", "--short=10", "HEAD")
        return head + ("+" if _git("status", "--porcelain", "--untracked-files=no", "--", "models") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
