"""Worse sound of real speech, through the whole graph with the weights that ship.

An estimate may become unsure; it may not become nonsense: probabilities stay probabilities, what can be heard
is heard, the quality that is published falls, and on average nothing is read with more confidence than the
clean recordings, but for a margin that is wide enough for other weights.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean

import numpy as np
import pytest

from models.data.speech import clips, recording, sounds
from models.perception.voice_features import noisy, reverberant, telephone
from streamer.bench.clips import Clip, Graph
from streamer.encoders.features import LEAST_VOICE
from streamer.payloads import EstimateV1
from streamer.types import RATE, Floats
from tests.data import shared_data

pytest.importorskip("soundfile")

WORDS = "kids are talking by the door"
MARGIN = 0.15  # of mean confidence over the clips
SLIGHT = 0.02  # ... where the voice is hardly to be made out
READERS = ("sb_spk1_snt1", "sb_spk1_snt3", "sb_spk2_snt1", "sb_spk2_snt4")
ACTED = 6  # clips of RAVDESS' test actors
Change = Callable[[Floats], Floats]


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Graph()


@pytest.fixture(scope="module")
def speech() -> list[Floats]:
    """Ten clips, half of full scale at their loudest."""
    folder = shared_data("ravdess")
    held = [c for c in clips(folder) if c.split == "test"]
    found = list(sounds(folder, held[:: len(held) // ACTED][:ACTED]))
    found += [recording(shared_data("asr", f"{name}.flac")) for name in READERS]
    return [np.asarray(0.5 * pcm / np.abs(pcm).max(), np.float32) for pcm in found]


@pytest.fixture(scope="module")
def clean(graph: Graph, speech: list[Floats]) -> list[EstimateV1]:
    found = read(graph, speech)
    assert len(found) == len(speech)
    return found


def read(graph: Graph, speech: list[Floats], words: str = "") -> list[EstimateV1]:
    """The longest utterance of each clip in which one was heard; each is a valid estimate."""
    found = [graph.read(Clip(pcm, words=words)) for pcm in speech]
    for estimates in found:
        for e in estimates:
            check(e)
    return [max(estimates, key=lambda e: e.end - e.start) for estimates in found if estimates]


def check(e: EstimateV1) -> None:
    """Probabilities that sum to 1, the label the likeliest, qualities and weights in 0..1, all finite."""
    probabilities = e.emotion.probabilities
    assert sum(probabilities.values()) == pytest.approx(1.0, abs=1e-3)
    assert all(0 <= p <= 1 for p in probabilities.values())
    assert e.emotion.label == max(probabilities, key=lambda name: probabilities[name])
    assert e.emotion.confidence == pytest.approx(max(probabilities.values()), abs=1e-3)
    for m in (e.modalities.text, e.modalities.audio, e.modalities.visual):
        assert 0 <= m.quality <= 1
        assert 0 <= m.weight <= 1
        assert m.present or m.quality == m.weight == 0
    assert not e.modalities.visual.present


def confidence(found: list[EstimateV1]) -> float:
    return mean(e.emotion.confidence for e in found)


def quality(found: list[EstimateV1]) -> float:
    return mean(e.modalities.audio.quality for e in found)


def with_noise(snr_db: float) -> Change:
    noise = recording(shared_data("noise", "noise4.flac"))
    return lambda pcm: noisy(pcm, noise, snr_db, np.random.default_rng(0))


def test_noise_costs_quality_and_confidence(
    graph: Graph, speech: list[Floats], clean: list[EstimateV1]
) -> None:
    """At 10 dB all is heard, with less quality; at 0 dB with less again, and nothing is read more surely."""
    some, much = (read(graph, [with_noise(snr)(pcm) for pcm in speech]) for snr in (10.0, 0.0))
    assert len(some) == len(speech)
    assert len(much) >= len(speech) // 2
    assert quality(clean) - 0.2 > quality(some) > quality(much) + 0.05
    assert confidence(some) < confidence(clean) + 0.1
    assert confidence(much) < confidence(clean) + SLIGHT


def test_noise_around_known_words_does_not_make_them_surer(graph: Graph, speech: list[Floats]) -> None:
    """The words stand, and the voice beside them, which is mostly noise, adds no confidence."""
    without = read(graph, speech, WORDS)
    found = read(graph, [with_noise(0.0)(pcm) for pcm in speech], WORDS)
    assert found
    assert all(e.modalities.text.present for e in found)
    assert confidence(found) < confidence(without) + 0.1


def test_a_room_is_no_other_expression(graph: Graph, speech: list[Floats], clean: list[EstimateV1]) -> None:
    """Reverberation fills the pauses: everything is heard, with a little less quality, and read no surer."""
    room = recording(shared_data("noise", "rir2.flac"))
    found = read(graph, [reverberant(pcm, room) for pcm in speech])
    assert len(found) == len(speech)
    assert quality(found) < quality(clean)
    assert confidence(found) < confidence(clean) + MARGIN


def test_clipping_is_told_as_bad_sound(graph: Graph, speech: list[Floats], clean: list[EstimateV1]) -> None:
    """An overdriven microphone: the quality is next to nothing, and the voice is not read."""
    found = read(graph, [np.clip(16 * pcm, -1, 1).astype(np.float32) for pcm in speech])
    assert len(found) == len(speech)
    assert quality(found) < 0.2
    assert all(e.modalities.audio.quality >= LEAST_VOICE or not e.modalities.audio.present for e in found)
    assert confidence(found) < confidence(clean) + SLIGHT


def test_the_telephone_is_heard(graph: Graph, speech: list[Floats], clean: list[EstimateV1]) -> None:
    found = read(graph, [telephone(pcm) for pcm in speech])
    assert len(found) == len(speech)
    assert quality(found) < quality(clean) + 0.05
    assert confidence(found) < confidence(clean) + MARGIN


def test_a_quiet_microphone_changes_little(
    graph: Graph, speech: list[Floats], clean: list[EstimateV1]
) -> None:
    """20 dB less: measures of a voice do not hang on the gain."""
    found = read(graph, [0.1 * pcm for pcm in speech])
    assert len(found) >= len(speech) - 1
    assert quality(found) < quality(clean) + 0.05
    assert confidence(found) == pytest.approx(confidence(clean), abs=MARGIN)


def test_a_loud_microphone_costs_quality(graph: Graph, speech: list[Floats], clean: list[EstimateV1]) -> None:
    """20 dB more, cut off at full scale."""
    found = read(graph, [np.clip(10 * pcm, -1, 1).astype(np.float32) for pcm in speech])
    assert len(found) == len(speech)
    assert quality(found) < quality(clean) - 0.2
    assert confidence(found) < confidence(clean) + MARGIN


def test_two_at_once_are_one_valid_utterance(
    graph: Graph, speech: list[Floats], clean: list[EstimateV1]
) -> None:
    """Speech over speech is not taken apart (docs/speakers.md); it must not be read much more surely."""
    both = [
        np.asarray(0.5 * (one[:n] + other[:n]), np.float32)
        for one, other in zip(speech, [*speech[3:], *speech[:3]], strict=True)
        for n in (min(len(one), len(other)),)
    ]
    found = read(graph, both)
    assert len(found) == len(speech)
    assert quality(found) < quality(clean) + 0.1
    assert confidence(found) < confidence(clean) + MARGIN


@pytest.mark.parametrize("name", ["noise1", "esc50_thunderstorm_4-156993-A-19", "office_ambience"])
def test_noise_alone_is_no_speech(graph: Graph, name: str) -> None:
    """Nobody is read where nobody speaks: at most a murmur of an office, never for most of the time."""
    pcm = recording(shared_data("noise", f"{name}.flac"))[: 10 * RATE]
    heard = sum(e.end - e.start for e in graph.read(Clip(pcm)))
    assert heard < 0.5 * len(pcm) / RATE
