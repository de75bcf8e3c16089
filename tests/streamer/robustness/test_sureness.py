"""Acted clips with their labels under worse sound: what the voice network that ships reads may be wrong more
often, but not without being less sure.

The clips are the test actors' of RAVDESS, of which the network has met none.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from models.data.speech import Clip, clips, recording, sounds
from models.encoders.voice import VoiceEncoder, VoiceNet
from models.perception.voice_features import noisy, reverberant, telephone
from models.train_voice import SHIPPED
from streamer.types import Floats
from tests.data import shared_data

pytest.importorskip("soundfile")

SAID = 60  # clips; a share of them is uncertain by 6 points
LEAST = 100 / 7 + 20  # percent right: guessing, and three times its uncertainty
TOO_SURE = 0.2  # by which the mean confidence may exceed the share that is right
Change = Callable[[Floats], Floats]


def in_noise(pcm: Floats) -> Floats:
    noise = recording(shared_data("noise", "noise4.flac"))
    return noisy(pcm, noise, 10.0, np.random.default_rng(0))


def in_a_room(pcm: Floats) -> Floats:
    return reverberant(pcm, recording(shared_data("noise", "rir2.flac")))


def from_afar(pcm: Floats) -> Floats:
    return np.asarray(0.03 * pcm, np.float32)


@pytest.fixture(scope="module")
def said() -> list[tuple[Clip, Floats]]:
    folder = shared_data("ravdess")
    held = [c for c in clips(folder) if c.split == "test"]
    chosen = held[:: max(1, len(held) // SAID)][:SAID]
    return list(zip(chosen, sounds(folder, chosen), strict=True))


def read(net: VoiceNet, said: list[tuple[Clip, Floats]], change: Change) -> tuple[float, float]:
    """Percent read right, and the mean confidence."""
    right, sure = [], []
    for clip, pcm in said:
        encoder = VoiceEncoder(net)
        encoder.push(np.asarray(change(pcm), np.float32))
        reading = encoder.read()
        assert reading is not None
        label = net.config.labels[int(np.argmax(reading.emotion))]
        right.append(label == SHIPPED.get(clip.emotion, clip.emotion))
        sure.append(max(reading.emotion))
    return 100 * float(np.mean(right)), float(np.mean(sure))


@pytest.mark.parametrize("change", [telephone, in_noise, in_a_room, from_afar])
def test_what_is_heard_worse_is_not_read_more_surely_than_rightly(
    said: list[tuple[Clip, Floats]], change: Change
) -> None:
    right, sure = read(VoiceNet.load(), said, change)
    assert right > LEAST
    assert sure < right / 100 + TOO_SURE
