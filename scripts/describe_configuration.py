"""Writes docs/configuration.md from the configuration models: python scripts/describe_configuration.py [--check]."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from streamer.config import RunConfig, kinds

TARGET = Path(__file__).parents[1] / "docs" / "configuration.md"
HEAD = """# Configuration

A run is one TOML file: `lmam run FILE`. Unknown keys are errors that name the known ones. Any value can be set from the command
line (`--set segmenter.max_speech=10`, `--set sink.0.url=mqtt://host`, `--set 'transcriber={kind="none"}'`) or by an environment
variable (`LMAM__SEGMENTER__MAX_SPEECH=10`); the command line wins over the environment, the environment over the file.
Examples: `configs/`. This page is written by `scripts/describe_configuration.py` from the code.
"""
PLUGINS = (
    ("[[source]]", "streamer.sources", "What is captured; at least one."),
    ("[vad]", "streamer.vad", "Voice activity detection."),
    ("[transcriber]", "streamer.transcribers", "From speech to words."),
    ("[speakers]", "streamer.speakers", "Who speaks, where neither sound channels nor a transcript tell."),
    ("[[sink]]", "streamer.sinks", "Where estimates go; without any, the console."),
)
WORDS = {
    dict: "table",
    int: "integer",
    float: "number",
    bool: "true or false",
    str: "text",
    Path: "path",
    SecretStr: "text (secret)",
    NoneType: "none",
}


def page() -> str:
    parts = [HEAD, "## Top level\n", _table(RunConfig, skip={"segmenter", "join", "face", "estimate"})]
    for name in ("segmenter", "join", "estimate"):
        parts += [f"## [{name}]\n", _table(RunConfig.model_fields[name].annotation)]
    parts += ["## [face]\n", _table(importlib.import_module("streamer.encoders.face").Config)]
    for title, package, about in PLUGINS:
        parts.append(
            f"## {title}\n\n{about} `kind` is one of: {', '.join(f'`{k}`' for k in kinds(package))}.\n"
        )
        for kind in kinds(package):
            config = importlib.import_module(f"{package}.{kind}").Config
            parts += [f'### kind = "{kind}"\n', _summary(config), _table(config)]
    return "\n".join(part for part in parts if part)


def _summary(model: type[BaseModel]) -> str:
    text = (model.__doc__ or "").strip().split("\n\n")[0]
    return " ".join(text.split()) + "\n" if text else ""


def _table(model: Any, skip: set[str] | frozenset[str] = frozenset()) -> str:
    rows = [
        f"| `{name}` | {_type(field.annotation)} | {_default(field)} | {field.description or ''} |"
        for name, field in model.model_fields.items()
        if name not in skip
    ]
    return (
        "| key | value | default | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
        if rows
        else "No keys.\n"
    )


def _type(annotation: Any) -> str:
    """An annotation in words: ``"auto" or "cpu"``, ``number or none``, ``list of tables``."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f'"{value}"' for value in inner)
    if origin is Annotated:
        return _type(inner[0])
    if origin in (Union, UnionType):
        return " or ".join(_type(part) for part in inner)
    if origin is tuple:
        return f"list of {_type(inner[0])}s"
    word = WORDS.get(origin or annotation)
    if word is None:
        raise TypeError(f"no words for the type {annotation}; add them to WORDS")
    return word


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    if field.default is PydanticUndefined:
        return "computed"
    value = field.default
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if value not in ((), {}, "") else "none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if the page is not current")
    text = page()
    if parser.parse_args().check:
        sys.exit(0 if TARGET.read_text() == text else f"{TARGET.name} is not current: run {sys.argv[0]}")
    TARGET.write_text(text)


if __name__ == "__main__":
    main()
