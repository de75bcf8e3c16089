"""Runs the installed command as a user would."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamer.payloads import EstimateV1

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "streamer" / "sample" / "sample.mp4"


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


async def start(*args: str, state: Path, stdin: bool = False, **env: str) -> asyncio.subprocess.Process:
    """``lmam ARGS`` with a state folder of its own, words on pipes."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "streamer",
        *args,
        stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "LMAM__STATE_DIR": str(state), "COLUMNS": "120", **env},
    )


async def end(process: asyncio.subprocess.Process) -> Ended:
    out, err = await process.communicate()
    return Ended(process.returncode or 0, out.decode(), err.decode())


async def lmam(*args: str, state: Path, **env: str) -> Ended:
    return await end(await start(*args, state=state, **env))


def read_log(path: Path) -> list[EstimateV1]:
    return [EstimateV1.model_validate_json(line) for line in path.read_text().splitlines()]


def comparable(path: Path) -> list[dict[str, Any]]:
    """The lines without what a clock made."""
    clocks = ("captured_at", "published_at", "latency")
    return [
        {k: v for k, v in json.loads(line).items() if k not in clocks}
        for line in path.read_text().splitlines()
    ]
