"""A recipe of training that stands in a TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import ClassVar, Self

from pydantic import ValidationError

from models.training.config import Table


class Filed(Table):
    """A table of values with the ``file`` that it is read from where nobody names another."""

    file: ClassVar[Path]

    @classmethod
    def read(cls, path: Path | None = None) -> Self:
        """What stands in the TOML file ``path`` (default: `file`).

        Raises:
            ValueError: it is missing, no TOML, or has an unknown or impossible value; the message says which.
        """
        path = path or cls.file
        try:
            return cls(**tomllib.loads(path.read_text(encoding="utf-8")))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ValueError(f"{path}: cannot be read ({error})") from error
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
