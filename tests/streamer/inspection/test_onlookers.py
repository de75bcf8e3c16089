"""Onlookers see everything and change nothing."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from streamer.inspection.onlookers import BIN, SIDE, SLOT, Faces, Onlookers, Presence, Seen, Sound, cut
from streamer.pipeline import run
from streamer.types import RATE, AudioChunk, Cut, FaceSample, Span, VideoFrame
from tests.fakes import Collect
from tests.streamer.test_pipeline import both, comparable, context, graph

PER = round(BIN * RATE)


def heard(*chunks: AudioChunk) -> Sound:
    sound = Sound()
    for chunk in chunks:
        sound.see(chunk)
    return sound


def sine(seconds: float, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


async def test_a_watched_run_publishes_what_an_unwatched_one_does() -> None:
    plain, watched, seen = Collect(), Collect(), Onlookers()
    await run(graph(both(), [plain]), context(), lossless=True)
    await run(seen.watch(graph(both(), [watched])), context(), lossless=True)
    assert comparable(watched.finals) == comparable(plain.finals)
    assert seen.finals == watched.finals


async def test_every_final_has_its_readings_span_and_face() -> None:
    seen = Onlookers()
    await run(seen.watch(graph(both(), [])), context(), lossless=True)
    assert seen.readings is not None
    assert seen.finals
    for e in seen.finals:
        it = seen.readings.seen[e.id]
        assert (it.span.start, it.span.end) == pytest.approx((e.start, e.end))
        assert it.alone == ((0.1, 0.9), None, (1.0, 0.0))
        assert (it.spoken, it.face) == (True, 0)
        assert seen.faces.crops(it)


async def test_what_is_wrong_at_the_end_is_known() -> None:
    seen, where = Onlookers(), context()
    where.notices.set("media", "cut off?")
    await run(seen.watch(graph(both(), [])), where, lossless=True)
    assert seen.problems == {"media": "cut off?"}


async def test_a_purge_still_reaches_the_fusion() -> None:
    seen = Onlookers()
    watched = seen.watch(graph(both(), []))
    watched.fusion.forget(1.0)
    assert seen.pipeline is not None
    assert seen.pipeline.fusion.forgotten == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("chunk", [100, 400, 512, 1600, 16_000])
def test_the_envelope_does_not_depend_on_how_sound_is_cut(chunk: int) -> None:
    pcm = sine(1.03) * np.linspace(0, 1, round(1.03 * RATE), dtype=np.float32)
    pieces = [AudioChunk(pcm[i : i + chunk], i / RATE) for i in range(0, len(pcm), chunk)]
    wave = heard(*pieces).waves()[0]
    blocks = [pcm[i : i + PER] for i in range(0, len(pcm), PER)]
    np.testing.assert_allclose(wave.peak, [np.abs(b).max() for b in blocks], rtol=1e-5)
    whole = [b for b in blocks if len(b) == PER]
    np.testing.assert_allclose(wave.rms[: len(whole)], [np.sqrt(np.mean(b**2)) for b in whole], rtol=1e-4)


def test_a_gap_is_silence_and_channels_are_kept_apart() -> None:
    sound = heard(
        AudioChunk(sine(0.5), 0.0), AudioChunk(sine(0.5, 0.25), 1.0), AudioChunk(sine(0.1, 1.0), 200.0, 1)
    )
    waves = sound.waves()
    assert list(waves) == [0, 1]
    peak = waves[0].peak
    assert len(peak) == round(1.5 / BIN)
    assert peak[:20].min() > 0.45
    assert not peak[20:40].any()
    assert peak[40:].max() == pytest.approx(0.25, abs=0.01)
    assert len(waves[1].peak) == round(200.1 / BIN)
    assert sound.end == pytest.approx(200.1)


def test_broken_samples_and_what_is_no_sound_do_no_harm() -> None:
    sound = heard(AudioChunk(np.array([np.nan, np.inf, -np.inf, 0.5], np.float32), 0.0))
    sound.see(Cut(1.0))
    sound.see(AudioChunk(np.zeros(0, np.float32), 2.0))
    assert sound.waves()[0].peak.tolist() == [1.0]
    assert heard().waves() == {}


def test_a_coarser_envelope_keeps_peaks_and_power() -> None:
    wave = heard(AudioChunk(np.concatenate([sine(0.1, 0.8), np.zeros(1600, np.float32)]), 0.0)).waves()[0]
    half = wave.coarser(8)
    assert half.bin == pytest.approx(0.2)
    assert half.peak == pytest.approx([0.8], abs=0.01)
    assert half.rms == pytest.approx([0.8 / 2], abs=0.01)  # a sine over half of the time
    assert wave.coarser(1) is wave


def sample(time: float, *, track: int = 0, quality: float = 0.5) -> FaceSample:
    return FaceSample(time, track, (10, 10, 40, 40), quality, np.zeros(4, np.float32))


def film(*samples: FaceSample) -> Iterator[tuple[VideoFrame, list[FaceSample]]]:
    for s in samples:
        yield VideoFrame(np.full((100, 120, 3), round(s.quality * 200), np.uint8), s.time), [s]


def watched(*samples: FaceSample) -> Faces:
    faces = Faces()
    for frame, made in film(*samples):
        faces.see(frame, made)
    return faces


def asked(start: float, end: float, face: int | None = 0) -> Seen:
    return Seen(Span(start, end), True, (None, None, None), face)


def test_of_each_face_the_best_picture_of_half_a_second_is_kept() -> None:
    faces = watched(sample(0.1, quality=0.3), sample(0.2, quality=0.9), sample(0.4, quality=0.6), sample(0.6))
    kept = faces.crops(asked(0, 10))
    assert [(c.time, c.quality) for c in kept] == [(0.2, 0.9), (0.6, 0.5)]
    picture = cv2.imdecode(np.frombuffer(kept[0].jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (SIDE, SIDE, 3)
    assert picture.mean() == pytest.approx(180, abs=3)


def test_an_utterance_has_the_pictures_of_the_face_that_was_read_and_of_its_time() -> None:
    faces = watched(sample(0.9), sample(1.6), sample(1.7, track=1), sample(2.6))
    assert [c.time for c in faces.crops(asked(1.0, 2.6))] == [1.6]
    assert [c.time for c in faces.crops(asked(1.0, 2.6, face=1))] == [1.7]
    assert faces.crops(asked(1.0, 2.6, face=None)) == []
    assert faces.crops(asked(1.0, 2.6, face=7)) == []


def test_memory_is_bounded_by_time_not_by_pictures() -> None:
    faces = watched(*(sample(i / 60, quality=(i % 7) / 7) for i in range(600)))
    assert len(faces.crops(asked(0, 10))) == round(10 / SLOT)


def test_a_face_is_in_view_until_it_has_been_away_for_a_second() -> None:
    faces = watched(sample(0.0), sample(0.9), sample(5.0), sample(5.1), sample(5.05, track=1))
    assert faces.presence() == [
        Presence(0, Span(0.0, 0.9)),
        Presence(0, Span(5.0, 5.1)),
        Presence(1, Span(5.05, 5.05)),
    ]
    assert faces.end == 5.1


@pytest.mark.parametrize("box", [(0, 0, 5, 5), (100, 80, 20, 20), (0, 0, 120, 100), (119, 99, 1, 1)])
def test_a_face_at_the_border_is_cut_square_and_undistorted(box: tuple[int, int, int, int]) -> None:
    """A picture whose columns all differ, and whose rows do not, stays so."""
    bgr = np.repeat(np.arange(120, dtype=np.uint8)[None, :, None] * 2, 100, 0).repeat(3, 2)
    picture = cv2.imdecode(np.frombuffer(cut(bgr, box), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture.shape == (SIDE, SIDE)
    assert np.ptp(picture.astype(int), axis=0).max() <= 6
