"""Spoken clips with an expression and a speaker: RAVDESS, EmoDB and whatever lies in the same form.

A folder holds ``manifest.csv`` and the zip files that it names, with FLAC or WAV files, 16 kHz mono.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from models.data import table
from models.data.corpus import DataError

RATE = 16_000  # Hz
COLUMNS = ("shard", "path", "emotion", "speaker", "gender", "split")


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording: where it lies, and what the manifest says of it."""

    shard: str
    path: str
    emotion: str
    speaker: str
    gender: str
    split: str


def clips(folder: Path) -> list[Clip]:
    """The clips of ``folder`` in the order of its manifest.

    Raises:
        DataError: the manifest is absent, damaged or lacks a column.
    """
    found = table.rows(folder / "manifest.csv", COLUMNS, "a list of spoken clips")
    return [Clip(*(row[c] for c in COLUMNS)) for row in found]


def sounds(folder: Path, wanted: Sequence[Clip]) -> Iterator[NDArray[np.float32]]:
    """The samples of each of ``wanted``, full scale 1.

    Raises:
        DataError: a file is absent, damaged, or not 16 kHz mono; or soundfile is not installed.
    """
    shards: dict[str, zipfile.ZipFile] = {}
    try:
        for clip in wanted:
            where = f"{folder / clip.shard}: {clip.path}"
            try:
                if clip.shard not in shards:
                    shards[clip.shard] = zipfile.ZipFile(folder / clip.shard)
                raw = shards[clip.shard].read(clip.path)
            except (OSError, KeyError, zipfile.BadZipFile, RuntimeError) as error:
                raise DataError(f"{where}: cannot be read ({error})") from error
            yield _samples(io.BytesIO(raw), where)
    finally:
        for shard in shards.values():
            shard.close()


def recording(path: Path) -> NDArray[np.float32]:
    """One sound file, 16 kHz mono.

    Raises:
        DataError: it is absent, damaged or another rate; or soundfile is not installed.
    """
    return _samples(path, path)


def _samples(file: Path | BinaryIO, where: object) -> NDArray[np.float32]:
    try:
        import soundfile  # type: ignore[import-untyped]
    except ImportError:
        raise DataError("reading recordings needs soundfile: pip install 'lmam-streamer[train]'") from None
    try:
        pcm, rate = soundfile.read(file, dtype="float32")
    except (OSError, RuntimeError) as error:
        raise DataError(f"{where}: cannot be read ({error})") from error
    if rate != RATE or pcm.ndim != 1:
        raise DataError(f"{where}: {rate} Hz, shape {list(pcm.shape)}; expected {RATE} Hz, mono")
    return np.asarray(pcm, dtype=np.float32)
