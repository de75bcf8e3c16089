"""Pictures say what the evaluation says."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.training.config import TrainingError
from models.training.evaluate import Bin, Evaluation, PerClass
from models.training.pictures import _confusion, _reliability, draw

pytest.importorskip("matplotlib", reason="needs the extra 'train'")

EVALUATION = Evaluation(
    "test",
    (),
    10,
    {"accuracy": 70.0, "weighted_f1": 69.5, "macro_f1": 60.0, "ece": 0.123},
    0.1,
    (PerClass("calm", 80.0, 66.7, 72.7, 6), PerClass("glad", 60.0, 75.0, 66.7, 4)),
    ((4, 2), (1, 3)),
    (Bin(0.6, 0.667, 0.65, 0.5, 4), Bin(0.8, 0.867, 0.84, 0.83, 6)),
)


def test_the_confusion_shows_shares_and_counts_of_each_label() -> None:
    axes = _confusion(EVALUATION, "toy").axes[0]
    assert [t.get_text() for t in axes.texts] == ["67\n(4)", "33\n(2)", "25\n(1)", "75\n(3)"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["calm (6)", "glad (4)"]
    assert "69.5" in axes.get_title()


def test_the_reliability_shows_accuracy_by_confidence() -> None:
    top, below = _reliability(EVALUATION, "toy").axes
    assert [bar.get_height() for bar in top.patches] == [0.5, 0.83]
    assert [bar.get_height() for bar in below.patches] == [4, 6]
    assert "0.123" in top.get_title()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(TrainingError, match=r"--out .*file.*: pictures cannot be written there \("):
            draw(EVALUATION, folder, "toy")
