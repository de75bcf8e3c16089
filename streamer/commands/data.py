"""``lmam data``: what a corpus holds, what stands twice, and features of recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from models import data
from models.data.check import Dropped, Shared, Summary, between, drop_leaks, summary
from models.data.corpus import Corpus, DataError

from ..errors import ConfigError
from .common import write_json


def check(names: Sequence[str], folder: Path | None, json_file: Path | None) -> None:
    """Print what each corpus holds and what they share, and write it as JSON.

    Raises:
        ConfigError: no such corpus or path, or a file of it is not as it should be.
        StreamerError: the JSON file cannot be written.
    """
    corpora = [_load(name, folder) for name in names]
    found = [summary(corpus) for corpus in corpora]
    pairs = [
        (one.name, other.name, between(one, other))
        for one in corpora
        for other in corpora
        if one is not other
    ]
    console = Console()
    for one in found:
        console.print(render(one))
    if pairs:
        console.print(render_between(pairs), Text())
    dropped = [drop_leaks(one, other)[1] for one in corpora for other in corpora]
    console.print(render_dropped(dropped))
    write_json(
        json_file,
        {
            "corpora": [asdict(s) for s in found],
            "between": [
                {"splits_of": one, "stand_in": other, **{s: asdict(n) for s, n in shares.items()}}
                for one, other, shares in pairs
            ],
            "dropped": [asdict(d) for d in dropped],
        },
    )


def _load(name: str, folder: Path | None) -> Corpus:
    try:
        return data.load(name, folder)
    except DataError as error:
        raise ConfigError(str(error)) from error


def render(one: Summary) -> Group:
    """Counts, labels and gaps of a corpus, and what its splits share."""
    heading = Text(f"{one.name}: {one.licence} (commercial use: {one.commercial_use})", style="bold")
    counts = _table("split")
    for title in ("conversations", "utterances", "labelled", "speakers", "groups", "without words"):
        counts.add_column(title, justify="right")
    for name, s in one.splits.items():
        numbers = (s.conversations, s.utterances, s.labelled, s.speakers, s.groups, s.wordless)
        counts.add_row(name, *(f"{n:,}" for n in numbers))
    parts: list[RenderableType] = [heading, counts, Text(), _labels(one)]
    if any(s.gaps for s in one.splits.values()):
        parts += [Text(), _gaps(one)]
    if one.within:
        parts += [Text(), _shares("stands twice", list(one.within.items()))]
    return Group(*parts, Text())


def _labels(one: Summary) -> Table:
    table = _table("label")
    for name in one.splits:
        table.add_column(name, justify="right")
    for i, label in enumerate(one.labels):
        table.add_row(label, *(_share(s.labels[i], s.labelled) for s in one.splits.values()))
    return table


def _share(count: int, of: int) -> str:
    return f"{count:,} ({100 * count / of:4.1f} %)" if of else "-"


def _gaps(one: Summary) -> Table:
    table = _table("modality")
    for title in ("split", "features", "utterances without", "single values missing", "infinite"):
        table.add_column(title, justify="right")
    for modality in dict.fromkeys(m for s in one.splits.values() for m in s.gaps):
        for split, s in one.splits.items():
            if gaps := s.gaps.get(modality):
                numbers = (gaps.width, gaps.absent, gaps.missing, gaps.infinite)
                table.add_row(modality, split, *(f"{n:,}" for n in numbers))
    return table


def _shares(title: str, rows: Sequence[tuple[str, Shared]]) -> Table:
    table = _table(title)
    for kind in ("groups", "speakers", "dialogues", "utterances"):
        table.add_column(kind, justify="right")
    for name, s in rows:
        style = "bold" if s.dialogues or s.utterances else ""
        table.add_row(
            name, *(f"{n:,}" for n in (s.groups, s.speakers, s.dialogues, s.utterances)), style=style
        )
    return table


def render_between(pairs: Sequence[tuple[str, str, dict[str, Shared]]]) -> Group:
    """What each split of one corpus has in another."""
    rows = [
        (f"{one} {split} in {other}", shared)
        for one, other, shares in pairs
        for split, shared in shares.items()
        if shared
    ]
    if not rows:
        return Group(Text("between the corpora: nothing in common"))
    return Group(_shares("stands in another corpus", rows))


def render_dropped(dropped: Sequence[Dropped]) -> Table:
    """What training on one corpus leaves out before it is measured on another, or on itself."""
    table = _table("left out of train")
    table.add_column("for dev and test of")
    for title in ("labels", "of whole dialogues", "of single utterances"):
        table.add_column(title, justify="right")
    for d in dropped:
        if d.rows or d.train == d.against:
            numbers = (d.rows, d.rows - d.utterances, d.utterances)
            table.add_row(d.train, d.against, *(f"{n:,}" for n in numbers))
    return table


def _table(first: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(first, no_wrap=True)
    return table
