"""Folders of GCNet: files of an utterance, folders of faces, labels of classes and of sentiment."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.data.check import assert_disjoint
from models.data.corpus import DataError
from models.data.gcnet import read

VIDEOS = ["Ses01F_impro01", "Ses02F_impro01", "Ses05F_impro01"]


def iemocap(folder: Path) -> Path:
    """Three dialogues of two utterances: F says the first, M the second."""
    ids = {v: [f"{v}_F000", f"{v}_M001"] for v in VIDEOS}
    value = (
        ids,
        {v: [0, 3] for v in VIDEOS},
        {v: ["F", "M"] for v in VIDEOS},
        {v: ["Hello.", "Go away!"] for v in VIDEOS},
        set(VIDEOS[:2]),
        set(VIDEOS[2:]),
    )
    folder.mkdir(exist_ok=True)
    (folder / "IEMOCAP_features_raw_4way.pkl").write_bytes(pickle.dumps(value))
    for v, (first, second) in ids.items():
        save(folder, "deberta-large-4-UTT", f"{first}.npy", np.full(5, 1.0))
        save(folder, "deberta-large-4-UTT", f"{second}.npy", np.full((1, 5), 2.0))
        save(folder, "wav2vec-large-c-UTT", f"{first}.npy", np.arange(6.0).reshape(2, 3))
        save(folder, "wav2vec-large-c-UTT", f"{second}.npy", np.ones(3))
        save(folder, "manet_UTT", f"{first}/frame_0_F.npy", np.full(4, 1.0))
        save(folder, "manet_UTT", f"{first}/frame_1_F.npy", np.full(4, 3.0))
        save(folder, "manet_UTT", f"{first}/frame_1_M.npy", np.full(4, 9.0))
        save(folder, "manet_UTT", f"{second}/frame_0_F.npy", np.full(4, 5.0))
        assert v
    return folder


def save(folder: Path, root: str, name: str, value: np.ndarray) -> None:
    path = folder / "features" / root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, value.astype(np.float32))


def test_a_folder_is_read_whole(tmp_path: Path) -> None:
    """Time is averaged; of the faces only the speaker's count, and without one the row is missing."""
    corpus = read(iemocap(tmp_path / "IEMOCAPFour"))
    assert corpus.sizes() == {"text": 5, "visual": 4, "audio": 3}
    assert corpus.labels == ("happy", "sad", "neutral", "angry")
    (c,) = corpus.splits["test"]
    assert (c.id, c.speakers, c.group) == (VIDEOS[2], ("Ses05F", "Ses05M"), "Ses05")
    assert c.labels_N.tolist() == [0, 3]
    assert c.texts == ("Hello.", "Go away!")
    np.testing.assert_array_equal(c.features["text"], [[1] * 5, [2] * 5])
    np.testing.assert_array_equal(c.features["audio"], [[1.5, 2.5, 3.5], [1, 1, 1]])
    np.testing.assert_array_equal(c.features["visual"][0], [2] * 4)
    assert np.isnan(c.features["visual"][1]).all()
    assert corpus.commercial_use == "no"


def test_strengths_of_sentiment_become_their_signs(tmp_path: Path) -> None:
    """Of three splits as given; exactly neutral is neither, and not scored."""
    videos = ["v1", "v2", "v3"]
    value: tuple[Any, ...] = (
        {v: [f"{v}_1", f"{v}_2", f"{v}_3"] for v in videos},
        {v: [-1.4, 0.0, 2.2] for v in videos},
        {v: ["", "", ""] for v in videos},
        {v: ["bad", "so so", "good"] for v in videos},
        {"v1"},
        {"v2"},
        {"v3"},
    )
    (tmp_path / "CMUMOSI_features_raw_2way.pkl").write_bytes(pickle.dumps(value))
    for v in videos:
        for k in (1, 2, 3):
            save(tmp_path, "mytext", f"{v}_{k}.npy", np.ones(2))
    corpus = read(tmp_path)
    assert corpus.labels == ("negative", "positive")
    assert [[c.id for c in corpus.splits[s]] for s in ("train", "dev", "test")] == [["v1"], ["v2"], ["v3"]]
    assert corpus.splits["dev"][0].labels_N.tolist() == [0, -1, 1]
    assert len(set(corpus.splits["dev"][0].speakers)) == 1


def test_folders_whose_modality_is_not_plain_are_to_be_named(tmp_path: Path) -> None:
    folder = iemocap(tmp_path / "x")
    save(folder, "roberta-base-UTT", "a.npy", np.ones(3))
    with pytest.raises(DataError, match=r"roberta-base-UTT: which modality.*features ="):
        read(folder)
    named = read(folder, features={"text": "deberta-large-4-UTT", "audio": "wav2vec-large-c-UTT"})
    assert named.sizes() == {"text": 5, "audio": 3}
    with pytest.raises(DataError, match="no modality 'smell'"):
        read(folder, features={"smell": "manet_UTT"})
    with pytest.raises(DataError, match="no such folder of features"):
        read(folder, features={"text": "bert"})


def test_what_is_missing_or_wrong_is_named(tmp_path: Path) -> None:
    """No pickle, another tuple, a missing utterance, another width, no numbers, a program in an array."""
    with pytest.raises(DataError, match=r"no \*_features_raw\*\.pkl"):
        read(tmp_path)
    folder = iemocap(tmp_path / "x")
    text = folder / "features" / "deberta-large-4-UTT"
    file = text / f"{VIDEOS[0]}_F000.npy"
    np.save(file, np.ones(7))
    with pytest.raises(DataError, match="features; the others in deberta-large-4-UTT have"):
        read(folder)
    np.save(file, np.array(["a"]))
    with pytest.raises(DataError, match="expected numbers"):
        read(folder)
    np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="not a readable array"):
        read(folder)
    file.unlink()
    with pytest.raises(DataError, match=rf"{file.name}: not found; expected the features of utterance"):
        read(folder)
    (folder / "IEMOCAP_features_raw_4way.pkl").write_bytes(pickle.dumps(({}, {})))
    with pytest.raises(DataError, match="a tuple of 2; expected a tuple of four dictionaries"):
        read(folder)


def test_a_split_of_iemocap_that_shares_its_actors_is_refused(tmp_path: Path) -> None:
    """Each session has two actors of its own."""
    corpus = read(iemocap(tmp_path / "x"))
    assert_disjoint(corpus)
    again = replace(corpus.splits["train"][0], id="Ses01F_impro02")
    with pytest.raises(DataError, match="test share the speaker Ses0"):
        assert_disjoint(replace(corpus, splits={**corpus.splits, "test": (again,)}))
