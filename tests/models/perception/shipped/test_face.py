"""mini-XCEPTION is run as its authors ran it, and is not missed where it is not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.perception.shipped.face import mini_xception, run_mini_xception
from models.train_face import fer2013
from tests.data import shared_data


def test_it_gives_what_is_known_of_it() -> None:
    """65.4 % on FER2013's labels of this test split (the data's page); of 400 faces, within five points."""
    path = mini_xception(shared_data("weights").parent)
    if path is None:
        pytest.skip("needs shared/data/weights/mini_xception beside the checkout")
    images_NHW, label_N = fer2013(shared_data("ferplus", "ferplus_eval.npz"))
    probs_NL = run_mini_xception(path, images_NHW[:400])
    assert probs_NL.sum(1).numpy() == pytest.approx(np.ones(400), abs=1e-4)
    assert (probs_NL.argmax(1) == label_N[:400]).double().mean() == pytest.approx(0.654, abs=0.05)


def test_a_folder_without_it_has_none(tmp_path: Path) -> None:
    assert mini_xception(tmp_path) is None


def test_a_file_that_is_no_network_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(b"no network")
    with pytest.raises(ValueError, match=r"x\.onnx: not the network"):
        run_mini_xception(path, torch.zeros(1, 48, 48, dtype=torch.uint8))


def test_an_archive_without_the_labels_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images_test=np.zeros((1, 48, 48), np.uint8))
    with pytest.raises(ValueError, match=r"a\.npz: no FER2013 labels"):
        fer2013(tmp_path / "a.npz")
