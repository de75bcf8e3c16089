"""Transcripts that lie beside a media file: WebVTT (https://www.w3.org/TR/webvtt1/) and SubRip (.srt)."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import CaptureError
from ..types import Span

SUFFIXES = (".vtt", ".srt")

_CLOCK = r"(?:(\d+):)?(\d{1,2}):(\d{2})[.,](\d{3})"
_TIMES = re.compile(rf"\s*{_CLOCK}\s+-->\s+{_CLOCK}(?:\s.*)?$")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?(?:[ \t\n]+([^>]*))?>")
_TAG = re.compile(r"</?[a-zA-Z0-9:.][^<>]*>|</>|<>")
_OVERRIDE = re.compile(r"\{\\[^}]*\}")  # {\an8}: placement that leaked from another format into SubRip


@dataclass(frozen=True, slots=True)
class Cue:
    """Words of a transcript and when they are said, in seconds from the start of the file.

    ``voice`` is the speaker that the transcript names (WebVTT ``<v Name>``), if it does.
    """

    span: Span
    text: str
    voice: str | None = None


@dataclass(frozen=True, slots=True)
class _Block:
    """Lines between two blank ones; ``number`` is the first one's, from 1."""

    number: int
    lines: tuple[str, ...]


def find_sidecar(media: Path) -> Path | None:
    """The transcript beside ``media``: the same name with ``.vtt`` or, failing that, ``.srt``."""
    for suffix in SUFFIXES:
        for candidate in (media.with_suffix(suffix), media.with_suffix(suffix.upper())):
            if candidate != media and candidate.is_file():
                return candidate
    return None


def read_cues(path: Path) -> list[Cue]:
    """The cues of ``path`` in time order; a cue with several voices becomes one cue for each of them.

    Raises:
        CaptureError: the file cannot be read or is neither WebVTT nor SubRip; names the line.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise CaptureError(f"{path}: not a transcript that can be read; known: {', '.join(SUFFIXES)}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CaptureError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise CaptureError(f"{path}: cannot be read ({error.strerror or error})") from error
    blocks = list(_blocks(text))
    if path.suffix.lower() == ".vtt":
        if not blocks or blocks[0].number != 1 or not re.match(r"WEBVTT(\s|$)", blocks[0].lines[0]):
            raise CaptureError(f"{path}: line 1: a WebVTT file begins with the word WEBVTT")
        blocks = [b for b in blocks[1:] if not re.match(r"(NOTE|STYLE|REGION)(\s|$)", b.lines[0])]
    cues = [cue for block in blocks for cue in _cues(path, block)]
    return sorted(cues, key=lambda cue: cue.span)


def _blocks(text: str) -> Iterator[_Block]:
    lines: list[str] = []
    number = 1
    for i, line in enumerate([*text.splitlines(), ""], start=1):
        if line.strip():
            if not lines:
                number = i
            lines.append(line)
        elif lines:
            yield _Block(number, tuple(lines))
            lines = []


def _cues(path: Path, block: _Block) -> Iterator[Cue]:
    at = next((i for i, line in enumerate(block.lines[:2]) if "-->" in line), None)
    if at is None:
        raise CaptureError(
            f"{path}: line {block.number}: expected a time line such as 00:01.000 --> 00:02.500,"
            f" got {block.lines[0]!r}"
        )
    number = block.number + at
    span = _span(path, number, block.lines[at])
    for voice, text in _voices("\n".join(block.lines[at + 1 :])):
        if plain := _plain(text):
            yield Cue(span, plain, voice)


def _span(path: Path, number: int, line: str) -> Span:
    match = _TIMES.match(line)
    if match is None:
        raise CaptureError(f"{path}: line {number}: not a time line: {line.strip()!r}")
    start, end = _seconds(match.groups()[:4]), _seconds(match.groups()[4:])
    if end <= start:
        raise CaptureError(f"{path}: line {number}: the cue ends before it begins: {line.strip()!r}")
    return Span(start, end)


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, millis = (int(p or 0) for p in parts)
    return (hours * 3600 + minutes * 60 + seconds) + millis / 1000


def _voices(text: str) -> Iterator[tuple[str | None, str]]:
    """``<v Ann>Hi <v Bob>Hello`` as its parts; what stands before the first tag has no voice."""
    first, *rest = _VOICE.split(text)
    yield None, first
    for name, said in zip(rest[::2], rest[1::2], strict=True):
        yield " ".join(html.unescape(name or "").split()) or None, said


def _plain(text: str) -> str:
    return " ".join(html.unescape(_TAG.sub("", _OVERRIDE.sub("", text))).split())
