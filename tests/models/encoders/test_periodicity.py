"""Pitch candidates and the path through them: against the definition, and against known periods."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.encoders.periodicity import AutoCorrelation, Candidates, Floats, Harmonicity, Path, Search

RATE = 16_000
SEARCH = Search(floor=75.0, ceiling=600.0, step=160, periods=3.0, voicing=0.45, candidates=5)


def frames_of(sound: Floats, length: int, step: int = 160) -> Floats:
    return np.lib.stride_tricks.sliding_window_view(sound.astype(np.float32), length)[::step]


def buzz(hz: float, seconds: float = 0.3) -> Floats:
    time = np.arange(int(seconds * RATE)) / RATE
    return np.asarray(sum(np.sin(2 * np.pi * k * hz * time + k) / k for k in range(1, 9)))


def some_candidates(frames: int, seed: int) -> Candidates:
    """Frames with no to four candidates, from silent to loud, as an analysis gives them."""
    random = np.random.default_rng(seed)
    hz = random.uniform(75, 600, (frames, SEARCH.candidates))
    strength = random.uniform(0.2, 1.0, hz.shape)
    empty = np.arange(SEARCH.candidates) > random.integers(0, SEARCH.candidates, frames)[:, None]
    empty[:, 0] = True
    peak = 10 ** random.uniform(-3, 0, frames)
    return Candidates(np.where(empty, 0.0, hz), np.where(empty, -np.inf, strength), peak)


def cost(hz: Floats, found: Candidates, loudest: float) -> float:
    """What a path is worth, by the definition: strengths less the costs of changes and jumps."""
    total = 0.0
    unvoiced = SEARCH.unvoiced(np.minimum(1.0, found.peak_F / loudest))
    for frame, pitch in enumerate(hz):
        where = np.flatnonzero((found.hz_FC[frame] == pitch) & np.isfinite(found.strength_FC[frame]))
        total += unvoiced[frame] if pitch == 0 else found.strength_FC[frame, where[0]]
        if frame and (pitch > 0) != (hz[frame - 1] > 0):
            total -= SEARCH.change_cost
        elif frame and pitch > 0:
            total -= SEARCH.octave_jump_cost * abs(np.log2(pitch / hz[frame - 1]))
    return float(total)


def exhaustive(found: Candidates, loudest: float) -> float:
    """The worth of the best path, by plain dynamic programming over every candidate of every frame."""
    unvoiced = SEARCH.unvoiced(np.minimum(1.0, found.peak_F / loudest))
    best: dict[float, float] = {}
    for frame, strengths in enumerate(found.strength_FC):
        options = {0.0: float(unvoiced[frame])}
        options |= {float(found.hz_FC[frame, c]): float(s) for c, s in enumerate(strengths) if np.isfinite(s)}
        best = {
            hz: strength
            + max(
                (
                    score
                    - (SEARCH.change_cost if (hz > 0) != (before > 0) else 0.0)
                    - (SEARCH.octave_jump_cost * abs(np.log2(hz / before)) if hz and before else 0.0)
                    for before, score in best.items()
                ),
                default=0.0,
            )
            for hz, strength in options.items()
        }
    return max(best.values())


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 30), st.integers(0, 10_000))
def test_the_path_is_the_best_of_all(frames: int, seed: int) -> None:
    found = some_candidates(frames, seed)
    path = Path(SEARCH, RATE).best(found, loudest=1.0)
    assert cost(path, found, 1.0) == pytest.approx(exhaustive(found, 1.0))


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 10_000),
    st.lists(st.tuples(st.integers(1, 15), st.floats(1.0, 3.0)), min_size=1, max_size=6),
)
def test_a_path_walked_in_parts_while_the_voice_grows_louder_is_that_walked_at_once(
    seed: int, parts: list[tuple[int, float]]
) -> None:
    found, path = some_candidates(sum(n for n, _ in parts), seed), Path(SEARCH, RATE)
    frames, loudest = 0, 0.2
    for count, louder in parts:
        frames, loudest = frames + count, loudest * louder
        so_far = Candidates(*(x[:frames] for x in found))
        path.follow(so_far, loudest)
        assert np.array_equal(path.best(so_far, loudest), Path(SEARCH, RATE).best(so_far, loudest))


def test_a_path_through_nothing_is_empty_and_through_silence_unvoiced() -> None:
    assert len(Path(SEARCH, RATE).best(some_candidates(0, 0), 1.0)) == 0
    assert not Path(SEARCH, RATE).best(some_candidates(4, 0), 0.0).any()


@pytest.mark.parametrize("hz", [80.0, 123.4, 200.0, 411.0, 570.0])
def test_the_strongest_candidate_of_a_buzz_is_its_pitch(hz: float) -> None:
    analysis = AutoCorrelation(SEARCH, RATE)
    found = analysis.analyse(frames_of(buzz(hz), analysis.length))
    assert found.hz_FC[:, 1] == pytest.approx(hz, rel=1e-3)
    assert (found.strength_FC[:, 1] > 0.9).all()


def test_candidates_are_in_order_of_strength_and_below_the_ceiling() -> None:
    analysis = AutoCorrelation(SEARCH, RATE)
    sound = np.random.default_rng(0).normal(size=RATE // 2)
    found = analysis.analyse(frames_of(sound, analysis.length))
    strengths = np.where(np.isfinite(found.strength_FC[:, 1:]), found.strength_FC[:, 1:], -1.0)
    assert (np.diff(strengths, axis=1) <= 0).all()
    assert found.hz_FC.max() < SEARCH.ceiling


def test_a_silent_frame_has_no_candidate() -> None:
    analysis, harmonicity = AutoCorrelation(SEARCH, RATE), Harmonicity(75.0, RATE)
    found = analysis.analyse(np.zeros((3, analysis.length), dtype=np.float32))
    assert not found.hz_FC.any()
    assert not np.isfinite(found.strength_FC).any()
    assert not harmonicity.analyse(np.zeros((3, harmonicity.length), dtype=np.float32))[0].any()


def test_a_frame_gives_the_same_beside_any_others() -> None:
    """So that the size of a batch does not matter."""
    analysis, harmonicity = AutoCorrelation(SEARCH, RATE), Harmonicity(75.0, RATE)
    sound = buzz(150.0) + np.random.default_rng(1).normal(size=4_800)
    loud_and_soft = sound * np.linspace(0, 1, len(sound)) ** 4
    together = analysis.analyse(frames_of(loud_and_soft, analysis.length))
    alone = [analysis.analyse(f[None]) for f in frames_of(loud_and_soft, analysis.length)]
    for column, joined in enumerate(together):
        assert np.concatenate([one[column] for one in alone]) == pytest.approx(joined, rel=1e-5, abs=1e-6)
    strengths = harmonicity.analyse(frames_of(loud_and_soft, harmonicity.length))[0]
    each = [harmonicity.analyse(f[None])[0][0] for f in frames_of(loud_and_soft, harmonicity.length)]
    assert strengths == pytest.approx(each, rel=1e-5, abs=1e-6)


def test_a_pure_tone_is_almost_wholly_harmonic() -> None:
    harmonicity = Harmonicity(75.0, RATE)
    strength, peak = harmonicity.analyse(frames_of(buzz(173.0), harmonicity.length))
    assert (strength > 0.999).all()
    assert (strength <= 1.0).all()
    assert peak.min() > 0.5


def test_unvoiced_grows_as_a_frame_falls_silent() -> None:
    levels = SEARCH.unvoiced(np.array([1.0, 0.05, 0.02, 0.0]))
    assert levels[0] == pytest.approx(SEARCH.voicing)
    assert levels[-1] == pytest.approx(SEARCH.voicing + 2.0)
    assert (np.diff(levels) >= 0).all()
