"""UR-FUNNY's folder, both versions, on small files of its form."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.data.corpus import DataError
from models.data.ur_funny import read


def write(folder: Path, version: int = 2) -> Path:
    """Four clips with one context sentence of two words and a punchline of three."""
    ids = [11, 12, 13, 14]

    def rows(width: int) -> dict[int, Any]:
        return {
            i: {
                "context_features": [np.ones((2, width)).tolist()],
                "punchline_features": np.arange(3.0 * width).reshape(3, width),
            }
            for i in ids
        }

    numbers = {
        i: {"context_embedding_indexes": [[0, 1]], "punchline_embedding_indexes": [1, 1, 2]} for i in ids
    }
    said = {
        i: {"context_sentences": ["so here I am"], "punchline_sentence": ["in", "my", "socks"], **numbers[i]}
        for i in ids
    }
    files = {
        "data_folds": {"train": ids[:2], "dev": ids[2:3], "test": ids[3:]},
        "humor_label_sdk": {i: i % 2 for i in ids},
        "covarep_features_sdk": rows(4),
        "openface_features_sdk": rows(5),
        "word_embedding_list": [[0.0, 0.0], [2.0, 4.0], [5.0, 1.0]],
        "language_sdk" if version == 2 else "word_embedding_indexes_sdk": said if version == 2 else numbers,
    }
    folder.mkdir(exist_ok=True)
    for name, value in files.items():
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(value))
    return folder


def test_the_second_version_is_read(tmp_path: Path) -> None:
    """Context without labels, then the sentence that is judged; features are means over words."""
    corpus = read(write(tmp_path))
    assert corpus.sizes() == {"audio": 4, "visual": 5, "text": 2}
    assert [len(corpus.splits[s]) for s in ("train", "dev", "test")] == [2, 1, 1]
    c = corpus.splits["dev"][0]
    assert c.texts == ("so here I am", "in my socks")
    assert c.labels_N.tolist() == [-1, 1]
    np.testing.assert_array_equal(c.features["audio"], [[1] * 4, [4, 5, 6, 7]])
    np.testing.assert_array_equal(c.features["text"], [[1, 2], [3, 3]])


def test_the_first_version_has_no_sentences(tmp_path: Path) -> None:
    c = read(write(tmp_path, version=1)).splits["test"][0]
    assert c.texts == ()
    assert len(c) == 2
    np.testing.assert_array_equal(c.features["text"], [[1, 2], [3, 3]])


def test_words_without_numbers_are_left_out(tmp_path: Path) -> None:
    """COVAREP writes infinities; a sentence without words has no features."""
    folder = write(tmp_path)
    path = folder / "covarep_features_sdk.pkl"
    value = pickle.loads(path.read_bytes())
    value[13]["punchline_features"][0, :2] = [-np.inf, np.nan]
    value[13]["context_features"] = [[]]
    path.write_bytes(pickle.dumps(value))
    c = read(folder).splits["dev"][0]
    np.testing.assert_array_equal(c.features["audio"][1], [6, 7, 6, 7])
    assert np.isnan(c.features["audio"][0]).all()


def test_what_is_missing_or_wrong_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "humor_label_sdk.pkl").write_bytes(pickle.dumps({11: 1}))
    with pytest.raises(DataError, match="clip 12 of the folds is not in every file"):
        read(folder)
    write(tmp_path)
    (folder / "data_folds.pkl").write_bytes(pickle.dumps({"train": [11]}))
    with pytest.raises(DataError, match=r"data_folds\.pkl: no dev; expected train, dev and test"):
        read(folder)
    (folder / "data_folds.pkl").write_bytes(pickle.dumps([1]))
    with pytest.raises(DataError, match="a list; expected a dictionary"):
        read(folder)
    write(tmp_path)
    (folder / "openface_features_sdk.pkl").unlink()
    with pytest.raises(DataError, match=r"openface_features_sdk\.pkl: not found; expected UR-FUNNY's word"):
        read(folder)
    write(tmp_path)
    path = folder / "openface_features_sdk.pkl"
    value = pickle.loads(path.read_bytes())
    value[12]["context_features"] = []
    path.write_bytes(pickle.dumps(value))
    with pytest.raises(DataError, match="clip 12: 1 sentences of visual, 2 of language"):
        read(folder)
