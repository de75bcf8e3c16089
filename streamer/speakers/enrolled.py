"""People who asked to be known again by their voice: one file each in the state folder, and nothing else.

The file holds the name and an embedding of the voice. That is biometric data (GDPR Art. 9): it is made by
``lmam enroll`` only, read where the configuration says ``speakers.enrolled = true`` only, and removed by
``lmam enroll NAME --remove``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from models.whole import whole, write_private

from ..errors import ConfigError, EncodeError
from ..types import Floats

FOLDER = "voices"  # in the state folder
SIZE = 256  # numbers of an embedding


@dataclass(frozen=True, slots=True, eq=False)
class Voice:
    """``embedding``: float32 ``[256]`` of unit length."""

    name: str
    embedding: Floats


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=64)]
    embedding: Annotated[list[FiniteFloat], Field(min_length=SIZE, max_length=SIZE)]


def voices(state_dir: Path) -> list[Voice]:
    """Everybody who is enrolled, by name.

    Raises:
        EncodeError: a file cannot be read or is damaged.
    """
    found = []
    for path in sorted((state_dir / FOLDER).glob("*.json")):
        try:
            stored = _Stored.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            what = error.strerror if isinstance(error, OSError) else "damaged"
            raise EncodeError(f"{path}: {what}; remove the file and enrol again") from error
        found.append(Voice(stored.name, np.array(stored.embedding, np.float32)))
    return sorted(found, key=lambda v: v.name)


def store(state_dir: Path, voice: Voice) -> Path:
    """Keep ``voice``, in place of an earlier one of that name; readable by its owner only.

    Raises:
        ConfigError: the name is empty or too long, or the folder cannot be written.
    """
    try:
        stored = _Stored(name=voice.name, embedding=voice.embedding.tolist())
    except ValidationError as error:
        raise ConfigError(f"{voice.name!r}: a name has 1 to 64 characters") from error
    path = _path(state_dir, voice.name)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with whole(path) as part:
            write_private(part, stored.model_dump_json().encode())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror or error})") from error
    return path


def remove(state_dir: Path, name: str) -> None:
    """Delete what is kept of ``name``.

    Raises:
        ConfigError: nobody of that name is enrolled; says who is.
    """
    try:
        _path(state_dir, name).unlink()
    except FileNotFoundError:
        known = ", ".join(v.name for v in voices(state_dir)) or "nobody"
        raise ConfigError(f"{name!r} is not enrolled in {state_dir / FOLDER}; enrolled: {known}") from None
    except OSError as error:
        raise ConfigError(f"{name!r} cannot be removed ({error.strerror or error})") from error


def _path(state_dir: Path, name: str) -> Path:
    """A name of letters and digits, whatever ``name`` holds."""
    return state_dir / FOLDER / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"
