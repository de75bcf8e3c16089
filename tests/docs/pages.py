"""What a reader would copy out of a page: fenced blocks, command lines, commands and options in the text."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer.main

from streamer.cli import app

ROOT = Path(__file__).parents[2]
GENERATED = {"results.md", "model-results.md"}  # tables of stored runs, written by their own commands
PAGES = (ROOT / "README.md", *sorted(p for p in (ROOT / "docs").glob("*.md") if p.name not in GENERATED))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"^ {4}(lmam .+)$", re.MULTILINE)
SPAN = re.compile(r"`(lmam [^`]+|--[^`]+)`")
TOP: Any = typer.main.get_command(app)


@dataclass(frozen=True)
class Block:
    """A fenced block; ``page`` as a path from the root."""

    page: str
    language: str
    text: str

    @property
    def first(self) -> str:
        """Its first line, by which people know it."""
        return self.text.partition("\n")[0]

    @property
    def name(self) -> str:
        return f"{self.page}: {self.first}"


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    return [Block(name(path), *found) for found in FENCE.findall(path.read_text(encoding="utf-8"))]


def command_lines(path: Path) -> list[list[str]]:
    """The words of every line that starts ``lmam``, in shell blocks, behind pipes and indented."""
    text = path.read_text(encoding="utf-8")
    lines = INDENTED.findall(FENCE.sub("", text))
    for block in blocks(path):
        if block.language in ("", "sh", "bash"):
            lines += [part for line in block.text.splitlines() for part in line.split(" | ")]
    # [--what FILE] is how a page says that an option may be left out.
    found = [shlex.split(re.sub(r"\[(--[^]]*)\]", r"\1", line), comments=True) for line in lines if line]
    return [words for words in found if words[:1] == ["lmam"]]


def spans(path: Path) -> list[str]:
    """Commands and options named in the text: ``lmam train CONFIG``, ``--data FOLDER``."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    return [" ".join(span.split()) for span in SPAN.findall(text)]


def resolve(words: list[str]) -> tuple[Any, list[str]]:
    """The command that ``words`` (after ``lmam``) name, a group or one of its commands, and what is left."""
    command: Any = TOP
    while words and hasattr(command, "commands"):
        if words[0].startswith(("-", "...")):
            break
        assert words[0] in command.commands, f"no command {words[0]!r}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


def options(command: Any) -> set[str]:
    """Every option of a command, ``--help`` too."""
    return {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help", "-h"}


def every_option(command: Any = TOP) -> set[str]:
    """Those of ``command`` and of all below it."""
    return options(command).union(*(every_option(c) for c in getattr(command, "commands", {}).values()))
