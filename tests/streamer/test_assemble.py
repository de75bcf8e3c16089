"""Choices made between the configuration and the graph."""

from __future__ import annotations

from pathlib import Path

import pytest

from models import checkpoint
from models.checkpoint import WEIGHTS
from streamer.assemble import check, info, load_networks, transcriber_table
from streamer.config import RunConfig, Table
from streamer.context import Context, Session
from streamer.errors import ConfigError, EncodeError

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


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (
            {"sink": [{"kind": "jsonl", "pth": "x"}]},
            r"x\.toml \[\[sink\]\] 0 .*unknown key 'pth'; known: path",
        ),
        (
            {"sink": [{"kind": "console"}, {"kind": "jsnl"}]},
            r"\[\[sink\]\] 1: no kind 'jsnl'; known: .*jsonl",
        ),
        ({"sink": [{"kind": "jsonl", "path": "FOLDER"}]}, r"cannot be written \(it is a folder\)"),
        ({"transcriber": {"kind": "pocketsphinx", "partial": 1}}, r"\[transcriber\].*unknown key 'partial'"),
        ({"vad": {"kind": "silent"}}, r"\[vad\]: no kind 'silent'"),
        ({"face": {"detector": 3}}, r"\[face\]"),
    ],
)
def test_what_is_wrong_with_any_table_is_said_before_networks_are_loaded(
    config: Table, says: str, tmp_path: Path
) -> None:
    for sink in config.get("sink", ()):
        if sink.get("path") == "FOLDER":
            sink["path"] = str(tmp_path)
    context = Context(session=Session(conversation="c", purpose="demo"), state_dir=tmp_path)
    with pytest.raises(ConfigError, match=says):
        check(RunConfig.model_validate(config), context, "x.toml")


def test_a_sound_configuration_passes_and_leaves_nothing_behind(tmp_path: Path) -> None:
    config = RunConfig(sink=({"kind": "jsonl", "path": str(tmp_path / "logs" / "{conversation}.jsonl")},))
    check(config, Context(session=Session(conversation="c", purpose="demo"), state_dir=tmp_path), "x.toml")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("trained", "head", "voices", "told"),
    [
        ("yes", "yes", False, "yes"),
        ("yes", "yes", True, "unclear"),
        ("no", "yes", True, "no"),
        ("yes", "no", False, "no"),
        (None, "yes", False, "unclear"),
    ],
)
def test_what_may_be_done_commercially_is_what_all_weights_in_use_allow(
    trained: str | None, head: str, voices: bool, told: str
) -> None:
    networks = load_networks(None, "cpu")
    assert networks.affect is not None
    networks.affect.meta["commercial_use"] = head
    networks.fusion.meta.pop("commercial_use")
    networks.fusion.meta.update({"commercial_use": trained} if trained else {})
    made = info(RunConfig(purpose="demo"), networks, "none", frozenset({"audio"}), voices)
    assert made.commercial_use == told


def linked(folder: Path, *without: str) -> Path:
    """What ships, as links in ``folder``, but for the files ``without``."""
    folder.mkdir()
    for path in WEIGHTS.iterdir():
        if path.name not in without:
            (folder / path.name).symlink_to(path)
    return folder


def test_a_folder_without_a_head_of_valence_and_arousal_will_do(tmp_path: Path) -> None:
    assert load_networks(linked(tmp_path / "w", "affect.safetensors"), "cpu").affect is None
    assert load_networks(None, "cpu").affect is not None


def test_a_head_that_belongs_to_another_text_encoder_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    folder = linked(tmp_path / "w", "affect.safetensors")
    head = checkpoint.load(WEIGHTS / "affect.safetensors", "affect")
    checkpoint.save(folder / "affect.safetensors", head.tensors, {**head.meta, "encoders": {"text": "?"}})
    with pytest.raises(EncodeError, match=r"another text encoder .*python -m models\.train_affect ship"):
        load_networks(folder, "cpu")
