"""Draw a picture of the console view from a log: ``scripts/draw_console.py LOG docs/console.svg``.

The log is one that ``lmam demo`` wrote, so the picture shows what the program really said.
"""

from __future__ import annotations

import argparse
import io
import re
from pathlib import Path

from rich.console import Console

from streamer.payloads import EstimateV1, SessionV1
from streamer.view import View

FONTS = re.compile(r"@font-face\s*\{.*?\}\s*", re.DOTALL)  # they would be fetched from the web


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("log", type=Path, help="JSON lines of estimates")
    parser.add_argument("picture", type=Path, help="the SVG to write")
    parser.add_argument("--purpose", default="demo", help="shown in the header; logs do not hold it")
    parser.add_argument("--width", type=int, default=112, help="columns")
    options = parser.parse_args()
    lines = options.log.read_text(encoding="utf-8").splitlines()
    estimates = [EstimateV1.model_validate_json(line) for line in lines]
    options.picture.write_text(draw(estimates, options.purpose, options.width), encoding="utf-8")


def draw(estimates: list[EstimateV1], purpose: str, width: int) -> str:
    """The SVG of a terminal that shows ``estimates`` (at least one)."""
    view = View(duration=estimates[-1].end)
    first = estimates[0]
    view.update(
        SessionV1(conversation=first.conversation, event="started", at=first.published_at, purpose=purpose)
    )
    for estimate in estimates:
        view.update(estimate)
    console = Console(
        file=io.StringIO(), width=width, record=True, force_terminal=True, color_system="truecolor"
    )
    console.print(view.render())
    svg = console.export_svg(title="lmam demo", unique_id="lmam")
    return FONTS.sub("", svg).replace("Fira Code", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono")


if __name__ == "__main__":
    main()
