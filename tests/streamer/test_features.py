"""Every modality may be missing; who speaks is told by order of first appearance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from streamer.encoders.features import FeatureEncoder
from streamer.stage import run_inline
from streamer.types import AudioChunk, FaceSample, Features, Segment, Span, Speaker, Transcript, Utterance


class Lengths:
    """Encodes a text as its length, the speaker's number, and the words said before."""

    def __init__(self) -> None:
        self.calls = 0

    def start(self) -> tuple[str, ...]:
        return ()

    def step(self, text: str, speaker: int, memory: tuple[str, ...]) -> tuple[torch.Tensor, tuple[str, ...]]:
        self.calls += 1
        return torch.tensor([len(text), speaker, len(memory)], dtype=torch.float32), (*memory, text)


@dataclass
class Voice:
    avg_pitch: float | None = 200.0
    pitch_std: float | None = None


@dataclass
class OneFace:
    embedding: np.ndarray
    quality: float


def first_face(faces: Sequence[FaceSample]) -> OneFace | None:
    return OneFace(faces[0].embedding, faces[0].quality) if faces else None


def said(
    text: str = "hello",
    speaker: str = "s0",
    *,
    final: bool = True,
    confidence: float = 0.9,
    voice: object = None,
) -> Utterance:
    audio = AudioChunk(np.zeros(1600, np.float32), 0.0)
    segment = Segment(audio, final=final, voice=voice, quality=0.7)  # type: ignore[arg-type]
    return Utterance(segment.span, segment, (), Speaker(speaker), Transcript(text, "en", confidence, "test"))


def seen() -> Utterance:
    face = FaceSample(0.5, 0, (0, 0, 9, 9), 0.6, np.ones(4, np.float32))
    return Utterance(Span(0, 2), None, (face,), Speaker("unheard"))


def encode(*utterances: Utterance, min_confidence: float = 0.5) -> list[Features]:
    stage = FeatureEncoder(Lengths(), first_face, ("avg_pitch", "pitch_std"), min_confidence)
    return run_inline(stage, utterances)


def test_words_voice_and_face_become_vectors() -> None:
    (f,) = encode(said(voice=Voice(avg_pitch=210.0, pitch_std=None)))
    assert f.text.tolist() == [5, 0, 0]
    assert f.audio is not None
    assert f.audio[0] == 210
    assert np.isnan(f.audio[1])
    assert f.visual is None
    assert f.quality == (0.9, 0.7, 0.0)


def test_finals_are_what_was_said_before_and_partials_are_not() -> None:
    heard = encode(
        said("a"), said("b", final=False), said("bc", final=False), said("bcd"), said("", "s1"), said("e")
    )
    assert [None if f.text is None else int(f.text[2]) for f in heard] == [0, 1, 1, 1, None, 2]


def test_a_purge_forgets_what_was_said() -> None:
    """What ended by then is not remembered either, though it comes later."""
    stage = FeatureEncoder(Lengths(), first_face, ("avg_pitch", "pitch_std"))
    run_inline(stage, [said("a"), said("b")])
    stage.forget(said("c").span.end)
    before, after = run_inline(stage, [said("c"), said("d")])
    assert before.text is not None
    assert after.text is not None
    assert (before.text[2], after.text[2]) == (0, 0)


def test_a_silent_face_has_neither_words_nor_voice() -> None:
    (f,) = encode(seen())
    assert f.text is None
    assert f.audio is None
    assert f.visual is not None
    assert f.quality == (0.0, 0.0, 0.6)


@pytest.mark.parametrize("utterance", [said(confidence=0.4), said("  ")])
def test_words_that_are_unsure_or_empty_are_masked(utterance: Utterance) -> None:
    (f,) = encode(utterance)
    assert f.text is None
    assert f.quality[0] == 0


def test_a_voice_without_pitch_is_missing() -> None:
    (f,) = encode(said(voice=Voice(avg_pitch=None)))
    assert f.audio is None


def test_speakers_are_numbered_by_first_appearance_and_partials_do_not_appear() -> None:
    order = [said(speaker="b"), said(speaker="x", final=False), said(speaker="a"), said(speaker="b"), seen()]
    assert [f.speaker for f in encode(*order)] == [0, 1, 1, 0, 1]


def test_what_the_fusion_does_not_read_is_not_encoded() -> None:
    stage = FeatureEncoder(Lengths(), first_face, ("avg_pitch",), reads=(True, False, False))
    spoken, silent = run_inline(stage, [said(voice=Voice(avg_pitch=210.0)), seen()])
    assert spoken.text is not None
    assert spoken.audio is None
    assert spoken.quality == (0.9, 0.0, 0.0)
    assert silent.visual is None
    assert silent.quality == (0.0, 0.0, 0.0)
