"""The voice encoder: the same live as in training, however the sound comes, whoever speaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.checkpoint import CheckpointError, read_meta
from models.data.speech import clips, sounds
from models.encoders import mel
from models.encoders.hearing import LONGEST, Hearing
from models.encoders.periodicity import AutoCorrelation, Harmonicity
from models.encoders.prosody import RATE, ProsodyAccumulator
from models.encoders.voice import DEFAULT, LABELS, Config, Reference, VoiceEncoder, VoiceNet, z_scores
from models.encoders.voice_statistics import COUNT, statistics
from tests.data import shared_data

Pcm = np.ndarray[Any, np.dtype[np.float32]]


def vowel(seconds: float, hz: float = 140.0, seed: int = 0) -> Pcm:
    """Something like a voice: harmonics that glide and beat, over a little noise, silence at both ends."""
    count = int(seconds * RATE)
    at = np.arange(count) / RATE
    phase = 2 * np.pi * np.cumsum(hz * (1 + 0.1 * np.sin(2 * np.pi * at))) / RATE
    tone = sum(np.sin(k * phase) / k for k in range(1, 12))
    envelope = 0.2 + 0.8 * np.sin(2 * np.pi * 2.0 * at) ** 2
    noise = np.random.default_rng(seed).normal(0, 1e-3, count)
    edge = np.zeros(RATE // 4)
    return np.concatenate((edge, 0.1 * envelope * tone + noise, edge)).astype(np.float32)


@pytest.fixture(scope="module")
def net() -> VoiceNet:
    torch.manual_seed(0)
    return VoiceNet(Config(width=32, embedding=16)).eval().requires_grad_(False)


def pushed(net: VoiceNet, pcm: Pcm, size: int, read_every: int = 0) -> VoiceEncoder:
    encoder = VoiceEncoder(net)
    for turn, at in enumerate(range(0, len(pcm), size)):
        encoder.push(pcm[at : at + size])
        if read_every and turn % read_every == 0:
            encoder.read()
    return encoder


@pytest.mark.parametrize(("size", "read_every"), [(160, 7), (512, 0), (512, 10), (5000, 1)])
def test_the_reading_does_not_depend_on_chunks_nor_on_readings_between(
    net: VoiceNet, size: int, read_every: int
) -> None:
    pcm = vowel(1.5)
    whole, parts = pushed(net, pcm, len(pcm)).read(), pushed(net, pcm, size, read_every).read()
    assert whole is not None
    assert parts is not None
    np.testing.assert_allclose(parts.embedding, whole.embedding, atol=1e-5)
    np.testing.assert_allclose(parts.emotion, whole.emotion, atol=1e-5)


def test_a_reading_in_between_is_that_of_the_sound_so_far(net: VoiceNet) -> None:
    pcm = vowel(1.5)
    encoder = VoiceEncoder(net)
    encoder.push(pcm[: 20 * 512])
    early, alone = encoder.read(), pushed(net, pcm[: 20 * 512], 20 * 512).read()
    assert early is not None
    assert alone is not None
    np.testing.assert_allclose(early.embedding, alone.embedding, atol=1e-5)


def test_a_reading_has_an_embedding_and_a_distribution(net: VoiceNet) -> None:
    reading = pushed(net, vowel(1.0), 512).read()
    assert reading is not None
    assert len(reading.embedding) == 16
    assert len(reading.emotion) == len(net.config.labels)
    assert sum(reading.emotion) == pytest.approx(1.0, abs=1e-5)
    assert reading.statistics_S.shape == (COUNT,)


@pytest.mark.parametrize("samples", [0, 100, RATE])
def test_where_nothing_sounds_nothing_is_read(net: VoiceNet, samples: int) -> None:
    encoder = VoiceEncoder(net)
    encoder.push(np.zeros(samples, dtype=np.float32))
    assert encoder.read() is None


def test_the_gain_of_the_microphone_does_not_matter(net: VoiceNet) -> None:
    pcm = vowel(1.5)
    quiet, loud = (pushed(net, (pcm * gain).astype(np.float32), 512).read() for gain in (0.1, 3.0))
    assert quiet is not None
    assert loud is not None
    np.testing.assert_allclose(quiet.embedding, loud.embedding, atol=0.05)


def test_rumble_below_the_voice_hardly_matters() -> None:
    """A lorry outside: 30 Hz, as loud as the voice; the measures alone would take it for the voice."""
    pcm = vowel(1.5)
    rumble = 0.1 * np.sin(2 * np.pi * 30.0 * np.arange(len(pcm)) / RATE)
    found = []
    for sound in (pcm, (pcm + rumble).astype(np.float32)):
        ear = Hearing()
        ear.push(sound)
        heard = ear.heard()
        assert heard is not None
        found.append(heard)
    quiet, loud = found
    assert abs(len(quiet.mel_TB) - len(loud.mel_TB)) <= 10
    assert abs(quiet.hz_T[quiet.hz_T > 0].mean() - loud.hz_T[loud.hz_T > 0].mean()) < 5.0


def test_digital_silence_after_speech_is_taken_as_it_comes(net: VoiceNet) -> None:
    """The filter rings on in numbers too small to divide by: warnings are errors here."""
    encoder = VoiceEncoder(net)
    encoder.push(vowel(0.5))
    for _ in range(6):
        encoder.push(np.zeros(RATE // 2, dtype=np.float32))
        reading = encoder.read()
    assert reading is not None
    assert np.isfinite(reading.statistics_S).all()


def test_what_comes_after_the_longest_utterance_changes_nothing_and_is_not_kept() -> None:
    ear = Hearing()
    pcm = vowel(2.0)
    while ear.seconds < LONGEST:
        ear.push(pcm)
    assert ear.seconds == LONGEST
    before = ear.heard()
    ear.push(pcm)
    after = ear.heard()
    assert before is not None
    assert after is not None
    assert ear.seconds == LONGEST
    np.testing.assert_array_equal(before.mel_TB, after.mel_TB)


@pytest.mark.parametrize("pcm", [np.zeros((2, 10), dtype=np.float32), np.full(10, np.nan, dtype=np.float32)])
def test_sound_that_is_none_is_refused(pcm: Pcm) -> None:
    with pytest.raises(ValueError, match="voice measures need"):
        Hearing().push(pcm)


def test_the_frames_have_the_pitch_that_the_prosody_has() -> None:
    ear = Hearing()
    ear.push(vowel(1.0, 200.0))
    heard = ear.heard()
    assert heard is not None
    assert len(heard.hz_T) == len(heard.mel_TB)
    voiced = heard.hz_T[heard.hz_T > 0]
    assert len(voiced) > 0.6 * len(heard.hz_T)
    assert 175 < voiced.mean() < 225


def test_a_reference_grows_one_utterance_at_a_time() -> None:
    every_NS = np.random.default_rng(0).normal(5.0, 2.0, (7, COUNT))
    grown = Reference.unknown()
    for row_S in every_NS:
        grown = grown.plus(row_S)
    whole = Reference.of(every_NS)
    assert grown.count == whole.count == 7
    np.testing.assert_allclose(grown.mean_S, whole.mean_S)
    np.testing.assert_allclose(grown.square_S, whole.square_S)


def test_z_scores_go_from_the_corpus_to_the_speaker() -> None:
    """An unknown speaker is measured against everybody, a well known one against themselves."""
    rng = np.random.default_rng(0)
    mean_S, std_S = np.zeros(COUNT), np.ones(COUNT)

    def z(x_NS: np.ndarray[Any, Any], speaker: Reference) -> np.ndarray[Any, Any]:
        known = np.array([float(speaker.count)]), speaker.mean_S, speaker.square_S
        return z_scores(x_NS, known, mean_S, std_S, prior=5.0)

    x_S = np.full(COUNT, 1.0)
    alone = z(x_S, Reference.unknown().plus(x_S))
    np.testing.assert_allclose(alone[:-1], (1 - 1 / 6) / np.sqrt((5 + 5 / 6) / 6), atol=1e-6)
    assert alone[-1] == pytest.approx(1 / 6)
    high = Reference.of(rng.normal(1.0, 0.5, (500, COUNT)))
    known = z(x_S, high)
    assert abs(known[:-1]).max() < 0.3
    assert known[-1] > 0.98


def test_what_is_known_of_the_speaker_changes_the_reading_but_not_the_statistics(net: VoiceNet) -> None:
    pcm = vowel(1.0)
    first = pushed(net, pcm, 512).read()
    assert first is not None
    others = [VoiceEncoder(net, Reference.of(first.statistics_S + np.ones((9, COUNT)))) for _ in range(2)]
    for other in others:
        other.push(pcm)
    readings = [other.read() for other in others]
    assert readings[0] is not None
    assert readings[1] is not None
    assert readings[0].embedding == readings[1].embedding
    assert np.abs(np.subtract(readings[0].embedding, first.embedding)).max() > 0.1
    np.testing.assert_allclose(readings[0].statistics_S, first.statistics_S, atol=1e-5)


def test_a_stored_network_reads_the_same(net: VoiceNet, tmp_path: Path) -> None:
    path = tmp_path / "voice.safetensors"
    net.save(path, {"commercial_use": "no"})
    again = VoiceNet.load(path)
    assert again.config == net.config
    pcm = vowel(1.0)
    a, b = pushed(net, pcm, 512).read(), pushed(again, pcm, 512).read()
    assert a is not None
    assert b is not None
    assert a.embedding == b.embedding


def test_weights_of_another_shape_or_kind_are_refused(net: VoiceNet, tmp_path: Path) -> None:
    path = tmp_path / "voice.safetensors"
    net.save(path, {"config": {"width": 99, "labels": ["a"]}})
    with pytest.raises(CheckpointError, match="does not fit"):
        VoiceNet.load(path)
    with pytest.raises(CheckpointError, match="kind"):
        VoiceNet.load(Path("models/weights/face.safetensors"))


def ravdess(count: int) -> Iterator[Pcm]:
    folder = shared_data("ravdess")
    return sounds(folder, clips(folder)[:: 1200 // count])


def test_what_ships_reads_actors_that_it_never_heard() -> None:
    """Every fifth clip of the two test actors, seven expressions: chance is 14 %, the card says 73."""
    net = VoiceNet.load()
    assert DEFAULT.stat().st_size < 2_000_000
    assert net.config.labels == LABELS
    assert read_meta(DEFAULT)["commercial_use"] == "no"
    folder = shared_data("ravdess")
    unheard = [c for c in clips(folder) if c.split == "test"][::5]
    right = 0
    for clip, pcm in zip(unheard, sounds(folder, unheard), strict=True):
        reading = pushed(net, pcm, 4000).read()
        assert reading is not None
        said = LABELS[int(np.argmax(reading.emotion))]
        right += said == {"calm": "neutral"}.get(clip.emotion, clip.emotion)
    assert right / len(unheard) > 0.5


def test_live_hears_what_training_hears_on_the_same_clip(net: VoiceNet) -> None:
    """Training pushes a clip whole; live it comes in pieces, beside other readings."""
    for pcm in ravdess(4):
        ear = Hearing()
        ear.push(pcm)
        heard = ear.heard()
        assert heard is not None
        live = pushed(net, pcm, 512, read_every=31).read()
        assert live is not None
        np.testing.assert_allclose(live.statistics_S, statistics(heard), atol=1e-4, rtol=1e-5)
        trained = net.embed(statistics(heard)[None], [Reference.of(statistics(heard)[None])])
        np.testing.assert_allclose(live.embedding, trained[0][0].numpy(), atol=1e-4)


def test_a_reading_in_between_has_nothing_analysed_again(
    net: VoiceNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What costs the time (`benchmarks.voice`) is done once for each frame, however often it is read."""
    frames: Counter[str] = Counter()

    def counted(name: str, analyse: Callable[..., Any]) -> Callable[..., Any]:
        def count(*args: Any) -> Any:
            frames[name] += len(args[-1])
            return analyse(*args)

        return count

    monkeypatch.setattr(mel, "log_mel", counted("mel", mel.log_mel))
    for kind in (AutoCorrelation, Harmonicity):
        monkeypatch.setattr(kind, "analyse", counted(kind.__name__, kind.analyse))
    pcm = np.concatenate(list(ravdess(4)))[: 12 * RATE]
    pushed(net, pcm, 512).read()
    once = dict(frames)
    frames.clear()
    pushed(net, pcm, 512, read_every=31).read()
    assert set(once) == {"mel", "AutoCorrelation", "Harmonicity"}
    assert dict(frames) == once


def test_the_contour_covers_the_sound_and_the_measures_agree_with_it() -> None:
    prosody = ProsodyAccumulator()
    prosody.push(vowel(1.0, 180.0))
    hz, at = prosody.contour()
    span = prosody.speech()
    assert span is not None
    inside = hz[(hz > 0) & (at >= span[0]) & (at <= span[1])]
    assert prosody.measures().avg_pitch == pytest.approx(float(inside.mean()))
