from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest

from streamer.sources.stamp import GAP, OFF, Stamper
from streamer.types import RATE, AudioChunk

BLOCK = 512
STEP = BLOCK / RATE


def blocks(count: int) -> list[np.ndarray]:
    return [np.full((1, BLOCK), i % 100 / 100, np.float32) for i in range(count)]


def gaps(chunks: list[AudioChunk]) -> list[float]:
    between = [b.start - a.span.end for a, b in pairwise(chunks)]
    return [gap for gap in between if abs(gap) > 1e-6]


def test_time_is_the_first_arrival_plus_a_count_whatever_the_jitter() -> None:
    jitter, stamper = random.Random(1), Stamper()
    chunks = [
        c
        for i, block in enumerate(blocks(500))
        for c in stamper.push(block, RATE, 3.0 + i * STEP + (jitter.uniform(0, 0.09) if i else 0))
    ]
    assert [c.start for c in chunks] == pytest.approx([3.0 + i * STEP for i in range(500)])
    assert stamper.drift == pytest.approx(0.0, abs=0.03)
    assert stamper.end == pytest.approx(3.0 + 500 * STEP)


def test_a_burst_after_a_busy_second_is_no_gap() -> None:
    stamper, chunks = Stamper(), []
    for i, block in enumerate(blocks(300)):
        held = 150 <= i < 190  # these all arrive together at the end of the hold-up
        arrival = (190 if held else i) * STEP
        chunks += list(stamper.push(block, RATE, arrival))
    assert gaps(chunks) == []


def test_sound_that_the_device_reports_as_lost_is_a_gap_as_long_as_the_clock_says() -> None:
    stamper, chunks = Stamper(), []
    for i, block in enumerate(blocks(100)):
        late = 0.5 if i >= 50 else 0.0
        chunks += list(stamper.push(block, RATE, i * STEP + late, lost=i == 50))
    assert gaps(chunks) == [pytest.approx(0.5)]
    assert stamper.drift == pytest.approx(0.5)


def test_a_reported_loss_is_a_gap_even_when_the_clock_shows_none() -> None:
    stamper, chunks = Stamper(), []
    for i, block in enumerate(blocks(20)):
        chunks += list(stamper.push(block, RATE, i * STEP, lost=i == 10))
    assert gaps(chunks) == [pytest.approx(GAP)]


def test_sound_that_is_lost_without_a_word_becomes_a_gap_within_two_seconds() -> None:
    stamper, chunks = Stamper(), []
    for i, block in enumerate(blocks(300)):
        chunks += list(stamper.push(block, RATE, i * STEP + (0.7 if i >= 100 else 0.0)))
    assert gaps(chunks) == [pytest.approx(0.7)]
    assert next(i for i in range(300) if chunks[i].start > i * STEP + 0.1) < 100 + 2.2 / STEP


@pytest.mark.parametrize("parts_per_million", [200, -200])
def test_a_sound_card_with_another_clock_stays_within_a_tenth_of_a_second(parts_per_million: int) -> None:
    stamper, worst = Stamper(), 0.0
    count = 60_000  # half an hour
    real = STEP * (1 + parts_per_million / 1e6)
    block, end = np.zeros((1, BLOCK), np.float32), 0.0
    for i in range(count):
        for chunk in stamper.push(block, RATE, i * real):
            assert chunk.start >= end - 1e-9  # time never goes back
            end = chunk.span.end
            worst = max(worst, abs(end - (i + 1) * real))
    assert worst < OFF + GAP + STEP
    assert stamper.drift == pytest.approx(count * (real - STEP), abs=0.01)


def test_after_an_interruption_sound_starts_anew_even_at_another_rate() -> None:
    stamper = Stamper()
    first = [c for i, b in enumerate(blocks(10)) for c in stamper.push(b, RATE, i * STEP)]
    first += [*stamper.interrupt(), *stamper.interrupt()]
    stamper.resume(48_000, 1, 9.0)
    second = [*stamper.push(np.zeros((1, 4800), np.float32), 48_000, 9.0), *stamper.interrupt()]
    assert first[-1].span.end == pytest.approx(10 * STEP)
    assert second[0].start == 9.0
    assert sum(len(c.pcm) for c in second) == 1600


def test_an_interruption_too_short_to_see_is_a_gap_all_the_same() -> None:
    stamper = Stamper()
    list(stamper.push(blocks(1)[0], RATE, 0.0))
    list(stamper.interrupt())
    stamper.resume(RATE, 1, 0.01)
    assert next(stamper.push(blocks(1)[0], RATE, 0.01)).start == pytest.approx(STEP + GAP)


def test_channels_count_from_the_first() -> None:
    stamper = Stamper(first_channel=4)
    chunks = list(stamper.push(np.zeros((2, BLOCK), np.float32), RATE, 0.0))
    assert [c.channel for c in chunks] == [4, 5]
