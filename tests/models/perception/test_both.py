"""Two modalities read together: what is missing is not read, and people of test stay unknown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.perception.both import DEFAULT, FACE, VOICE, Plan, Prepared, choose, fit, logits, part
from models.perception.voice import WAYS, Voices, accuracy, confusion
from tests.models.perception.made import voices

PLAN = Plan(members=2, versions=2, epochs=(1, 12), batch=16, widths=(32, 16), embedding=16, dropout=0.1)


def senses(apart: tuple[float, float] = (3.0, 3.0)) -> list[Voices]:
    """A voice and a face that show the same expression, the face by other numbers."""
    heard, seen = (voices(apart=a) for a in apart)
    turned_VNS = seen.statistics_VNS[..., ::-1][..., :40].copy()
    return [heard, Voices(turned_VNS, seen.label_N, seen.speakers, seen.labels)]


def split(of: list[Voices]) -> tuple[np.ndarray, np.ndarray]:
    return of[0].of(["s0", "s1", "s2", "s3"]), of[0].of(["s4", "s5"])


@pytest.mark.parametrize("fusion", ["lmam-all-memories", "concat"])
def test_expressions_of_new_people_are_told_apart_in_every_way_and_subset(fusion: str) -> None:
    both = senses()
    train, test = split(both)
    nets = fit(Prepared.of(both, train, PLAN), PLAN, fusion, 12, seed=0)
    for way in WAYS:
        for subset in ("", f", {VOICE}", f", {FACE}"):
            x_NK = logits(nets, both, test, way, PLAN.prior, subset)
            assert accuracy(confusion(x_NK, both[0].label_N[test])) > 80


def test_what_is_missing_is_not_read() -> None:
    both = senses()
    train, test = split(both)
    nets = fit(Prepared.of(both, train, PLAN), PLAN, "lmam-all-memories", 1, seed=0)
    blind = [both[0], both[1].instead(both[1].statistics_VNS[0] + 9.0)]
    alone, same = (logits(nets, s, test, "live", PLAN.prior, f", {VOICE}") for s in (both, blind))
    assert torch.equal(alone, same)
    assert not torch.equal(alone, logits(nets, both, test, "live", PLAN.prior))


def test_a_clip_read_live_does_not_depend_on_other_clips() -> None:
    both = senses()
    train, test = split(both)
    nets = fit(Prepared.of(both, train, PLAN), PLAN, "lmam-all-memories", 1, seed=0)
    every = logits(nets, both, test, "live", PLAN.prior)
    one = logits(nets, both, test[3:4], "live", PLAN.prior)
    assert torch.allclose(every[3:4], one, atol=1e-5)


def test_the_same_seed_gives_the_same_network_and_another_another() -> None:
    both = senses()
    train, test = split(both)
    prepared = Prepared.of(both, train, PLAN)
    first, again, other = (
        logits(fit(prepared, PLAN, "lmam-all-memories", 1, seed), both, test, "live", PLAN.prior)
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_dev_chooses_how_long_to_train() -> None:
    both = senses(apart=(1.5, 1.5))
    train, dev = split(both)
    epochs, losses = choose(both, train, dev, PLAN, "concat")
    assert set(losses) == {1, 12}
    assert epochs == 12


def test_part_keeps_clips_versions_and_their_speakers() -> None:
    (heard, _), which = senses(), np.array([13, 2])
    found = part(heard, which, 1)
    assert found.statistics_VNS.shape[:2] == (1, 2)
    assert found.speakers == ("s1", "s0")


def test_the_plan_of_the_repository_is_read_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    assert Plan.read(DEFAULT).seeds == (0, 1, 2, 3, 4)
    path = tmp_path / "p.toml"
    path.write_text("widths = [1]\n")
    with pytest.raises(ValueError, match=r"p\.toml: widths"):
        Plan.read(path)
