"""The part of the bench for voices: every way and condition, beside the baseline, and what it costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.checkpoint import WEIGHTS
from models.perception.shipped import voice
from models.perception.shipped.figures import OURS
from models.perception.voice import TESTED, WAYS
from models.perception.voice_baseline import WAYS as SVM_WAYS
from tests.models.test_train_voice import make

pytestmark = pytest.mark.timeout(120)  # clips are heard under three conditions


def test_every_way_and_condition_is_measured_beside_the_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a corpus of vowels, with the weights that ship: percentages of the clips of the test split."""
    pytest.importorskip("sklearn")
    make(tmp_path)
    monkeypatch.setattr(voice, "CACHE", tmp_path / "cache")
    told: list[str] = []
    found = list(voice.figures(tmp_path, WEIGHTS, told.append))
    named = {(f.model, f.dataset, f.context, f.protocol): f for f in found if f.metric == "accuracy"}
    assert len(named) == 2 * len(TESTED) * (len(WAYS) + len(SVM_WAYS))
    assert {f.n for f in named.values()} == {6, 8}  # EmoDB's speaker without boredom; the actor of RAVDESS
    assert all(0 <= f.value <= 100 for f in named.values())
    (share,) = (f for f in found if f.metric == "% of real time")
    (end,) = (f for f in found if f.metric == "ms at the end of an utterance")
    assert share.target == voice.COST
    assert share.value > 0
    assert 0 < end.value < 1000
    assert share.parameters == next(f.parameters for f in named.values() if f.model.startswith(OURS))
    assert any("support vector" in words for words in told)
