"""Virtual speakers: the same person in all their clips, another voice than the recording."""

from __future__ import annotations

import numpy as np
import pytest

from models.encoders.prosody import USED_MEASURES
from models.encoders.voice_statistics import COUNT, statistics
from models.perception.voices import Person, versions
from tests.models.encoders.test_voice_statistics import utterance


def person(**changed: object) -> Person:
    plain: dict[str, object] = {
        "tract": 1.0,
        "pitch": 1.0,
        "pace": 1.0,
        "colour_B": np.zeros(48),
        "background_B": None,
    }
    return Person(**{**plain, **changed})  # type: ignore[arg-type]


def test_the_first_version_is_the_clip_and_the_others_are_not() -> None:
    clips = [utterance(seed=s) for s in range(4)]
    made = versions(clips, [clips], ["a", "a", "b", "b"], 4)
    assert made.shape == (4, 4, COUNT)
    np.testing.assert_array_equal(made[0], np.stack([statistics(c) for c in clips]))
    assert np.isfinite(made).all()
    assert (np.abs(made[1:] - made[0]).max(axis=2) > 0.1).all()


def test_the_same_seed_makes_the_same_people() -> None:
    clips = [utterance(seed=s) for s in range(2)]
    a, b, c = (versions(clips, [clips], ["a", "b"], 3, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a[1], c[1])


def test_every_other_version_is_in_a_room_and_the_rooms_take_turns() -> None:
    quiet, first, second = ([utterance(seed=s)] for s in range(3))
    mixed = versions(quiet, [first, second], ["a"], 7)
    rest = versions(quiet, [first, quiet], ["a"], 7)
    same = versions(quiet, [quiet], ["a"], 7)
    differ = [[v for v in range(7) if not np.array_equal(a[v], same[v])] for a in (mixed, rest)]
    assert differ == [[2, 4, 6], [4]]


def test_pitch_and_pace_move_the_measures_that_go_with_them() -> None:
    heard = utterance(200)
    said = person(pitch=1.2, pace=1.25).say(heard, np.random.default_rng(0))
    ratio = dict(zip(USED_MEASURES, said.measures / heard.measures, strict=True))
    for name in ("avg_pitch", "pitch_std", "pitch_range"):
        assert ratio[name] == pytest.approx(1.2, rel=0.2)
    assert ratio["duration"] == pytest.approx(1 / 1.25, rel=0.2)
    assert ratio["articulation_rate"] == pytest.approx(1.25, rel=0.2)
    assert len(said.mel_TB) == pytest.approx(160, rel=0.2)
    voiced = said.hz_T[said.hz_T > 0].mean() / heard.hz_T[heard.hz_T > 0].mean()
    assert voiced == pytest.approx(1.2, rel=0.1)


def test_a_background_fills_the_gaps_and_leaves_the_peaks() -> None:
    heard = utterance()
    heard.mel_TB[50:] = -60.0
    said = person(background_B=np.full(48, -10.0)).say(heard, np.random.default_rng(0))
    assert said.mel_TB[60:].mean() > heard.mel_TB.max() - 20
    assert said.mel_TB.max() == pytest.approx(heard.mel_TB.max(), abs=1.5)


def test_silence_at_the_gaps_of_the_pitch_stays_unvoiced() -> None:
    heard = utterance()
    said = person(pitch=1.5).say(heard, np.random.default_rng(0))
    assert (said.hz_T == 0).mean() == pytest.approx((heard.hz_T == 0).mean(), abs=0.1)
