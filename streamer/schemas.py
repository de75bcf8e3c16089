"""``python -m streamer.schemas [FOLDER]`` writes the JSON Schemas of all that is published (docs/schemas)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .payloads import SCHEMAS, json_schema

FOLDER = Path("docs/schemas")


def texts() -> dict[str, str]:
    """File name and content of every schema."""
    return {
        f"{name}.json": json.dumps(json_schema(name), indent=2, ensure_ascii=False) + "\n" for name in SCHEMAS
    }


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
