"""Feature pickles of research code: each layout on a small file made as its authors' loaders expect."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.data.corpus import Corpus, DataError
from models.data.tuples import LAYOUTS, read

R = np.random.default_rng(0)
SIZES = {"text": 4, "text2": 4, "text3": 4, "text4": 4, "audio": 3, "visual": 2}
IEMOCAP = ["Ses01F_impro01", "Ses02M_script01", "Ses03F_impro02", "Ses05F_impro01"]


def write(
    path: Path, layout: str, ids: list[Any], *, speakers: str = "FM", labels: int = 6, as_lists: bool = False
) -> dict[str, Any]:
    """A file of ``layout`` with dialogues of three utterances; the last one is test."""

    def table(width: int) -> Any:
        x = R.normal(size=(3, width))
        return [row.tolist() for row in x] if as_lists else x

    fields: dict[str, Any] = {n: {i: table(w) for i in ids} for n, w in SIZES.items()}
    fields |= {
        "ids": {i: [f"{i}_F00{k}" for k in range(3)] for i in ids},
        "speakers": {i: [speakers[k % 2] for k in range(3)] for i in ids},
        "labels": {i: [k % labels for k in range(3)] for i in ids},
        "sentences": {i: [f"Sentence\u2019s {k} of {i}" for k in range(3)] for i in ids},
        "train": ids[:-1],
        "test": ids[-1:],
        "-": {i: [0, 1, 2] for i in ids},
    }
    if "dev" in LAYOUTS[layout]:
        fields["train"], fields["dev"] = ids[:-2], ids[-2:-1]
    path.write_bytes(pickle.dumps(tuple(fields[n] for n in LAYOUTS[layout]), protocol=2))
    return fields


def utterances(corpus: Corpus) -> int:
    return sum(len(c) for split in corpus.splits.values() for c in split)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("as_lists", [False, True])
def test_every_layout_is_told_apart_and_read(layout: str, as_lists: bool, tmp_path: Path) -> None:
    """Modalities, words, actors and labels of IEMOCAP, by the names of its dialogues; arrays or lists."""
    path = tmp_path / "features.pkl"
    fields = write(path, layout, IEMOCAP, as_lists=as_lists)
    corpus = read(path, layers="first")
    names = set(LAYOUTS[layout])
    assert set(corpus.sizes()) == {n for n in ("text", "audio", "visual") if n in names}
    assert corpus.labels == ("happy", "sad", "neutral", "angry", "excited", "frustrated")
    assert utterances(corpus) == 3 * len(IEMOCAP)
    (test,) = corpus.splits["test"]
    assert test.id == "Ses05F_impro01"
    assert test.speakers == ("Ses05F", "Ses05M", "Ses05F")
    assert test.group == "Ses05"
    assert test.labels_N.tolist() == [0, 1, 2]
    assert test.texts[1] == "Sentence's 1 of Ses05F_impro01"
    np.testing.assert_allclose(test.features["text"], np.array(fields["text"][test.id]), rtol=1e-6)
    if "audio" in names:
        np.testing.assert_allclose(test.features["audio"], np.array(fields["audio"][test.id]), rtol=1e-6)


def test_dev_is_what_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "iemocap_features_roberta.pkl"
    write(path, "COSMIC", IEMOCAP)
    assert {s: [c.id for c in cs] for s, cs in read(path).splits.items()} == {
        "train": IEMOCAP[:2],
        "dev": IEMOCAP[2:3],
        "test": IEMOCAP[3:],
    }


def test_dev_of_meld_is_the_published_one(tmp_path: Path) -> None:
    """Its dialogues are numbered through, from 1039 on; labels have the order of these files."""
    path = tmp_path / "MELD_features_raw1.pkl"
    write(path, "MMGCN and MM-DFN (MELD)", [0, 1038, 1039, 1152, 1153], speakers="01", labels=7)
    corpus = read(path)
    assert [[c.id for c in corpus.splits[s]] for s in ("train", "dev", "test")] == [
        ["0", "1038"],
        ["1039", "1152"],
        ["1153"],
    ]
    assert corpus.labels[4] == "joy"
    assert corpus.splits["test"][0].order_of_appearance() == (0, 1, 0)


def test_dev_that_nobody_gave_is_drawn_by_a_fixed_seed(tmp_path: Path) -> None:
    """A tenth of train, the same dialogues each time, in the order of the file."""
    path = tmp_path / "x.pkl"
    ids = [f"Ses01F_{i:02d}" for i in range(21)]
    write(path, "M3Net and SDT (IEMOCAP)", ids)
    first, again = read(path), read(path)
    assert [len(first.splits[s]) for s in ("train", "dev", "test")] == [18, 2, 1]
    assert [c.id for c in first.splits["dev"]] == [c.id for c in again.splits["dev"]]
    assert not {c.id for c in first.splits["dev"]} & {c.id for c in first.splits["train"]}


def test_one_hot_speakers_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "meld_features_roberta.pkl"
    write(path, "COSMIC (MELD)", [0, 1, 2, 3], labels=7)
    value = list(pickle.loads(path.read_bytes()))
    value[0] = {i: [[0, 1, 0], [1, 0, 0], [0, 1, 0]] for i in range(4)}
    path.write_bytes(pickle.dumps(tuple(value)))
    assert read(path).splits["test"][0].speakers == ("1", "0", "1")


def test_four_layers_become_one_text(tmp_path: Path) -> None:
    """The mean of layers on the scale of train, all side by side, or the first as it is."""
    path = tmp_path / "iemocap_features_roberta.pkl"
    fields = write(path, "COSMIC", IEMOCAP)
    assert read(path, layers="concat").sizes()["text"] == 16
    layers = ("text", "text2", "text3", "text4")
    train = {n: np.concatenate([np.array(fields[n][i]) for i in IEMOCAP[:2]]) for n in layers}
    want = np.mean(
        [(np.array(fields[n][IEMOCAP[3]]) - train[n].mean(0)) / train[n].std(0) for n in layers], axis=0
    )
    np.testing.assert_allclose(read(path).splits["test"][0].features["text"], want, atol=1e-4)
    with pytest.raises(DataError, match="expected one of mean, concat, first"):
        read(path, layers="sum")


def test_a_file_of_an_unknown_set_has_numbers_for_labels(tmp_path: Path) -> None:
    path = tmp_path / "own.pkl"
    write(path, "COSMIC", ["a", "b", "c", "d"], labels=3)
    corpus = read(path)
    assert (corpus.name, corpus.labels, corpus.commercial_use) == ("own", ("0", "1", "2"), "unclear")
    assert read(path, corpus="emorynlp").labels[:3] == ("Joyful", "Mad", "Peaceful")
    with pytest.raises(DataError, match="no names for the labels of 'friends'"):
        read(path, corpus="friends")


def changed(tmp_path: Path, at: int, value: Any) -> Path:
    path = tmp_path / "iemocap_features_roberta.pkl"
    write(path, "COSMIC", IEMOCAP)
    parts = list(pickle.loads(path.read_bytes()))
    parts[at] = value
    path.write_bytes(pickle.dumps(tuple(parts)))
    return path


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    """Another value, another tuple, a dialogue that lacks a field, unequal lengths, a label too many."""
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({"train": 1}))
    with pytest.raises(
        DataError, match=r"x\.pkl: a dict; expected a tuple of dictionaries.*COSMIC: 10 \(speakers"
    ):
        read(path)
    path.write_bytes(pickle.dumps(({}, {}, [])))
    with pytest.raises(DataError, match=r"a tuple of 3 \(dict, dict, list\)"):
        read(path)
    with pytest.raises(DataError, match="dialogue 'Ses01F_impro01' has no text2"):
        read(changed(tmp_path, 3, {}))
    short = {i: ["one"] for i in IEMOCAP}
    with pytest.raises(DataError, match="has 3 labels and 1 sentences"):
        read(changed(tmp_path, 6, short))
    with pytest.raises(
        DataError, match=r"text4 of dialogue 'Ses01F_impro01': shape \[3\]; expected \[utterances"
    ):
        read(changed(tmp_path, 5, {i: [1.0, 2.0, 3.0] for i in IEMOCAP}))
    with pytest.raises(DataError, match=r"text4 of dialogue.*rows of numbers of one length"):
        read(changed(tmp_path, 5, {i: [[1.0], [2.0, 3.0], [4.0]] for i in IEMOCAP}))
    with pytest.raises(DataError, match="has label 9; expected 0 to 5"):
        read(changed(tmp_path, 1, {i: [0, 9, 1] for i in IEMOCAP}))
