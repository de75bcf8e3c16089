"""The streaming voice measures against Praat's own on RAVDESS: what agrees is what a model may use."""

from __future__ import annotations

import functools

import pytest

pytest.importorskip("parselmouth", reason="needs praat-parselmouth, in the extra dev")

from benchmarks import prosody as bench
from models.encoders.prosody import MEASURES, USED_MEASURES
from tests.data import shared_data

EVERY = {"whole": 17, "cut + noise": 23}  # 71 and 53 of the 1,200 clips: every actor and emotion
LEAST, CLOSE = 0.8, 0.95

pytestmark = pytest.mark.timeout(120)  # Praat takes 0.1 s a clip, more on a busy machine


@functools.cache
def correlations(case: str) -> dict[str, float]:
    """Of each measure with Praat's, over the subset of the clips."""
    sounds = tuple(bench.clips(shared_data("ravdess"), EVERY[case]))
    return {a.measure: a.correlation[case] for a in bench.agreement(sounds, [case])}


def show(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        line = ", ".join(f"{measure} {value:.3f}" for measure, value in correlations(case).items())
        print(f"\n  correlation with Praat, {case}: {line}")  # noqa: T201  what this test is for


def test_a_measure_is_used_if_it_agrees_with_praat_and_is_not_the_level(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show("whole", capsys)
    agreeing = [m for m in MEASURES if m != "avg_intensity" and correlations("whole")[m] >= LEAST]
    assert agreeing == list(USED_MEASURES)


@pytest.mark.parametrize("measure", ["intensity_variation", "avg_pitch", "pitch_std", "pitch_range"])
def test_pitch_and_intensity_agree_closely(measure: str) -> None:
    assert correlations("whole")[measure] >= CLOSE


def test_speech_with_silence_around_it_measures_as_praat_measures_it_cut_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As it comes live: 0.3 s on either side, over a background 25 dB below the speech."""
    show("cut + noise", capsys)
    assert {m: c for m, c in correlations("cut + noise").items() if c < LEAST} == {}
