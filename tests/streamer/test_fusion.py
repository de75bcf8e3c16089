"""The fusion stage: context is replaced by finals, left alone by partials, dropped by a purge.

The network here has random weights: what is tested is what is done with it, not what it knows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.calibration import Temperatures
from models.fusion_weights import Fusion
from models.hosts.gru import Config, GruLmam
from models.normalise import Prior
from streamer.fusion import LmamFusion
from streamer.stage import run_inline
from streamer.types import AudioChunk, Estimate, FaceSample, Features, Segment, Span, Speaker, Utterance

LABELS = ("neutral", "joy", "sadness", "anger", "surprise", "fear", "disgust")


@pytest.fixture(scope="module")
def model() -> Fusion:
    torch.manual_seed(0)
    net = GruLmam(Config(audio=2, text=384, visual=64)).eval()
    prior = Prior(("avg_pitch", "pitch_std"), (5.0, 3.0), (0.4, 0.5))
    return Fusion(net, LABELS, Temperatures.same(1.5), prior, {"name": "t"})


def turn(
    start: float,
    *,
    final: bool = True,
    revision: int = 0,
    text: bool = True,
    voice: bool = True,
    face: bool = False,
    seed: int | None = None,
) -> Features:
    made = torch.Generator().manual_seed(round(start * 10) if seed is None else seed)
    segment = Segment(AudioChunk(np.zeros(8000, np.float32), start), final=final, revision=revision)
    u = Utterance(segment.span, segment, (), Speaker("s0"))
    return Features(
        u,
        0,
        torch.randn(384, generator=made) if text else None,
        (200.0 + 10 * start, 30.0) if voice else None,
        torch.randn(64, generator=made).numpy() if face else None,
        (0.9, 0.8, 0.7),
    )


def probs(estimates: list[Estimate]) -> np.ndarray:
    return np.array([e.probs for e in estimates])


def test_each_subset_of_the_modalities_is_read_at_its_own_temperature(model: Fusion) -> None:
    """That of words alone changes estimates of words alone, and what words say by themselves."""
    hot = replace(model, temperatures=Temperatures.of({**model.temperatures.table(), "text": 50.0}))
    for voice in (True, False):
        plain, warm = (run_inline(LmamFusion(m, "c-1"), [turn(0, voice=voice)])[0] for m in (model, hot))
        if voice:
            assert plain.probs == warm.probs
        else:
            assert max(warm.probs) < 1 / 7 + 0.02 < max(plain.probs)
    text, audio, _ = LmamFusion(hot, "c-1").alone(turn(0))
    assert text is not None
    assert max(text) < 1 / 7 + 0.02
    assert audio == LmamFusion(model, "c-1").alone(turn(0))[1]


def test_probabilities_sum_to_one_and_finals_are_numbered_from_the_first(model: Fusion) -> None:
    out = run_inline(
        LmamFusion(model, "c-7", 7), [turn(0), turn(1, final=False), turn(1, revision=1), turn(2)]
    )
    assert probs(out).sum(1) == pytest.approx(1)
    assert [e.sequence for e in out] == [7, None, 8, 9]
    assert [e.turns for e in out] == [0, 1, 1, 2]


def test_a_partial_shares_the_finals_id_and_leaves_no_trace(model: Fusion) -> None:
    partials = [turn(1, final=False, seed=5), turn(1, final=False, revision=1, seed=6)]
    with_partials = run_inline(LmamFusion(model, "c"), [turn(0), *partials, turn(1, revision=2), turn(2)])
    without = run_inline(LmamFusion(model, "c"), [turn(0), turn(1, revision=2), turn(2)])
    assert len({e.id for e in with_partials[1:4]}) == 1
    assert [e.revision for e in with_partials[1:4]] == [0, 1, 2]
    finals = [e for e in with_partials if e.final]
    np.testing.assert_array_equal(probs(finals), probs(without))


def test_what_came_before_matters(model: Fusion) -> None:
    alone = run_inline(LmamFusion(model, "c"), [turn(3)])
    later = run_inline(LmamFusion(model, "c"), [turn(0), turn(1), turn(3)])
    assert np.abs(probs(alone)[0] - probs(later)[2]).max() > 1e-4


def test_any_modality_may_be_missing_and_takes_no_weight_then(model: Fusion) -> None:
    for text, voice, face in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1), (0, 0, 0)):
        (e,) = run_inline(
            LmamFusion(model, "c"), [turn(0, text=bool(text), voice=bool(voice), face=bool(face))]
        )
        assert np.isfinite(e.probs).all()
        assert [r.present for r in e.readings] == [bool(text), bool(voice), bool(face)]
        assert sum(r.weight for r in e.readings) == pytest.approx(
            1.0 if text + voice + face else 0.0, abs=1e-5
        )
        assert all(r.present or (r.weight, r.quality) == (0, 0) for r in e.readings)


def test_a_purge_drops_the_context_and_what_was_said_before_it(model: Fusion) -> None:
    stage = LmamFusion(model, "c")
    list(stage.push(turn(0)))
    list(stage.push(turn(1)))
    stage.forget(before=3.0)
    assert list(stage.push(turn(2))) == []
    (after,) = stage.push(turn(4))
    (fresh,) = run_inline(LmamFusion(model, "c"), [turn(4)])
    assert after.probs == fresh.probs
    assert after.turns == 0
    assert after.sequence == 3


def test_a_silent_face_and_a_channel_have_ids_of_their_own(model: Fusion) -> None:
    face = FaceSample(0.5, 0, (0, 0, 9, 9), 1.0, np.ones(64, np.float32))
    silent = Utterance(Span(0, 2), None, (face,), Speaker("unheard"))
    seen = Features(silent, 0, None, None, np.ones(64, np.float32), (0, 0, 1))
    heard = turn(0)
    other = replace(
        heard,
        utterance=replace(heard.utterance, segment=Segment(AudioChunk(np.zeros(9, np.float32), 0.0, 1))),
    )
    out = run_inline(LmamFusion(model, "c"), [seen, heard, other])
    assert len({e.id for e in out}) == 3


def test_a_modality_alone_is_read_as_if_nothing_else_of_the_utterance_were_there(model: Fusion) -> None:
    stage = LmamFusion(model, "c")
    list(stage.push(turn(0, face=True)))
    heard = turn(1, face=True)
    text, voice, face = stage.alone(heard)
    for reading, only in (
        (text, replace(heard, audio=None, visual=None)),
        (voice, replace(heard, text=None, visual=None)),
        (face, replace(heard, text=None, audio=None)),
    ):
        fresh = LmamFusion(model, "c")
        list(fresh.push(turn(0, face=True)))
        (same,) = fresh.push(only)
        assert reading == pytest.approx(same.probs, abs=1e-6)


def test_what_is_absent_says_nothing_alone(model: Fusion) -> None:
    text, voice, face = LmamFusion(model, "c").alone(turn(0, voice=False))
    assert text is not None
    assert (voice, face) == (None, None)


def test_asking_for_readings_alone_leaves_no_trace(model: Fusion) -> None:
    asked, plain = LmamFusion(model, "c"), LmamFusion(model, "c")
    for start in range(3):
        asked.alone(turn(start))
        assert probs(list(asked.push(turn(start)))) == pytest.approx(
            probs(list(plain.push(turn(start)))), abs=0
        )


def test_after_a_purge_a_modality_alone_has_no_context_either(model: Fusion) -> None:
    stage = LmamFusion(model, "c")
    list(stage.push(turn(0)))
    stage.forget(before=2.0)
    assert stage.alone(turn(3)) == LmamFusion(model, "c").alone(turn(3))
