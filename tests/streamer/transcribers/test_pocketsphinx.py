"""The embedded recogniser on recordings of read speech, and on noise."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from streamer.errors import TranscribeError
from streamer.stage import run_inline
from streamer.transcribers.pocketsphinx import Config, PocketSphinx, Word, confidence
from streamer.types import RATE, Floats, Utterance

from .talk import context, growing, recording, said, texts, unheard

CLIP = ("asr", "sb_spk1_snt5.flac")  # "Sunday is the best part of the week"


@pytest.fixture(scope="module")
def loaded() -> PocketSphinx:
    return Config().build(context())


@pytest.fixture
def clip() -> Floats:
    return recording(*CLIP)


def whole(pcm: Floats, start: float = 0.0) -> Utterance:
    return said(start, start + len(pcm) / RATE, pcm=pcm)


def test_clear_speech_is_recognised_in_lower_case(loaded: PocketSphinx, clip: Floats) -> None:
    (got,) = run_inline(loaded, [whole(clip, 10)])
    assert texts([got]) == ["sunday is the best part of the week"]
    assert got.transcript is not None
    assert got.transcript.language == "en"
    assert got.transcript.model == "pocketsphinx en-us"
    assert got.transcript.confidence >= loaded.min_confidence


def test_partials_grow_while_speech_goes_on_and_do_not_change_the_final(clip: Floats) -> None:
    with_partials, without = Config().build(context()), Config().build(context())
    *partials, final = run_inline(with_partials, growing(clip, 0.5))
    (alone,) = run_inline(without, [whole(clip)])
    assert final.transcript == alone.transcript
    counts = [len((t or "").split()) for t in texts(partials)]
    assert counts == sorted(counts)
    assert counts[-1] >= 4


def test_an_utterance_that_was_split_is_recognised_from_its_own_sound(clip: Floats) -> None:
    stage = Config().build(context())
    partial = said(0, len(clip) / RATE, final=False, pcm=clip)
    shorter = clip[: len(clip) - RATE // 2]
    *_, final = run_inline(stage, [partial, said(0, len(shorter) / RATE, pcm=shorter)])
    (alone,) = run_inline(Config().build(context()), [said(0, len(shorter) / RATE, pcm=shorter)])
    assert final.transcript == alone.transcript


def test_partials_of_a_later_utterance_do_not_change_its_final_either(clip: Floats) -> None:
    other = recording("asr", "sb_spk1_snt1.flac")
    with_partials, without = Config().build(context()), Config().build(context())
    *_, final = run_inline(with_partials, [whole(other), *growing(clip, 0.5, start=10)])
    *_, alone = run_inline(without, [whole(other), whole(clip, 10)])
    assert final.transcript == alone.transcript


def test_the_first_utterance_is_heard_with_its_own_microphone_in_mind() -> None:
    pcm = recording("asr", "LJ001-0002.flac")
    (got,) = run_inline(Config().build(context()), [whole(pcm)])
    assert {"in", "being", "comparatively"} <= set(str(texts([got])[0]).split())


def test_two_channels_do_not_mix(loaded: PocketSphinx, clip: Floats) -> None:
    other = recording("asr", "sb_spk1_snt1.flac")
    got = run_inline(
        loaded,
        [
            said(50, 51, final=False, pcm=clip),
            said(50, 51, final=False, channel=1, pcm=other),
            said(50, 50 + len(clip) / RATE, pcm=clip),
            said(50, 50 + len(other) / RATE, channel=1, pcm=other),
        ],
    )
    assert "best part of the week" in str(texts(got)[2])
    assert "child" in str(texts(got)[3])


def test_silence_has_no_words_worth_using(loaded: PocketSphinx) -> None:
    (got,) = run_inline(loaded, [said(100, 102)])
    assert got.transcript is None or got.transcript.confidence < loaded.min_confidence


def test_a_partial_after_its_final_and_one_after_cancel_are_ignored(clip: Floats) -> None:
    stage = Config().build(context())
    late = said(0, 1, final=False, pcm=clip)
    assert len(run_inline(stage, [whole(clip), late])) == 1
    stage.cancel()
    got = run_inline(stage, [said(5, 6, final=False, pcm=clip), whole(clip, 5)])
    assert [u.final for u in got] == [True]
    assert texts(got)[0]


def test_faces_seen_in_silence_pass_untouched(loaded: PocketSphinx) -> None:
    silent = unheard(0, 2)
    assert run_inline(loaded, [silent]) == [silent]


def test_a_few_sounds_stretched_over_a_long_noise_are_not_trusted() -> None:
    word = Word("in", 1.0, 2.9, 2)
    assert confidence([word], 3.0) < 0.25
    assert confidence([Word("in", 1.0, 0.2, 2)], 0.5) == 1.0


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(TranscribeError, match="pip install 'pocketsphinx"):
        Config().build(context())


def test_loud_sound_is_limited_not_wrapped_around(loaded: PocketSphinx, clip: Floats) -> None:
    (got,) = run_inline(loaded, [whole(np.float32(3) * clip, 200)])
    assert "week" in str(texts([got])[0])
