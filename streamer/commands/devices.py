"""``lmam devices``: what there is to capture with, in the words a configuration uses."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer

from .. import devices
from .common import write_json


def run(json_file: Path | None) -> None:
    microphones, cameras = devices.microphones(), devices.cameras()
    typer.echo('Microphones: [[source]] kind = "microphone", device = number or part of the name')
    for m in microphones:
        mark = " (default)" if m.default else ""
        typer.echo(f"  {m.index:>3}  {m.name}: {m.channels} channels, {m.rate:g} Hz{mark}")
    if why := devices.why_no_microphones():
        typer.echo(f"  none: {why}")
    typer.echo('Cameras: [[source]] kind = "webcam", device = number or path')
    for c in cameras:
        typer.echo(f"  {c.index:>3}  {c.path}: {c.name}{f' ({c.trouble})' if c.trouble else ''}")
    if not cameras and (why := devices.why_no_cameras()):
        typer.echo(f"  none: {why}")
    found = {"microphones": [asdict(m) for m in microphones], "cameras": [asdict(c) for c in cameras]}
    write_json(json_file, found)
