"""A path is read in the format that lies there."""

from __future__ import annotations

import contextlib
import pickle
from pathlib import Path

import numpy as np
import pytest

from models.data.corpus import DataError
from models.data.formats import read
from tests.models.data import test_extracted, test_gcnet, test_meld_raw, test_tuples, test_ur_funny


def test_every_format_is_recognised_by_what_lies_there(tmp_path: Path) -> None:
    """Features, where there are any, tell which reader it was."""
    test_tuples.write(tmp_path / "iemocap_features_roberta.pkl", "COSMIC", test_tuples.IEMOCAP)
    test_extracted.write(tmp_path / "extracted")
    found = {
        "cosmic": read(tmp_path / "iemocap_features_roberta.pkl"),
        "gcnet": read(test_gcnet.iemocap(tmp_path / "IEMOCAPFour")),
        "ur_funny": read(test_ur_funny.write(tmp_path / "humour")),
        "raw": read(test_meld_raw.raw(tmp_path / "MELD.Raw")),
        "extracted": read(tmp_path / "extracted"),
    }
    assert {k: sorted(c.sizes()) for k, c in found.items()} == {
        "cosmic": ["text"],
        "gcnet": ["audio", "text", "visual"],
        "ur_funny": ["audio", "text", "visual"],
        "raw": [],
        "extracted": ["audio"],
    }


def test_options_go_to_the_reader_and_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "iemocap_features_roberta.pkl"
    test_tuples.write(path, "COSMIC", test_tuples.IEMOCAP)
    assert read(path, layers="concat").sizes() == {"text": 16}
    with pytest.raises(DataError, match=r"its format \(tuples\).*'fold'"):
        read(path, fold=3)


def test_what_is_no_corpus_says_what_was_found_and_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder; expected a folder that"):
        read(tmp_path / "nowhere")
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"in no known format \(found holiday\.jpg\); expected"):
        read(tmp_path)
    with pytest.raises(DataError, match=r"holiday\.jpg: not a readable pickle"):
        read(tmp_path / "holiday.jpg")


@pytest.mark.parametrize("part", range(8))
@pytest.mark.parametrize("wrong", [None, 5, "x", [[1], [2, 3]], {"a": 1}, np.zeros((3, 2, 2)), float("nan")])
def test_values_of_another_kind_are_refused_whatever_they_are(
    part: int, wrong: object, tmp_path: Path
) -> None:
    """In the place of a whole part of the file, and of what it says of one dialogue: never a traceback."""
    path = tmp_path / "iemocap_features_roberta.pkl"
    test_tuples.write(path, "COSMIC", test_tuples.IEMOCAP)
    value = list(pickle.loads(path.read_bytes()))
    for deep in (False, True):
        changed = {**value[part], test_tuples.IEMOCAP[0]: wrong} if deep and part < 7 else wrong
        path.write_bytes(pickle.dumps((*value[:part], changed, *value[part + 1 :])))
        with contextlib.suppress(DataError):
            read(path)


def test_the_message_says_what_was_wrong_and_expected(tmp_path: Path) -> None:
    path = tmp_path / "iemocap_features_roberta.pkl"
    test_tuples.write(path, "COSMIC", test_tuples.IEMOCAP)
    value = list(pickle.loads(path.read_bytes()))
    value[6][test_tuples.IEMOCAP[0]] = None
    path.write_bytes(pickle.dumps(tuple(value)))
    with pytest.raises(DataError, match=r"roberta\.pkl: something in it.*NoneType.*; expected a folder"):
        read(path)


def test_splits_that_share_a_dialogue_are_refused(tmp_path: Path) -> None:
    """A mistake in the file of somebody else is found while it is read."""
    path = tmp_path / "iemocap_features_roberta.pkl"
    test_tuples.write(path, "COSMIC", test_tuples.IEMOCAP)
    value = list(pickle.loads(path.read_bytes()))
    value[7] = test_tuples.IEMOCAP
    path.write_bytes(pickle.dumps(tuple(value)))
    with pytest.raises(DataError, match="train and test share the dialogue Ses05F_impro01"):
        read(path)
