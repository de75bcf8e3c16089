"""Voices are told apart only where nothing else tells who speaks and the encoder is there."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from streamer.context import Context, Session
from streamer.errors import EncodeError
from streamer.speakers import auto, none
from streamer.speakers.voice import Tracker
from tests.data import speaker_encoder

CONTEXT = Context(session=Session(conversation="c", purpose="research"), state_dir=Path())


def test_with_the_encoder_voices_are_told_apart() -> None:
    assert speaker_encoder()
    assert isinstance(auto.Config().build(CONTEXT), Tracker)


def test_without_it_nobody_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == auto.PACKAGE else found(name)
    )
    assert auto.Config().build(CONTEXT) is None


def test_channels_and_tags_tell_who_speaks() -> None:
    assert auto.Config(weights=Path("x.pt")).build(replace(CONTEXT, channels=2)) is None
    assert auto.Config(weights=Path("x.pt")).build(replace(CONTEXT, tagged=True)) is None


def test_weights_that_were_named_must_be_there() -> None:
    with pytest.raises(EncodeError, match=r"x\.pt"):
        auto.Config(weights=Path("x.pt")).build(CONTEXT)


def test_kind_none_tells_nobody_apart() -> None:
    assert none.Config().build(CONTEXT) is None


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys; from streamer.speakers import auto, voice, none;"
        "print([m for m in ('torch', 'resemblyzer', 'librosa') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
