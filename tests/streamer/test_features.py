"""Every modality may be missing; who speaks is told by order of first appearance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.calibration import Temperatures
from models.data.speech import clips, sounds
from models.encoders.hearing import Hearing
from models.encoders.spoken import Spoken, SpokenMeter
from models.encoders.voice import Reference, VoiceNet
from models.encoders.voice_statistics import COUNT, statistics
from models.fusion_weights import Fusion
from models.hosts.gru import Config as GruConfig
from models.hosts.gru import GruLmam
from models.meld import LABELS as MELD
from models.normalise import Prior
from models.perception.voice import Voices, known
from models.perception.voice_features import spoken as spoken_part
from streamer.context import Context, Session
from streamer.encoders.features import FeatureEncoder
from streamer.fusion import LmamFusion
from streamer.segmenter import Segmenter
from streamer.stage import run_inline
from streamer.types import (
    RATE,
    AudioChunk,
    FaceSample,
    Features,
    Floats,
    Segment,
    Span,
    Speaker,
    Transcript,
    Utterance,
)
from streamer.vad import silero
from tests.data import shared_data


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


@pytest.fixture(scope="module")
def network() -> VoiceNet:
    return VoiceNet.load()


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


def spoken(seed: int) -> Spoken:
    made = np.random.default_rng(seed).normal(size=COUNT)
    return Spoken(1.0, avg_pitch=200.0, pitch_std=9.0, statistics_S=made)


def hearing(network: VoiceNet | None) -> FeatureEncoder:
    return FeatureEncoder(Lengths(), first_face, ("avg_pitch", "pitch_std"), network=network)


def embedding(network: VoiceNet, *heard: Spoken) -> list[float]:
    """Of the last of ``heard``, after the others."""
    speaker = Reference.unknown()
    for each in heard[:-1]:
        assert each.statistics_S is not None
        speaker = speaker.plus(each.statistics_S)
    assert heard[-1].statistics_S is not None
    return list(network.read(heard[-1].statistics_S, speaker).embedding)


def test_a_voice_is_read_against_what_finals_of_the_same_speaker_were(network: VoiceNet) -> None:
    a, b, c, d = (spoken(i) for i in range(4))
    turns = [said(voice=a), said(voice=b, final=False), said(voice=b), said(speaker="s1", voice=c)]
    heard = run_inline(hearing(network), [*turns, said(voice=d)])
    expected = ([a], [a, b], [a, b], [c], [a, b, d])
    for f, before in zip(heard, expected, strict=True):
        assert f.voice is not None
        np.testing.assert_allclose(f.voice, embedding(network, *before), atol=1e-6)


def test_a_purge_forgets_how_somebody_sounded(network: VoiceNet) -> None:
    a, b, c = (spoken(i) for i in range(3))
    stage = hearing(network)
    run_inline(stage, [said(voice=a)])
    stage.forget(said().span.end)
    late, after = run_inline(stage, [said(voice=b), said(voice=c)])
    for f, only in ((late, b), (after, c)):  # what ended by then is not remembered, though it comes later
        assert f.voice is not None
        np.testing.assert_allclose(f.voice, embedding(network, only), atol=1e-6)


def test_without_a_network_nobody_reads_the_voice() -> None:
    (f,) = run_inline(hearing(None), [said(voice=spoken(0))])
    assert f.voice is None
    assert f.audio == (200.0, 9.0)


def test_a_voice_without_pitch_that_the_network_heard_is_there_without_measures(network: VoiceNet) -> None:
    whisper = Spoken(1.0, statistics_S=spoken(0).statistics_S)
    (f,) = run_inline(hearing(network), [said(voice=whisper)])
    assert f.audio is not None
    assert np.isnan(f.audio).all()
    assert f.voice is not None


def test_live_hears_what_the_voice_network_was_trained_on(network: VoiceNet, tmp_path: Path) -> None:
    """Clips of RAVDESS through segmenter, encoder and fusion: the same numbers as training makes of the same
    sound, and nearly those of the sound as training cuts it."""
    folder = shared_data() / "ravdess"
    some = [c for c in clips(folder) if c.split == "test"][:3]
    nobody = Context(session=Session(conversation="c", purpose="other"), state_dir=tmp_path)
    vad = silero.Config().build(nobody)
    for pcm in sounds(folder, some):
        heard = [
            s
            for s in run_inline(Segmenter(vad, voice=SpokenMeter), chunks(pcm, 480))
            if isinstance(s, Segment)
        ]
        assert len(heard) > 1
        turns = [Utterance(s.span, s, (), Speaker("s0")) for s in heard]
        *_, last = run_inline(hearing(network), turns)
        assert last.final
        voiced = np.concatenate([s.audio.pcm for s in heard if s.final])
        assert last.voice is not None
        if sum(s.final for s in heard) == 1:
            np.testing.assert_allclose(last.voice, trained(network, voiced), atol=1e-3)
            cut = trained(network, pcm[spoken_part(pcm)])
            assert np.corrcoef(last.voice, cut)[0, 1] > 0.8
        model = Fusion(
            GruLmam(GruConfig(audio=2, voice=64, text=3, visual=4)).eval(),
            MELD,
            Temperatures.same(1.0),
            Prior(("avg_pitch", "pitch_std"), (5.0, 3.0), (0.4, 0.5)),
            {},
        )
        stage = LmamFusion(model, "c")
        (with_voice,) = stage.push(replace(last, text=None))
        (without,) = LmamFusion(model, "c").push(replace(last, text=None, voice=None))
        assert with_voice.readings[1].present
        assert with_voice.probs != without.probs


def chunks(pcm: Floats, size: int) -> list[AudioChunk]:
    return [AudioChunk(pcm[at : at + size], at / RATE) for at in range(0, len(pcm), size)]


def trained(network: VoiceNet, pcm: Floats) -> np.ndarray:
    """As `models.train_voice` hears and reads a clip of which nothing else is known."""
    ear = Hearing()
    ear.push(pcm)
    found = ear.heard()
    assert found is not None
    one = Voices(statistics(found)[None, None], np.zeros(1, np.int64), ("a",), network.config.labels)
    x_VNS = network.scores(one.statistics_VNS, *known(one, "live", np.random.default_rng(0)))
    out: np.ndarray = network(torch.from_numpy(x_VNS[0]))[0][0].numpy()
    return out


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
