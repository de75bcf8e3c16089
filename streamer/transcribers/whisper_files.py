"""Finding and loading Whisper weights in CTranslate2's form, with errors that say what to do."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..context import Notices
from ..errors import ConfigError, TranscribeError
from ..types import RATE
from ..weights import KNOWN, OPTIONAL, REQUIRED, find, folder, missing

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A ``faster_whisper.WhisperModel`` and where and how it runs."""

    model: Any
    path: Path
    device: str
    compute_type: str
    threads: int

    @property
    def label(self) -> str:
        return f"{_short(self.path)} {self.compute_type} {self.device}"

    def on_cpu(self, why: str, notices: Notices) -> Loaded:
        """The same weights on the CPU, after the GPU failed; says so."""
        _tell(notices, why)
        return _open(self.path, "cpu", "int8", self.threads)


def locate(model: str) -> Path:
    """The directory of ``model``: a local one, a size in the weights folder, or a hub name in its cache.

    Raises:
        ConfigError: it is not on this disk, or files are missing from it.
    """
    directory = Path(model).expanduser()
    if directory.is_dir():
        if lacking := missing(directory):
            raise ConfigError(
                f"{directory}: not a Whisper model for faster-whisper: no {', '.join(lacking)}; expected"
                f" {', '.join((*REQUIRED, 'vocabulary.json'))}"
                + ("; tokenizer.json comes from the original model" if lacking == ["tokenizer.json"] else "")
            )
        return directory
    name = model.removeprefix("Systran/faster-").removeprefix("whisper-")
    found = find(f"whisper-{name}") or _cached(model)
    if found is not None:
        return found
    pull = f"whisper-{name}" if f"whisper-{name}" in KNOWN else "whisper-base"
    raise ConfigError(
        f"whisper model {model!r} is not on this disk: looked for a directory of that name, for"
        f" {folder() / f'whisper-{name}'} and in the hub's cache; it must hold"
        f" {', '.join((*REQUIRED, 'vocabulary.json'))} (and {OPTIONAL[0]}). Fetch it: lmam models pull {pull}"
    )


def load(path: Path, device: str, compute_type: str, threads: int, notices: Notices) -> Loaded:
    """Load and warm up the network at ``path``; a GPU that does not work is replaced by the CPU, and said.

    Raises:
        TranscribeError: the files are damaged, of another kind, or the precision is not supported.
    """
    if device == "cuda":
        try:
            import ctranslate2  # type: ignore[import-untyped]

            if ctranslate2.get_cuda_device_count() == 0:
                raise RuntimeError("CTranslate2 sees no GPU")
            return _open(path, "cuda", "float16" if compute_type == "auto" else compute_type, threads)
        except (RuntimeError, ValueError, TranscribeError) as error:
            _tell(notices, str(error))
    return _open(path, "cpu", "int8" if compute_type == "auto" else compute_type, threads)


def _open(path: Path, device: str, compute_type: str, threads: int) -> Loaded:
    try:
        from faster_whisper import WhisperModel  # type: ignore[import-untyped]
    except ImportError as error:
        raise TranscribeError(
            f"faster-whisper cannot be imported ({error}); pip install 'faster-whisper>=1.2.1,<2', or set"
            " transcriber.kind to auto"
        ) from error
    try:
        json.loads((path / "config.json").read_text(encoding="utf-8"))
        model = WhisperModel(
            str(path), device=device, compute_type=compute_type, cpu_threads=threads, local_files_only=True
        )
        for _ in model.transcribe(np.zeros(RATE, np.float32), language="en", beam_size=1, temperature=0.0)[0]:
            pass  # libraries of the GPU are loaded with the first call only
    except Exception as error:  # tokenizers raises bare Exception, CTranslate2 RuntimeError or ValueError
        raise TranscribeError(
            f"{path}: these Whisper weights cannot be used ({error}); if they are damaged or of another kind"
            f" (lmam models verify), fetch them again; compute_type was {compute_type!r} on {device}"
        ) from error
    return Loaded(model, path, device, compute_type, threads)


def _cached(model: str) -> Path | None:
    """Where the hub's own cache on this disk holds ``model``, if it does; never asks the network."""
    if "/" not in model:
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        path = Path(snapshot_download(model, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return None if missing(path) else path


def _short(path: Path) -> str:
    if path.parent.name == "snapshots":  # <cache>/models--Systran--faster-whisper-base/snapshots/<revision>
        path = Path(path.parent.parent.name.rpartition("--")[2])
    return path.name.removeprefix("faster-").removeprefix("whisper-")


def _tell(notices: Notices, why: str) -> None:
    message = f"the GPU cannot be used for speech ({why}); the CPU does it, more slowly"
    log.warning("%s", message)
    notices.set("transcriber", message)
