"""The corpora below the data folder: whole, in order, as published."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.data import CORPORA, FILES, load, meld
from models.data.corpus import Corpus, DataError
from models.data.mustard import shows
from tests.data import shared_data
from tests.models.data.test_tuples import IEMOCAP, write

# corpus: utterances, conversations of train, dev, test
SIZES = {
    "meld": ((9989, 1038), (1109, 114), (2610, 280)),
    "iemocap6": ((5163, 108), (647, 12), (1623, 31)),
    "mosi": ((1214, 50), (233, 12), (752, 31)),
    "emorynlp": ((7551, 659), (954, 89), (984, 79)),
    "dailydialog": ((87170, 11118), (8069, 1000), (7740, 1000)),
    "ravdess": ((960, 960), (120, 120), (120, 120)),
}


def read(name: str) -> Corpus:
    return load(name, shared_data())


@pytest.mark.parametrize("name", SIZES)
def test_the_published_splits_are_read_whole(name: str) -> None:
    """Counts of utterances and conversations; every label is seen in train."""
    corpus = read(name)
    for split, (utterances, conversations) in zip(("train", "dev", "test"), SIZES[name], strict=True):
        assert len(corpus.splits[split]) == conversations
        assert sum(map(len, corpus.splits[split])) == utterances
    seen = {int(y) for c in corpus.splits["train"] for y in c.labels_N}
    assert seen - {-1} == set(range(len(corpus.labels)))


@pytest.mark.parametrize("name", SIZES)
def test_every_row_of_a_conversation_has_its_place(name: str) -> None:
    """Ids, speakers, words, labels and features are as long as the conversation; ids are unique."""
    corpus = read(name)
    conversations = [c for split in corpus.splits.values() for c in split]
    for c in conversations:
        assert len(c.speakers) == len(c.texts) == len(c.labels_N) == len(c) > 0
        assert c.labels_N.dtype == np.int64
        for rows in c.features.values():
            assert rows.dtype == np.float32
            assert len(rows) == len(c)
        assert set(c.order_of_appearance()) == set(range(len(set(c.speakers))))
    assert len({c.id for c in conversations}) == len(conversations)
    ids = [u for c in conversations for u in c.utterances]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", FILES)
def test_a_path_to_a_corpus_of_the_data_folder_is_that_corpus(name: str) -> None:
    """Its folder, or the file that is read, with and without a data folder beside."""
    path = shared_data() / FILES[name]
    splits = {s: [c.id for c in part] for s, part in read(name).splits.items()}
    for found in (load(str(path)), load(str(path.parent)), load(path.parent.name + "/", shared_data())):
        assert found.name == name
        assert {s: [c.id for c in part] for s, part in found.splits.items()} == splits


def test_a_folder_that_only_has_the_name_of_a_corpus_is_read_by_its_format(tmp_path: Path) -> None:
    features = tmp_path / "meld" / "iemocap_features_roberta.pkl"
    features.parent.mkdir()
    write(features, "COSMIC", IEMOCAP)
    assert load(str(features)).sizes().keys() == {"text"}
    with pytest.raises(DataError, match="in no known format"):
        load(str(features.parent))
    (tmp_path / meld.FILE).touch()
    assert load(str(features)).sizes().keys() == {"text"}
    with pytest.raises(DataError, match=r"meld_text_prosody\.csv\.gz"):
        load(str(features.parent))


def test_missing_prosody_is_nan() -> None:
    """MELD lacks 117 pitches and two whole clips; nothing else of the seven measures but rates of silence."""
    corpus = read("meld")
    audio = np.concatenate([c.features["audio"] for split in corpus.splits.values() for c in split])
    assert audio.shape == (13708, len(corpus.measures["audio"]))
    pitch = corpus.measures["audio"].index("avg_pitch")
    assert np.isnan(audio[:, pitch]).sum() == 117
    assert np.isnan(audio).all(1).sum() == 2


def test_dev_of_mosi_is_twelve_whole_train_videos() -> None:
    """The same ones each time, and none of them in train or test."""
    first, again = read("mosi"), read("mosi")
    dev = {c.id for c in first.splits["dev"]}
    assert len(dev) == 12
    assert dev == {c.id for c in again.splits["dev"]}
    assert not dev & {c.id for s in ("train", "test") for c in first.splits[s]}


def test_the_actors_of_iemocaps_test_are_heard_nowhere_else() -> None:
    """Session 5 alone."""
    corpus = read("iemocap6")
    assert {s for c in corpus.splits["test"] for s in c.speakers} == {"Ses05F", "Ses05M"}
    assert {c.group for s in ("train", "dev") for c in corpus.splits[s]} == {f"Ses0{i}" for i in range(1, 5)}


def test_a_wrong_name_or_folder_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there are meld, iemocap6, mosi"):
        load("melt", tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        load("meld", tmp_path / "nowhere")
    with pytest.raises(DataError, match="no data folder; expected --data"):
        load("meld")


def test_a_path_is_read_as_it_is_or_below_the_folder(tmp_path: Path) -> None:
    write(tmp_path / "mine.pkl", "COSMIC", IEMOCAP)
    assert load(str(tmp_path / "mine.pkl")).sizes() == load("mine.pkl", tmp_path, layers="first").sizes()


def test_folds_of_mustard() -> None:
    """The five published ones hold every scene once; a show's has nobody of the others; one label a scene."""
    data = shared_data()
    folds = [load("mustard", data, fold=i) for i in range(5)]
    tested = [c.id for f in folds for c in f.splits["test"]]
    assert len(tested) == len(set(tested)) == 690
    for fold in (*folds, *(load("mustard", data, fold=show) for show in shows(data))):
        ids = [c.id for split in fold.splits.values() for c in split]
        assert len(ids) == len(set(ids)) == 690
        for c in (c for split in fold.splits.values() for c in split):
            assert c.labels_N[-1] in (0, 1)
            assert (c.labels_N[:-1] == -1).all()
    by_show = load("mustard", data, fold="BBT").splits
    assert {c.group for c in by_show["test"]} == {"BBT"}
    assert len(by_show["test"]) == 280
    assert "BBT" not in {c.group for s in ("train", "dev") for c in by_show[s]}
    with pytest.raises(DataError, match="no fold 5"):
        load("mustard", data, fold=5)
    with pytest.raises(DataError, match="no show 'MASH' in MUStARD; there are FRIENDS, BBT"):
        load("mustard", data, fold="MASH")


def test_an_option_that_a_corpus_does_not_have_is_refused() -> None:
    with pytest.raises(DataError, match=r"mosi: .*fold"):
        load("mosi", shared_data(), fold=1)


@pytest.mark.parametrize("name", sorted(CORPORA))
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not found; expected"):
        load(name, tmp_path)


def test_damaged_mosi_files_are_named(tmp_path: Path) -> None:
    """Cut off, without an array, with arrays of unequal length, with another split."""
    (tmp_path / "mosi").mkdir()
    path = tmp_path / "mosi" / "mosi_utterance_features.npz"
    arrays: dict[str, Any] = {n: np.zeros((2, 3)) for n in ("text", "audio", "video")}
    arrays |= {n: np.zeros(2, dtype=np.int64) for n in ("label", "utterance")}
    arrays |= {"video_id": np.array(["a", "b"]), "transcript": np.array(["x", "y"])}
    np.savez(path, **arrays)
    with pytest.raises(DataError, match="no array split; found text, audio"):
        load("mosi", tmp_path)
    np.savez(path, **arrays, split=np.array(["train"]))
    with pytest.raises(DataError, match="arrays of unequal length"):
        load("mosi", tmp_path)
    np.savez(path, **arrays, split=np.array(["train", "valid"]))
    with pytest.raises(DataError, match="split 'valid'; expected train or test"):
        load("mosi", tmp_path)
    good = {**arrays, "split": np.array(["train", "test"])}
    for name, wrong, says in (
        ("label", np.array([0, 2]), "label 2; expected 0"),
        ("label", np.array(["a", "b"]), "label holds <U1; expected numbers"),
        ("audio", np.array(["a", "b"]), "audio holds <U1; expected numbers"),
        ("audio", np.zeros(2), r"audio of shape \[1\]; expected \[1, features\]"),
        ("audio", np.array(3.0), "arrays of unequal length"),
    ):
        np.savez(path, **{**good, name: wrong})
        with pytest.raises(DataError, match=says):
            load("mosi", tmp_path)
    np.savez(path, **{n: a[:0] for n, a in good.items()})
    with pytest.raises(DataError, match="expected one row an utterance"):
        load("mosi", tmp_path)
    np.savez(path, **good)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="expected a NumPy archive"):
        load("mosi", tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        '{"dialogue_id": "a", "split": "train"}',
        '{"dialogue_id": "a", "split": "later", "utterances": []}',
        "{",
        '{"dialogue_id": "", "split": "test", "utterances": [{"speaker": 0, "emotion": "joy", "text": ""}]}',
        '{"dialogue_id": "", "split": "test", "utterances": [{"speaker": 0, "emotion": "fear", "text": 5}]}',
    ],
)
def test_damaged_dialogues_are_named(line: str, tmp_path: Path) -> None:
    """A missing field, another split, no JSON, another label, no text."""
    (tmp_path / "dailydialog").mkdir()
    with gzip.open(tmp_path / "dailydialog" / "dailydialog.jsonl.gz", "wt") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=r"dailydialog\.jsonl\.gz.*expected"):
        load("dailydialog", tmp_path)


def test_damaged_scenes_of_mustard_are_named(tmp_path: Path) -> None:
    """A scene without a field, as many turns as speakers, folds that do not match."""
    (tmp_path / "mustard").mkdir()
    scene = {
        "utterance": "Great.",
        "speaker": "A",
        "context": ["Hm.", "So."],
        "context_speakers": ["B"],
        "show": "S",
        "sarcasm": True,
    }
    folds = tmp_path / "mustard" / "split_indices.json"

    def write(value: object, test: list[int]) -> None:
        with gzip.open(tmp_path / "mustard" / "sarcasm_data.json.gz", "wt") as file:
            json.dump(value, file)
        folds.write_text(json.dumps([{"test": test}]))

    write({"1": {**scene, "show": None} | {"sarcasm": False}, "2": {"utterance": "Hm"}}, [0])
    with pytest.raises(DataError, match="scene 2 has no speaker"):
        load("mustard", tmp_path)
    write({"1": scene}, [3])
    with pytest.raises(DataError, match="names rows beyond the 1 scenes"):
        load("mustard", tmp_path)
    write({"1": {**scene, "context": None}}, [0])
    with pytest.raises(DataError, match="scene 1 has context None; expected a list"):
        load("mustard", tmp_path)
    write({"1": scene}, [0])
    with pytest.raises(DataError, match="scene 1: 3 turns by 2 speakers"):
        load("mustard", tmp_path)
    folds.write_text("{")
    with pytest.raises(DataError, match=r"split_indices\.json: cannot be read"):
        load("mustard", tmp_path)
