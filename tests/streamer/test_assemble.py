"""Choices made between the configuration and the graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models import checkpoint
from models.calibration import Temperatures
from models.checkpoint import WEIGHTS
from models.data.speech import clips, sounds
from models.encoders.spoken import Spoken
from models.fusion_weights import save_fusion
from models.hosts.gru import Config, GruLmam
from models.meld import LABELS
from models.normalise import Prior
from streamer.assemble import build, check, info, load_networks, transcriber_table
from streamer.config import RunConfig, Table
from streamer.context import Context, Session
from streamer.errors import ConfigError, EncodeError
from streamer.stage import run_inline
from streamer.types import RATE, AudioChunk, Segment, Speaker, Utterance
from tests.data import shared_data
from tests.fakes import FakeSource

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
    ("trained", "voice", "head", "voices", "told"),
    [
        ("yes", "yes", "yes", False, "yes"),
        ("yes", "yes", "yes", True, "unclear"),
        ("no", "yes", "yes", True, "no"),
        ("yes", "no", "yes", False, "no"),
        ("yes", "yes", "no", False, "no"),
        (None, "yes", "yes", False, "unclear"),
    ],
)
def test_what_may_be_done_commercially_is_what_all_weights_in_use_allow(
    trained: str | None, voice: str, head: str, voices: bool, told: str
) -> None:
    networks = load_networks(None, "cpu")
    assert networks.affect is not None
    assert networks.voice is not None
    networks.affect.meta["commercial_use"] = head
    networks.voice.meta["commercial_use"] = voice
    networks.fusion.meta.pop("commercial_use")
    networks.fusion.meta.update({"commercial_use": trained} if trained else {})
    made = info(RunConfig(purpose="demo"), networks, "none", frozenset({"audio"}), voices)
    assert made.commercial_use == told
    assert {"MELD labels", "FER2013 images", "RAVDESS"} <= {*made.data_licences}
    assert ("resemblyzer" in made.data_licences) == voices


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


def fusion_of(folder: Path, voice: int) -> None:
    """The shipped text encoder beside a new fusion that reads ``voice`` numbers of the voice network."""
    for name in ("text.safetensors", "text.tokenizer.json"):
        (folder / name).symlink_to(WEIGHTS / name)
    prior = Prior(("avg_pitch",), (5.0,), (0.4,))
    facts = {"labels": list(LABELS), "commercial_use": "yes"}
    save_fusion(
        folder / "fusion.safetensors",
        GruLmam(Config(audio=1, voice=voice)),
        prior,
        Temperatures.same(1.0),
        facts,
    )


def test_the_voice_network_is_loaded_for_a_fusion_that_reads_it_and_its_licence_counts(
    tmp_path: Path,
) -> None:
    fusion_of(tmp_path, 64)
    with pytest.raises(EncodeError, match=r"voice\.safetensors"):
        load_networks(tmp_path, "cpu")
    (tmp_path / "voice.safetensors").symlink_to(WEIGHTS / "voice.safetensors")
    networks = load_networks(tmp_path, "cpu")
    assert networks.voice is not None
    made = info(RunConfig(purpose="demo"), networks, "none", frozenset({"audio"}))
    assert made.commercial_use == networks.voice.meta["commercial_use"] == "no"


def test_a_fusion_that_does_not_read_the_voice_network_needs_none(tmp_path: Path) -> None:
    fusion_of(tmp_path, 0)
    networks = load_networks(tmp_path, "cpu")
    assert networks.voice is None
    assert info(RunConfig(purpose="demo"), networks, "none", frozenset({"audio"})).commercial_use == "yes"


def test_a_voice_network_of_another_width_is_refused(tmp_path: Path) -> None:
    fusion_of(tmp_path, 32)
    (tmp_path / "voice.safetensors").symlink_to(WEIGHTS / "voice.safetensors")
    with pytest.raises(EncodeError, match="has 64 numbers, the fusion beside it reads 32"):
        load_networks(tmp_path, "cpu")


@pytest.mark.parametrize("width", [0, 64])
def test_the_graph_measures_voices_as_the_fusion_reads_them(width: int, tmp_path: Path) -> None:
    """With and without the voice network, in the segmenter and where an utterance is cut at another voice."""
    fusion_of(tmp_path, width)
    (tmp_path / "voice.safetensors").symlink_to(WEIGHTS / "voice.safetensors")
    context = Context(session=Session(conversation="c", purpose="demo"), state_dir=tmp_path)
    config = RunConfig(transcriber={"kind": "none"}, speakers={"kind": "none"})
    silence = FakeSource([], tracks=("audio",))
    p = build(config, context, load_networks(tmp_path, "cpu"), [silence], [])
    (segment,) = (s for s in run_inline(p.segmenter, spoken()) if isinstance(s, Segment) and s.final)
    assert isinstance(segment.voice, Spoken) == bool(width)
    utterance = Utterance(segment.span, segment, (), Speaker("s0"))
    (features,) = run_inline(p.encoder, [utterance])
    assert (features.voice is not None) == bool(width)
    (estimate,) = run_inline(p.fusion, [features])
    assert [r.present for r in estimate.readings] == [False, True, False]


def spoken() -> list[AudioChunk]:
    """A clip of RAVDESS between silences, in chunks of 30 ms."""
    folder = shared_data() / "ravdess"
    (pcm,) = sounds(folder, [next(c for c in clips(folder) if c.emotion == "angry")])
    pcm = np.pad(pcm, RATE // 2)
    return [AudioChunk(pcm[at : at + 480], at / RATE) for at in range(0, len(pcm), 480)]
