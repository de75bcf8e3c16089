"""Conversations of every corpus and public format in one form, checked for leakage."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.data import dailydialog, emorynlp, formats, iemocap6, meld, mosi, mustard, ravdess
from models.data.check import assert_disjoint, assert_whole
from models.data.corpus import Corpus, DataError

# Name of a corpus and its reader, which takes the data folder.
CORPORA: dict[str, Callable[..., Corpus]] = {
    "meld": meld.load,
    "iemocap6": iemocap6.load,
    "mosi": mosi.load,
    "emorynlp": emorynlp.load,
    "dailydialog": dailydialog.load,
    "mustard": mustard.load,
    "ravdess": ravdess.load,
}
# Where below the data folder a corpus lies: what a path to it, or to its folder, is known by.
FILES = {
    "meld": meld.FILE,
    "iemocap6": iemocap6.FILE,
    "mosi": mosi.FILE,
    "emorynlp": emorynlp.FILE,
    "dailydialog": dailydialog.FILE,
    "mustard": mustard.FILE,
    "ravdess": ravdess.FILE,
}


def load(name: str, folder: Path | None = None, **options: Any) -> Corpus:
    """The corpus ``name`` from ``folder``, which holds a folder for each; ``options`` go to its reader.

    ``name`` may also be a path, as it is or below ``folder``: to one of these corpora where it lies in a data
    folder, or in a format of `models.data.formats`.

    Raises:
        DataError: no such corpus, its files are missing, damaged or lack a column, or its splits share
            what they claim not to.
    """
    if name not in CORPORA:
        path = _path(name, folder)
        if (own := _own(path)) is None:
            return formats.read(path, **options)
        name, folder = own
    if folder is None or not folder.is_dir():
        where = "no data folder" if folder is None else f"{folder}: no such folder"
        raise DataError(f"{where}; expected --data with the folder that holds {name}'s files")
    reader = CORPORA[name]
    try:
        inspect.signature(reader).bind(folder, **options)
    except TypeError as error:
        raise DataError(f"{name}: {error}") from error
    corpus = reader(folder, **options)
    assert_whole(corpus)
    assert_disjoint(corpus)
    return corpus


def _path(name: str, folder: Path | None) -> Path:
    for path in (Path(name), *([folder / name] if folder else [])):
        if path.exists():
            return path
    raise DataError(f"no corpus and no path {name!r}; there are {', '.join(CORPORA)}, and {formats.KNOWN}")


def _own(path: Path) -> tuple[str, Path] | None:
    """The corpus whose file or folder ``path`` is, with the data folder; None where it is none of them."""
    path = path.absolute()
    for name, file in FILES.items():
        for folder in path.parents[:2]:
            where = folder / file
            if path in (where, where.parent) and where.is_file():
                return name, folder
    return None
