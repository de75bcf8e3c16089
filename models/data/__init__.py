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


def load(name: str, folder: Path | None = None, **options: Any) -> Corpus:
    """The corpus ``name`` from ``folder``, which holds a folder for each; ``options`` go to its reader.

    ``name`` may also be a path, as it is or below ``folder``, in a format of `models.data.formats`.

    Raises:
        DataError: no such corpus, its files are missing, damaged or lack a column, or its splits share
            what they claim not to.
    """
    if name not in CORPORA:
        return formats.read(_path(name, folder), **options)
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
