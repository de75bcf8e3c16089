from __future__ import annotations

import numpy as np
import pytest

from streamer.sources.level import Level

from .files import tone


def after(seconds: float, block: np.ndarray, level: Level | None = None) -> Level:
    level = level or Level(16_000, len(block))
    for _ in range(round(seconds * 16_000 / block.shape[1])):
        level.push(block)
    return level


@pytest.mark.parametrize("value", [0.0, 0.25, -1.0])
def test_two_seconds_of_one_value_are_a_complaint(value: float) -> None:
    block = np.full((1, 320), value, np.float32)
    level = after(1.9, block)
    assert level.complaint is None
    after(0.2, block, level)
    assert level.complaint is not None
    assert "permission denied or muted?" in level.complaint


def test_the_first_sample_that_differs_ends_the_complaint() -> None:
    level = after(2.5, np.zeros((1, 320), np.float32))
    assert level.complaint is not None
    after(0.02, tone(0.02, 16_000)[None], level)
    assert level.complaint is None


def test_sound_and_quiet_noise_are_well() -> None:
    assert after(5, tone(0.02, 16_000)[None]).complaint is None
    noise = np.random.default_rng(0).normal(0, 1e-4, (1, 320)).astype(np.float32)
    assert after(5, noise).complaint is None


def test_a_single_click_in_silence_counts_as_alive() -> None:
    level, click = Level(16_000, 1), np.zeros((1, 320), np.float32)
    click[0, 7] = 0.1
    level.push(click)
    after(1.98, np.zeros((1, 320), np.float32), level)
    assert level.complaint is None


def test_clipping_is_told_with_its_share_and_ends_when_it_ends() -> None:
    loud = np.clip(tone(0.02, 16_000, loudness=2.0), -1, 1)[None]
    level = after(2.0, loud)
    assert level.complaint is not None
    assert level.complaint.startswith("clipping (67 % of the samples)")
    after(2.0, tone(0.02, 16_000)[None], level)
    assert level.complaint is None


def test_of_several_channels_the_bad_one_is_named() -> None:
    good = tone(0.02, 16_000)
    level = after(2.0, np.stack([good, np.zeros_like(good)]))
    assert level.complaint is not None
    assert "on channel 1" in level.complaint


def test_no_samples_are_no_news() -> None:
    level = Level(16_000, 1)
    level.push(np.zeros((1, 0), np.float32))
    assert level.complaint is None
