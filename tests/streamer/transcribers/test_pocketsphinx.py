"""The embedded recogniser on recordings of read speech, and on noise."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from streamer.errors import TranscribeError
from streamer.stage import run_inline
from streamer.transcribers import pocketsphinx
from streamer.transcribers.pocketsphinx import Config, PocketSphinx, Word, confidence
from streamer.types import RATE, Floats, Utterance

from .talk import context, growing, recording, said, texts, unheard

pytestmark = pytest.mark.timeout(90)  # loading and decoding, on a busy machine
CLIP = ("asr", "sb_spk1_snt5.flac")  # "Sunday is the best part of the week"


@pytest.fixture(scope="module")
def loaded() -> PocketSphinx:
    return Config().build(context())


@pytest.fixture
def clip() -> Floats:
    return recording(*CLIP)


def whole(pcm: Floats, start: float = 0.0, channel: int = 0) -> Utterance:
    return said(start, start + len(pcm) / RATE, channel=channel, pcm=pcm)


def assert_same(one: Utterance, other: Utterance) -> None:
    """The same words; the confidence may differ in the third digit with what the decoder heard before."""
    a, b = one.transcript, other.transcript
    assert a is not None
    assert b is not None
    assert a.text == b.text
    assert a.confidence == pytest.approx(b.confidence, abs=2e-3)


class Counting:
    """A decoder that notes how many samples it is given to search."""

    def __init__(self, decoder: Any, decoded: list[int]) -> None:
        self._decoder, self._decoded = decoder, decoded

    def __getattr__(self, name: str) -> Any:
        return getattr(self._decoder, name)

    def process_raw(self, pcm: bytes, no_search: bool = False, full_utt: bool = False) -> None:
        if not no_search:
            self._decoded.append(len(pcm) // 2)
        self._decoder.process_raw(pcm, no_search=no_search, full_utt=full_utt)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Samples given to the decoders that are loaded from now on, call by call."""
    samples: list[int] = []
    load = pocketsphinx._load
    monkeypatch.setattr(pocketsphinx, "_load", lambda: Counting(load(), samples))
    return samples


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
    assert_same(final, alone)
    counts = [len((t or "").split()) for t in texts(partials)]
    assert counts == sorted(counts)
    assert counts[-1] >= 4


def test_an_utterance_that_was_split_is_recognised_from_its_own_sound(clip: Floats) -> None:
    stage = Config().build(context())
    partial = said(0, len(clip) / RATE, final=False, pcm=clip)
    shorter = clip[: len(clip) - RATE // 2]
    *_, final = run_inline(stage, [partial, said(0, len(shorter) / RATE, pcm=shorter)])
    (alone,) = run_inline(Config().build(context()), [said(0, len(shorter) / RATE, pcm=shorter)])
    assert_same(final, alone)


def test_partials_of_a_later_utterance_do_not_change_its_final_either(clip: Floats) -> None:
    other = recording("asr", "sb_spk1_snt1.flac")
    with_partials, without = Config().build(context()), Config().build(context())
    *_, final = run_inline(with_partials, [whole(other), *growing(clip, 0.5, start=10)])
    *_, alone = run_inline(without, [whole(other), whole(clip, 10)])
    assert_same(final, alone)


def test_the_first_utterance_is_heard_with_its_own_microphone_in_mind() -> None:
    pcm = recording("asr", "LJ001-0002.flac")
    (got,) = run_inline(Config().build(context()), [whole(pcm)])
    assert {"in", "being", "comparatively"} <= set(str(texts([got])[0]).split())


def test_the_first_utterance_is_decoded_while_it_is_spoken(clip: Floats, decoded: list[int]) -> None:
    """What the end adds is the sound since the last partial, although the microphone was unknown."""
    *partials, final = growing(clip, 0.5)
    stage = Config().build(context())
    run_inline(stage, partials)
    spent = sum(decoded)
    run_inline(stage, [final])
    assert sum(decoded) - spent <= 0.6 * RATE
    assert spent <= 3 * RATE  # nothing twice: the microphone is learnt once in 2.6 s


def test_speakers_who_interrupt_each_other_are_each_heard_once(clip: Floats, decoded: list[int]) -> None:
    other = recording("asr", "sb_spk1_snt1.flac")
    stage = Config().build(replace(context(), channels=2))
    run_inline(stage, [whole(other), whole(clip, channel=1)])  # the microphones are known
    decoded.clear()
    one, two = growing(clip, 0.5, start=10), growing(other, 0.5, start=10, channel=1)
    run_inline(stage, [u for pair in zip(one, two, strict=False) for u in pair])
    heard = min(len(one), len(two)) * 0.5 * RATE
    assert sum(decoded) <= 2 * heard


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


def test_the_same_sound_after_the_same_sound_has_exactly_the_same_transcript(clip: Floats) -> None:
    other = recording("asr", "sb_spk1_snt1.flac")
    heard = [run_inline(Config().build(context()), [whole(other), whole(clip, 10)]) for _ in range(2)]
    assert [u.transcript for u in heard[0]] == [u.transcript for u in heard[1]]


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
