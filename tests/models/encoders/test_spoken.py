"""One analysis of an utterance gives the measures and what the voice network reads."""

from __future__ import annotations

import numpy as np
import pytest

from models.encoders.hearing import Hearing
from models.encoders.prosody import USED_MEASURES, ProsodyAccumulator
from models.encoders.spoken import SpokenMeter
from models.encoders.voice_statistics import statistics
from tests.models.encoders.test_voice import vowel


def test_measures_and_statistics_are_those_of_the_sound_so_far() -> None:
    pcm, meter = vowel(1.5), SpokenMeter()
    for upto in (12_000, len(pcm)):
        begin = 0 if upto == 12_000 else 12_000
        for at in range(begin, upto, 500):
            meter.push(pcm[at : min(at + 500, upto)])
        ear = Hearing()
        ear.push(pcm[:upto])
        heard, found = ear.heard(), meter.measures()
        assert heard is not None
        assert found.statistics_S is not None
        np.testing.assert_allclose(found.statistics_S, statistics(heard), atol=1e-4, rtol=1e-5)
        np.testing.assert_allclose(found.values(USED_MEASURES), heard.measures, rtol=1e-5)


def test_the_measures_are_nearly_those_of_the_sound_as_it_is() -> None:
    pcm, meter, plain = vowel(1.5, 200.0), SpokenMeter(), ProsodyAccumulator()
    meter.push(pcm)
    plain.push(pcm)
    for name in ("duration", "avg_pitch", "pitch_std"):
        value = getattr(plain.measures(), name)
        assert getattr(meter.measures(), name) == pytest.approx(value, rel=0.02)


def test_of_silence_there_are_no_statistics() -> None:
    meter = SpokenMeter()
    meter.push(np.zeros(8000, np.float32))
    assert meter.measures().statistics_S is None
    assert meter.measures().avg_pitch is None
