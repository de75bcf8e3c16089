"""Machines speak sentences of MELD in other voices for each split, and are heard once."""

from __future__ import annotations

import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from models import machine_voices
from models.encoders.prosody import USED_MEASURES
from models.encoders.voice_statistics import COUNT
from models.machine_voices import VOICES, machines
from tests.data import shared_data

CONDITIONS = ("clean", "line")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    pytest.importorskip("soundfile")
    monkeypatch.setattr(machine_voices, "EACH", 2)


def test_no_voice_is_in_two_splits() -> None:
    assert all(not set(VOICES[a]) & set(VOICES[b]) for a, b in combinations(VOICES, 2))


def test_a_sentence_is_heard_in_every_condition_and_once(few: None, tmp_path: Path) -> None:
    data, said = shared_data("meld").parent, []
    found = machines(data, "dev", CONDITIONS, tmp_path, said.append)
    assert found.voices == ("en-us+f1", "en-us+f1", "en-gb+m4", "en-gb+m4")
    assert found.statistics_VNS.shape == (2, 4, COUNT)
    assert found.measures_VNA.shape == (2, 4, len(USED_MEASURES))
    assert np.isfinite(found.statistics_VNS).all()
    assert not np.allclose(found.statistics_VNS[0], found.statistics_VNS[1])
    (kept,) = tmp_path.iterdir()
    at = kept.stat().st_mtime_ns
    again = machines(data, "dev", CONDITIONS, tmp_path, said.append)
    np.testing.assert_array_equal(again.statistics_VNS, found.statistics_VNS)
    assert kept.stat().st_mtime_ns == at


def test_other_conditions_are_heard_anew(few: None, tmp_path: Path) -> None:
    data = shared_data("meld").parent
    for conditions in (CONDITIONS, CONDITIONS[:1]):
        machines(data, "dev", conditions, tmp_path, print)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_machine_that_says_nothing_is_told(
    few: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_voices, "speak", lambda *_: np.zeros(16_000, np.int16))
    with pytest.raises(ValueError, match="nothing was heard of it"):
        machines(shared_data("meld").parent, "dev", CONDITIONS, tmp_path, print)
