"""Fitting and measuring the voice network: who is known, what is drawn, what is counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.encoders.voice import Reference
from models.perception.voice import (
    DEFAULT,
    WAYS,
    Plan,
    Voices,
    accuracy,
    choose,
    confusion,
    fit,
    known,
    logits,
    macro_f1,
)
from tests.models.perception.made import LABELS, PLAN, voices


def test_the_plan_that_ships_is_read_and_mistakes_are_named(tmp_path: Path) -> None:
    assert Plan.read(DEFAULT).seeds == (0, 1, 2, 3, 4)
    path = tmp_path / "voice.toml"
    path.write_text("ratee = 1.0\n")
    with pytest.raises(ValueError, match=r"voice\.toml: ratee"):
        Plan.read(path)
    path.write_text("[network]\ndropout = 1.5\n")
    with pytest.raises(ValueError, match=r"network\.dropout"):
        Plan.read(path)
    with pytest.raises(ValueError, match="cannot be read"):
        Plan.read(tmp_path / "absent.toml")


def test_live_only_the_clip_itself_is_known() -> None:
    some = voices()
    count, mean, square = known(some, "live", np.random.default_rng(0))
    assert (count == 1).all()
    np.testing.assert_array_equal(mean, some.statistics_VNS)
    assert not square.any()


def test_offline_all_clips_of_the_speaker_are_known_and_of_nobody_else() -> None:
    some = voices()
    count, mean, square = known(some, "offline", np.random.default_rng(0))
    own = some.of(["s2"])
    reference = Reference.of(some.statistics_VNS[1, own])
    for clip in own:
        assert count[1, clip] == len(own)
        np.testing.assert_allclose(mean[1, clip], reference.mean_S)
        np.testing.assert_allclose(square[1, clip], reference.square_S)


def test_running_is_what_the_live_reference_holds_after_each_clip() -> None:
    some = voices(speakers=2)
    count, mean, square = known(some, "running", np.random.default_rng(3))
    own = some.of(["s1"])
    order = own[np.argsort(count[0, own, 0])]
    assert sorted(count[0, own, 0]) == list(range(1, len(own) + 1))
    reference = Reference.unknown()
    for clip in order:
        reference = reference.plus(some.statistics_VNS[0, clip])
        np.testing.assert_allclose(mean[0, clip], reference.mean_S, atol=1e-9)
        np.testing.assert_allclose(square[0, clip], reference.square_S, atol=1e-7)


def test_the_network_learns_and_a_seed_gives_the_same_again() -> None:
    some = voices()
    train, test = some.of(["s0", "s1", "s2", "s3"]), some.of(["s4", "s5"])
    net, again, other = (fit(some, train, PLAN, 12, seed) for seed in (1, 1, 2))
    for way in WAYS:
        read = logits(net, some, test, way)
        assert accuracy(confusion(read, some.label_N[test])) > 80
        torch.testing.assert_close(logits(again, some, test, way), read)
    assert not torch.equal(logits(other, some, test, "live"), logits(net, some, test, "live"))


def test_knowing_the_speaker_helps_where_speakers_differ() -> None:
    some = voices(speakers=12, apart=1.5, between=2.5)
    train, test = some.of([f"s{i}" for i in range(8)]), some.of([f"s{i}" for i in range(8, 12)])
    net = fit(some, train, PLAN, 12, 0)
    live, offline = (accuracy(confusion(logits(net, some, test, w), some.label_N[test])) for w in WAYS[::2])
    assert offline > live + 5


def test_what_is_not_in_train_has_no_part_in_the_network() -> None:
    """Test clips full of nonsense change nothing: neither scales nor weights."""
    some = voices()
    train, test = some.of(["s0", "s1", "s2", "s3"]), some.of(["s4", "s5"])
    spoilt = some.statistics_VNS.copy()
    spoilt[:, test] = 1e6
    other = Voices(spoilt, some.label_N, some.speakers, some.labels)
    a, b = (fit(v, train, PLAN, 3, 0) for v in (some, other))
    torch.testing.assert_close(a.state_dict(), b.state_dict())


def test_the_epochs_are_those_with_the_lowest_loss_on_dev() -> None:
    some = voices(apart=1.0)
    plan = PLAN.model_copy(update={"epochs": (1, 15)})
    epochs, losses = choose(some, some.of(["s0", "s1", "s2"]), some.of(["s3"]), plan)
    assert set(losses) == {1, 15}
    assert epochs == min(losses, key=lambda e: losses[e])
    assert epochs == 15


def test_counts_and_scores() -> None:
    guess = torch.eye(3)[torch.tensor([0, 1, 1, 2])]
    counts = confusion(guess, np.array([0, 1, 2, 2]))
    np.testing.assert_array_equal(counts, [[1, 0, 0], [0, 1, 0], [0, 1, 1]])
    assert accuracy(counts) == 75.0
    assert macro_f1(counts) == pytest.approx(100 * (1 + 2 / 3 + 2 / 3) / 3)
    assert len(LABELS) == 3


def test_a_label_that_does_not_occur_does_not_count() -> None:
    counts = np.array([[3, 0, 0], [0, 2, 0], [0, 0, 0]])
    assert macro_f1(counts) == 100.0
