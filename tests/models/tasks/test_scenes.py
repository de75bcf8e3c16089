"""Scenes as streams: what stands in each, and how they are divided."""

from __future__ import annotations

import gzip
import json
import logging
import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from models.data import mustard
from models.data.corpus import DataError
from models.tasks.lexicon import NAMES, Lexicon
from models.tasks.scenes import PUBLISHED, SHOWS, alone, by_speaker, protocols, streams
from tests.data import shared_data
from tests.models.data.made import corpus, talk
from tests.models.encoders.test_text import small_encoder
from tests.models.tasks.made import scenes

LEXICON = Lexicon({"fine": 1.0})


def test_the_streams_of_a_turn_are_its_words_those_before_it_and_the_lexicon() -> None:
    scene = talk("a", "how are you", "fine", "what", labels=(-1, -1, 1))
    read = streams(corpus([scene]), small_encoder(), LEXICON, None)["a"].features
    np.testing.assert_array_equal(read["audio"][1], read["text"][0])
    np.testing.assert_allclose(read["audio"][2], read["text"][:2].mean(0), rtol=1e-6)
    assert np.isnan(read["audio"][0]).all(), "nothing was said before the first turn"
    assert read["visual"].shape == (3, len(NAMES))
    assert read["visual"][1, 0] > 0 == read["visual"][0, 0]


def test_a_turn_without_words_adds_nothing_to_the_context() -> None:
    scene = talk("a", " ", "fine", "", "what", labels=(-1, -1, -1, 1))
    read = streams(corpus([scene]), small_encoder(), LEXICON, None)["a"].features
    assert np.isnan(read["audio"][:2]).all()
    np.testing.assert_array_equal(read["audio"][2:], read["text"][[1, 1]])


def test_a_scene_alone_is_its_last_turn() -> None:
    features = {"text": np.arange(6, dtype=np.float32).reshape(3, 2)}
    made = alone(corpus([talk("a", "x", "y", "z", labels=(-1, -1, 1), features=features)]))
    (only,) = made.splits["train"]
    assert (len(only), only.texts, only.speakers, only.labels_N.tolist()) == (1, ("z",), ("A",), [1])
    assert only.features["text"].tolist() == [[4, 5]]


def test_a_speaker_is_guessed_by_what_it_did_in_training_and_a_stranger_by_the_mean() -> None:
    train = [
        talk(str(i), "x", who=who, labels=[y])
        for i, (who, y) in enumerate(zip("JJJR", (1, 1, 0, 0), strict=True))
    ]
    test = [talk(f"t{who}", "x", who=who, labels=[1]) for who in "JRX"]
    probs, labels = by_speaker(corpus(train, test=test), "test")
    assert probs[:, 1].tolist() == pytest.approx([2.5 / 4, 0.5 / 2, 0.5])
    torch.testing.assert_close(probs.sum(1), torch.ones(3))
    assert labels.tolist() == [1, 1, 1]


def test_mustard_is_divided_as_published_and_by_show(tmp_path: Path) -> None:
    folder = scenes(tmp_path)
    published, shows = protocols("mustard", folder, None, None, small_encoder)
    assert (published.name, shows.name) == (PUBLISHED, SHOWS)
    assert list(shows.folds) == ["ONE", "TWO"]
    for way in (published, shows):
        tested = [c.id for fold in way.folds.values() for c in fold.splits["test"]]
        assert sorted(tested) == sorted(f"{i}_s" for i in range(40)), "each scene is test once"
        for fold in way.folds.values():
            assert all(set(c.features) == {"text", "audio", "visual"} for c in fold.splits["dev"])
    for name, fold in shows.folds.items():
        assert {c.group for c in fold.splits["test"]} == {name}
        assert name not in {c.group for s in ("train", "dev") for c in fold.splits[s]}


def test_features_are_made_once_for_all_folds(tmp_path: Path) -> None:
    """The same scene has the same features wherever it stands."""
    folder = scenes(tmp_path)
    ways = protocols("mustard", folder, None, None, small_encoder)
    seen: dict[str, np.ndarray] = {}
    for way in ways:
        for fold in way.folds.values():
            for c in (c for part in fold.splits.values() for c in part):
                assert c.features["text"] is seen.setdefault(c.id, c.features["text"])
    assert len(seen) == 40
    assert mustard.load(folder, 0).splits["test"][0].id in seen


def test_scenes_whose_words_stand_in_dev_or_test_are_no_part_of_train(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One sentence in scenes of both shows: where it is asked, or chooses, it is not learnt from."""
    folder = scenes(tmp_path)
    path = folder / "mustard" / "sarcasm_data.json.gz"
    made = json.loads(gzip.decompress(path.read_bytes()))
    twice = [name for name, scene in made.items() if scene["speaker"] in ("ONE1", "TWO0")][:6]
    for name in twice:
        made[name]["utterance"] = "Is this what you call, a joke?"
    path.write_bytes(gzip.compress(json.dumps(made).encode()))
    with caplog.at_level(logging.INFO, "models.tasks.scenes"):
        ways = protocols("mustard", folder, None, None, small_encoder)
    for way in ways:
        left = 0
        for fold in way.folds.values():
            asked = {c.id for s in ("dev", "test") for c in fold.splits[s]}
            learnt = {c.id for c in fold.splits["train"]}
            assert not (learnt & set(twice) and asked & set(twice))
            left += len(made) - len(asked) - len(learnt)
        assert left > 0
        assert f"mustard, {way.name}: {left} labels of train dropped that stand in dev or test" in caplog.text


def test_the_leaks_of_mustard_itself_are_left_out() -> None:
    data = shared_data("mustard").parent
    ways = protocols("mustard", data, None, None, small_encoder)
    assert [sum(len(c.splits["train"]) for c in way.folds.values()) for way in ways] == [2404, 1811]


def ur_funny(folder: Path, *, words: bool) -> Path:
    """A folder of UR-FUNNY with 12 clips of one context sentence; two words a sentence."""
    random = np.random.default_rng(0)
    clips = list(range(12))
    label = {i: i % 2 for i in clips}

    def features(width: int, i: int) -> dict[str, object]:
        rows = random.normal(size=(2, width)) + 3 * label[i]
        return {"punchline_features": rows, "context_features": [random.normal(size=(2, width))]}

    def language(i: int) -> Mapping[str, object]:
        ids = {"punchline_embedding_indexes": [i, 1], "context_embedding_indexes": [[2, 3]]}
        said = {"punchline_sentence": "fine thanks", "context_sentences": [f"how are you {i}"]}
        return said if words else ids

    files: dict[str, object] = {
        "data_folds.pkl": {"train": clips[:8], "dev": clips[8:10], "test": clips[10:]},
        "humor_label_sdk.pkl": label,
        "covarep_features_sdk.pkl": {i: features(4, i) for i in clips},
        "openface_features_sdk.pkl": {i: features(5, i) for i in clips},
        "language_sdk.pkl" if words else "word_embedding_indexes_sdk.pkl": {i: language(i) for i in clips},
    }
    if not words:
        files["word_embedding_list.pkl"] = random.normal(size=(12, 6)).tolist()
    for name, content in files.items():
        (folder / name).write_bytes(pickle.dumps(content))
    return folder


@pytest.mark.parametrize(("words", "width"), [(False, 6), (True, 16)])
def test_ur_funny_brings_its_own_modalities_and_words_are_encoded(
    tmp_path: Path, words: bool, width: int
) -> None:
    (way,) = protocols("ur_funny", tmp_path, ur_funny(tmp_path, words=words), None, small_encoder)
    (fold,) = way.folds.values()
    assert [len(fold.splits[s]) for s in ("train", "dev", "test")] == [8, 2, 2]
    assert fold.sizes() == {"text": width, "audio": 4, "visual": 5}


def test_clips_of_ur_funny_that_say_the_same_are_no_part_of_train(tmp_path: Path) -> None:
    folder = ur_funny(tmp_path, words=True)
    path = folder / "language_sdk.pkl"
    said = pickle.loads(path.read_bytes())
    for i in (0, 11):  # one of train, one of test
        said[i]["punchline_sentence"] = "that is what they all said"
    path.write_bytes(pickle.dumps(said))
    (way,) = protocols("ur_funny", tmp_path, folder, None, small_encoder)
    assert [c.id for c in way.folds["test"].splits["train"]] == [str(i) for i in range(1, 8)]


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--path names where its files lie"):
        protocols("ur_funny", tmp_path, None, None)
    with pytest.raises(DataError, match="no corpus 'jokes'"):
        protocols("jokes", tmp_path, None, None)
    with pytest.raises(DataError, match="mustard"):
        protocols("mustard", tmp_path, None, None)
