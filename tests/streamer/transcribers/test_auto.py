"""The best recogniser on this disk is chosen, and what it is is said."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest

from streamer.errors import ConfigError
from streamer.transcribers import auto

from .talk import context

VTT = "WEBVTT\n\n00:00.000 --> 00:01.000\nHello\n"


@pytest.fixture(autouse=True)
def _nothing_on_disk_and_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LMAM_WEIGHTS", str(tmp_path / "weights"))

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def files(tmp_path: Path, *sizes: str) -> None:
    for size in sizes:
        folder = tmp_path / "weights" / f"whisper-{size}"
        folder.mkdir(parents=True)
        for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.json"):
            (folder / name).write_text("{}")


def test_without_weights_and_transcript_the_embedded_one_listens_and_says_how_good_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    here = context()
    with caplog.at_level(logging.WARNING):
        stage = auto.Config().build(here)
    assert stage.name == "pocketsphinx en-us"
    assert here.notices.all() == {"transcriber": auto.FALLBACK}
    (line,) = [r.getMessage() for r in caplog.records]
    assert "lmam models pull whisper-base" in line


def test_the_transcript_beside_a_file_comes_before_the_embedded_one(tmp_path: Path) -> None:
    (tmp_path / "talk.vtt").write_text(VTT)
    here = context()
    stage = auto.Config(media=tmp_path / "talk.mp4", language="en").build(here)
    assert stage.name == "sidecar talk.vtt"
    assert here.notices.all() == {}


def test_weights_that_cannot_be_loaded_are_reported_and_the_next_best_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files(tmp_path, "base")
    (tmp_path / "talk.vtt").write_text(VTT)
    with caplog.at_level(logging.WARNING):
        stage = auto.Config(media=tmp_path / "talk.mp4").build(context())
    assert stage.name == "sidecar talk.vtt"
    assert "whisper-base" in caplog.text


def test_the_transcript_can_be_preferred(tmp_path: Path) -> None:
    files(tmp_path, "base")
    (tmp_path / "talk.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    stage = auto.Config(media=tmp_path / "talk.mp4", prefer_sidecar=True).build(context())
    assert stage.name == "sidecar talk.srt"


def test_a_model_that_was_named_is_not_silently_replaced(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lmam models pull whisper-small"):
        auto.Config(model="small").build(context())


def test_what_keeps_up_is_preferred_on_a_processor_and_the_best_on_a_gpu(tmp_path: Path) -> None:
    assert auto.installed("cpu") is None
    files(tmp_path, "tiny", "base", "small", "large-v3-turbo")
    assert auto.installed("cpu") == "base"
    assert auto.installed("cuda") == "large-v3-turbo"
