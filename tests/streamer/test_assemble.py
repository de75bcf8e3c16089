"""Choices made between the configuration and the graph."""

from __future__ import annotations

import pytest

from streamer.assemble import transcriber_table
from streamer.config import RunConfig, Table

FILM: Table = {"kind": "media", "path": "talk.mp4"}


def table(transcriber: Table, source: Table = FILM) -> Table:
    return transcriber_table(RunConfig(source=(source,), transcriber=transcriber))


@pytest.mark.parametrize("kind", ["auto", "sidecar"])
def test_who_looks_for_a_transcript_is_told_which_file_is_read(kind: str) -> None:
    assert table({"kind": kind}) == {"kind": kind, "media": "talk.mp4"}


@pytest.mark.parametrize("given", [{"media": None}, {"media": "other.mp4"}, {"path": "words.vtt"}])
def test_what_the_configuration_says_stands(given: Table) -> None:
    assert table({"kind": "auto", **given}) == {"kind": "auto", **given}


def test_who_does_not_look_for_one_is_told_nothing() -> None:
    assert table({"kind": "none"}) == {"kind": "none"}
    assert table({"kind": "auto"}, {"kind": "microphone"}) == {"kind": "auto"}
