import numpy as np
import pytest

from streamer.faces.pool import pool
from streamer.types import FaceSample


def sample(
    value: float,
    *,
    track: int = 0,
    side: int = 100,
    quality: float = 1.0,
    emotion: tuple[float, ...] | None = None,
) -> FaceSample:
    return FaceSample(0.0, track, (0, 0, side, side), quality, np.full(4, value, np.float32), emotion)


def test_nobody_seen_is_none():
    assert pool([]) is None


def test_one_sample_is_itself():
    face = pool([sample(2.0, track=5, quality=0.7, emotion=(0.25, 0.75))])
    assert face is not None
    assert (face.embedding.tolist(), face.track) == ([2.0] * 4, 5)
    assert face.emotion == pytest.approx((0.25, 0.75))
    assert face.quality == pytest.approx(0.7)
    assert face.embedding.dtype == np.float32


def test_the_mean_is_weighted_by_quality():
    face = pool([sample(0.0, quality=0.9), sample(1.0, quality=0.3)])
    assert face is not None
    np.testing.assert_allclose(face.embedding, 0.25)
    assert face.quality == pytest.approx(0.6)


def test_presence_times_size_decides_who_is_meant():
    near_and_brief = [sample(1.0, track=1, side=200)] * 2
    far_and_long = [sample(2.0, track=0, side=50)] * 7
    face = pool([*far_and_long, *near_and_brief])
    assert face is not None
    assert face.track == 1
    face = pool([*far_and_long, *far_and_long, *near_and_brief])
    assert face is not None
    assert face.track == 0


def test_a_tie_goes_to_the_lower_number():
    face = pool([sample(1.0, track=3), sample(2.0, track=2)])
    assert face is not None
    assert face.track == 2


def test_worthless_samples_still_give_a_finite_mean():
    face = pool([sample(1.0, quality=0.0), sample(3.0, quality=0.0)])
    assert face is not None
    np.testing.assert_allclose(face.embedding, 2.0)
    assert face.quality == 0


def test_samples_without_a_reading_do_not_dilute_the_others():
    face = pool([sample(1.0, emotion=(0.2, 0.8)), sample(1.0), sample(1.0, emotion=(0.4, 0.6))])
    assert face is not None
    assert face.emotion == pytest.approx((0.3, 0.7))
