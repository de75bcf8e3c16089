"""faster-whisper's real code on a tiny model with random weights: what it hears means nothing, how it is
handled does."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamer.context import Context, Notices
from streamer.errors import ConfigError
from streamer.stage import run_inline
from streamer.transcribers import auto, faster_whisper
from streamer.transcribers.faster_whisper import Config, FasterWhisper, Heard
from streamer.transcribers.whisper_files import Loaded
from streamer.types import RATE, Floats
from tests.tiny_whisper import WORDS, build

from .talk import context, growing, said, texts, unheard

pytestmark = pytest.mark.timeout(120)  # the first import of CTranslate2 may be slow


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("tiny") / "whisper-test")


@pytest.fixture(scope="session")
def polyglot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("tiny") / "whisper-poly", multilingual=True)


@pytest.fixture(autouse=True)
def _empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LMAM_WEIGHTS", str(tmp_path / "weights"))


def stage(model: Path, here: Context | None = None, **options: Any) -> FasterWhisper:
    return Config(model=str(model), threads=1, **options).build(here or context())


def sound(seconds: float, seed: int = 0) -> Floats:
    """Something like a voice: a tone that wobbles, with noise."""
    time = np.arange(round(seconds * RATE)) / RATE
    rng = np.random.default_rng(seed)
    wave = np.sin(2 * np.pi * (150 + 40 * seed + 30 * np.sin(3 * time)) * time)
    return (0.3 * wave + rng.normal(0, 0.05, len(time))).astype(np.float32)


def heard(text: str = "all is well", **facts: float) -> Heard:
    usual = {"language_probability": 1.0, "log_prob": -0.3, "no_speech": 0.01, "compression": 1.2}
    return Heard(text, "en", **{**usual, **facts})


# Words, partials, confidence


def test_a_final_gets_words_language_confidence_and_model(tiny: Path) -> None:
    (got,) = run_inline(stage(tiny), [said(3, 5, pcm=sound(2))])
    assert got.transcript is not None
    assert set(got.transcript.text.split()) <= set(WORDS)
    assert got.transcript.language == "en"
    assert 0 < got.transcript.confidence < 1
    assert got.transcript.model == "faster-whisper test int8 cpu"


def test_the_same_sound_gives_the_same_words(tiny: Path) -> None:
    utterance = said(0, 2, pcm=sound(2))
    assert texts(run_inline(stage(tiny), [utterance])) == texts(run_inline(stage(tiny), [utterance]))


def test_partials_keep_the_words_on_which_two_hypotheses_agreed(tiny: Path) -> None:
    s = stage(tiny)
    settled: list[str] = []
    hypotheses = set()
    for i in range(5):  # other sound each time, so that the hypotheses differ
        pcm = np.random.default_rng(i).normal(0, 0.02 * 4**i, 3 * RATE).astype(np.float32)
        utterance = said(0, 1 + i / 2, final=False, revision=i, pcm=pcm)
        (got,) = s.push(utterance)
        assert got.transcript is not None
        hypotheses.add(got.transcript.text)
        words = got.transcript.text.split()
        assert words[: len(settled)] == settled
        settled = words[: s._agreements[0][1].settled]
    assert len(hypotheses) > 1


def test_partials_do_not_change_the_final(tiny: Path) -> None:
    pcm = sound(2.5)
    *_, after = run_inline(stage(tiny), growing(pcm, 1.0))
    (alone,) = run_inline(stage(tiny), [said(0, 2.5, pcm=pcm)])
    assert after.transcript == alone.transcript


def test_partials_can_be_turned_off(tiny: Path) -> None:
    got = run_inline(stage(tiny, partials=False), growing(sound(2), 1.0))
    assert [u.final for u in got] == [True]


def test_a_partial_after_its_final_is_ignored(tiny: Path) -> None:
    pcm = sound(1)
    got = run_inline(stage(tiny), [said(0, 1, pcm=pcm), said(0, 0.5, final=False, pcm=pcm)])
    assert [u.final for u in got] == [True]


def test_after_cancel_partials_are_dropped_and_the_final_in_flight_is_still_transcribed(tiny: Path) -> None:
    s = stage(tiny)
    *partials, final = growing(sound(4), 1.0)
    assert len(list(s.push(partials[0]))) == 1
    s.cancel()
    assert [list(s.push(p)) for p in partials[1:]] == [[] for _ in partials[1:]]
    (got,) = s.push(final)
    assert got.transcript is not None
    assert list(s.flush()) == []


def test_two_channels_keep_their_partials_apart(tiny: Path) -> None:
    s = stage(tiny)
    left, right = growing(sound(3), 1.0), growing(sound(3, seed=3), 1.0)
    moved = [replace(u, segment=_on_channel_1(u)) for u in right]
    mixed = [u for pair in zip(left, moved, strict=True) for u in pair]
    got = run_inline(s, mixed)
    assert texts(got)[::2] == texts(run_inline(stage(tiny), left))
    assert texts(got)[1::2] == texts(run_inline(stage(tiny), moved))


def _on_channel_1(utterance: Any) -> Any:
    return replace(utterance.segment, audio=replace(utterance.segment.audio, channel=1))


def test_faces_seen_in_silence_pass_untouched(tiny: Path) -> None:
    silent = unheard(0, 2)
    assert run_inline(stage(tiny), [silent]) == [silent]


def test_confidence_falls_with_the_tokens_and_with_the_chance_of_no_speech() -> None:
    assert heard(log_prob=-0.3, no_speech=0.0).confidence == pytest.approx(math.exp(-0.3))
    assert heard(log_prob=-0.3, no_speech=0.5).confidence == pytest.approx(math.exp(-0.3) / 2)
    assert heard(log_prob=-9.0).confidence < 0.001


# Guards against invented text


@pytest.mark.parametrize(
    ("doubtful", "reason"),
    [
        (heard(log_prob=-1.5, no_speech=0.9), "no speech"),
        (heard(log_prob=-1.5), "log probability"),
        (heard(compression=3.0), "compression"),
        (heard("thank you so much " * 5), "repeated"),
        (heard("one two three four five six seven eight nine ten eleven twelve"), "too many words"),
    ],
)
def test_invented_words_are_recognised(tiny: Path, doubtful: Heard, reason: str) -> None:
    assert reason in (stage(tiny).doubt(doubtful, 1.0) or "")


def test_sound_words_pass_the_gates_even_if_the_pause_detector_is_unsure(tiny: Path) -> None:
    s = stage(tiny)
    assert s.doubt(heard(), 1.0) is None
    assert s.doubt(heard(no_speech=0.9), 1.0) is None


def test_what_the_gates_reject_is_no_transcript(tiny: Path) -> None:
    for options in ({"log_prob": 0.0}, {"compression": 0.5}):
        got = run_inline(stage(tiny, **options), growing(sound(2), 1.0))
        assert texts(got) == [None, None]


# Language


def test_a_fixed_language_is_used(polyglot: Path) -> None:
    (got,) = run_inline(stage(polyglot, language="de"), [said(0, 1, pcm=sound(1))])
    assert got.transcript is not None
    assert got.transcript.language == "de"


def test_an_unsure_detection_is_not_kept(polyglot: Path) -> None:
    s = stage(polyglot)
    run_inline(s, [said(0, 1, pcm=sound(1))])
    assert s._language is None


def test_a_sure_detection_is_kept_until_its_words_make_no_sense(polyglot: Path) -> None:
    s = stage(polyglot)
    s._follow_language(replace(heard(), language="fr", language_probability=0.95), None)
    (got,) = run_inline(s, [said(0, 1, pcm=sound(1))])
    assert got.transcript is not None
    assert got.transcript.language == "fr"
    s._follow_language(heard(), "a phrase repeated")
    assert s._language is None


# Devices


def test_without_a_gpu_the_cpu_does_it_and_says_so(
    tiny: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ctranslate2

    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 0)
    here = context()
    with caplog.at_level(logging.WARNING):
        s = stage(tiny, here, device="cuda")
    assert s.name.endswith("int8 cpu")
    assert "GPU cannot be used" in here.notices.all()["transcriber"]
    assert "GPU cannot be used" in caplog.text


class Broken:
    """A model whose device fails when it is used."""

    def transcribe(self, *args: object, **kwargs: object) -> tuple[Iterator[object], object]:
        raise RuntimeError("CUDA failed with error out of memory")


def test_a_gpu_that_fails_in_mid_run_is_replaced_by_the_cpu_and_no_words_are_lost(tiny: Path) -> None:
    notices = Notices()
    s = FasterWhisper(Config(), Loaded(Broken(), tiny, "cuda", "float16", 1), notices)
    assert s.name == "faster-whisper test float16 cuda"
    (got,) = run_inline(s, [said(0, 1, pcm=sound(1))])
    assert got.transcript is not None
    assert s.name == "faster-whisper test int8 cpu"
    assert "out of memory" in notices.all()["transcriber"]


def test_a_failure_on_the_cpu_loses_the_words_but_not_the_run(tiny: Path) -> None:
    notices = Notices()
    s = FasterWhisper(Config(), Loaded(Broken(), tiny, "cpu", "int8", 1), notices)
    (got,) = run_inline(s, [said(0, 1, pcm=sound(1))])
    assert got.transcript is None
    assert "failed" in notices.all()["transcriber"]


# Weights that are missing or damaged


def test_a_size_that_is_not_on_disk_says_where_it_was_sought_and_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        Config(model="small").build(context())
    said_ = str(error.value)
    for part in (str(tmp_path / "weights" / "whisper-small"), "model.bin", "config.json", "tokenizer.json"):
        assert part in said_
    assert "lmam models pull whisper-small" in said_


def test_a_hub_name_while_offline_is_sought_in_the_hubs_cache_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import socket

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(
        ConfigError, match=r"'Systran/faster-whisper-base' is not on this disk.*pull whisper-base"
    ):
        Config(model="Systran/faster-whisper-base").build(context())


def test_the_weights_folder_is_searched_for_sizes_and_hub_names(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "whisper-tiny").symlink_to(tiny)
    for name in ("tiny", "whisper-tiny", "Systran/faster-whisper-tiny"):
        assert stage(Path(name)).name == "faster-whisper tiny int8 cpu"


def test_a_directory_without_its_tokenizer_is_named(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "half"
    folder.mkdir()
    for name in ("model.bin", "config.json", "vocabulary.json"):
        (folder / name).symlink_to(tiny / name)
    with pytest.raises(ConfigError, match=r"half: .*no tokenizer\.json"):
        stage(folder)


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json"])
def test_a_truncated_file_is_a_named_error(tiny: Path, tmp_path: Path, name: str) -> None:
    from streamer.errors import TranscribeError

    folder = tmp_path / "cut"
    folder.mkdir()
    for file in tiny.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / name).write_bytes((tiny / name).read_bytes()[: (tiny / name).stat().st_size // 2])
    with pytest.raises(TranscribeError, match="cut: these Whisper weights cannot be used"):
        stage(folder)


def test_weights_of_another_kind_are_a_named_error(tiny: Path, tmp_path: Path) -> None:
    from streamer.errors import TranscribeError

    folder = tmp_path / "other"
    folder.mkdir()
    for file in tiny.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "model.bin").write_bytes(np.arange(5000, dtype=np.int32).tobytes())
    with pytest.raises(TranscribeError, match="other: these Whisper weights cannot be used"):
        stage(folder)


def test_a_precision_that_does_not_exist_is_a_named_error(tiny: Path) -> None:
    from streamer.errors import TranscribeError

    with pytest.raises(TranscribeError, match="compute_type was 'int3'"):
        stage(tiny, compute_type="int3")


def test_auto_takes_whisper_where_its_weights_are(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "whisper-base").symlink_to(tiny)
    (tmp_path / "talk.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\nHello\n")
    here = context()
    assert auto.Config(media=tmp_path / "talk.wav").build(here).name == "faster-whisper base int8 cpu"
    assert here.notices.all() == {}


def test_the_kind_can_be_named_in_a_configuration() -> None:
    from streamer.config import kinds, plugin

    assert set(kinds("streamer.transcribers")) == {
        "auto",
        "faster_whisper",
        "none",
        "pocketsphinx",
        "sidecar",
    }
    made = plugin("streamer.transcribers", {"kind": "faster_whisper", "model": "tiny"}, "x.toml")
    assert isinstance(made, faster_whisper.Config)
