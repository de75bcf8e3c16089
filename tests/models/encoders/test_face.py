from pathlib import Path

import numpy as np
import pytest
import torch

from models import checkpoint
from models.checkpoint import CheckpointError
from models.encoders.face import DEFAULT, LABELS, SIZE, Config, FaceNet, normalise
from models.train_face import accuracy, logits_of, read
from tests.data import shared_data


@pytest.fixture(scope="module")
def net() -> FaceNet:
    return FaceNet.load()


@pytest.fixture
def crops() -> torch.Tensor:
    return torch.randint(
        0, 256, (5, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def test_normalised_crops_do_not_depend_on_exposure_or_gain(crops: torch.Tensor):
    other = crops.float() * 0.4 + 30
    torch.testing.assert_close(normalise(other), normalise(crops), atol=1e-5, rtol=1e-5)


def test_a_flat_crop_is_not_blown_up_to_noise():
    flat = torch.full((1, SIZE, SIZE), 100, dtype=torch.uint8)
    flat[0, 0, 0] = 101
    assert normalise(flat).abs().max() < 0.2


@pytest.mark.parametrize("shape", [(2, 32, 32), (SIZE, SIZE), (1, 1, SIZE, SIZE)])
def test_crops_of_another_shape_are_refused(net: FaceNet, shape: tuple[int, ...]):
    with pytest.raises(ValueError, match="expected"):
        net.embed(torch.zeros(shape, dtype=torch.uint8))


def test_embeddings_and_probabilities_have_their_shapes(net: FaceNet, crops: torch.Tensor):
    embedding, probs = net.embed(crops)
    assert embedding.shape == (5, 64)
    assert probs.shape == (5, len(LABELS))
    torch.testing.assert_close(probs.sum(1), torch.ones(5))


def test_numpy_crops_are_read_alike(net: FaceNet, crops: torch.Tensor):
    torch.testing.assert_close(net.embed(np.asarray(crops)), net.embed(crops))


def test_a_face_is_read_alike_alone_and_in_company(net: FaceNet, crops: torch.Tensor):
    together = net.embed(crops)
    for i in range(len(crops)):
        alone = net.embed(crops[i : i + 1])
        torch.testing.assert_close(alone[0][0], together[0][i], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(alone[1][0], together[1][i], atol=1e-5, rtol=1e-4)


def test_a_face_and_its_mirror_image_are_read_alike(net: FaceNet, crops: torch.Tensor):
    for mine, mirrored in zip(net.embed(crops), net.embed(crops.flip(2)), strict=True):
        torch.testing.assert_close(mine, mirrored, atol=1e-5, rtol=1e-4)


def test_no_crops_give_no_rows(net: FaceNet):
    embedding, probs = net.embed(torch.zeros(0, SIZE, SIZE, dtype=torch.uint8))
    assert (embedding.shape, probs.shape) == ((0, 64), (0, 8))


def test_saved_weights_come_back_the_same(tmp_path: Path, crops: torch.Tensor):
    torch.manual_seed(0)
    made = FaceNet(Config(width=8, blocks=(1, 2, 1))).eval()
    made.save(tmp_path / "face.safetensors", {"name": "test"})
    loaded = FaceNet.load(tmp_path / "face.safetensors")
    assert loaded.config == made.config
    torch.testing.assert_close(loaded.embed(crops), made.embed(crops), atol=0, rtol=0)


def test_the_shipped_file_states_what_it_is():
    meta = checkpoint.read_meta(DEFAULT)
    assert meta["kind"] == "face"
    assert meta["labels"] == list(LABELS)
    assert meta["commercial_use"] == "no"
    assert set(meta["data_licences"]) == {"FER+ labels", "FER2013 images and labels"}
    assert meta["metrics"]["n"]["test"] == 2838
    assert 0.8 < meta["metrics"]["test_accuracy"] < 1


def test_weights_of_another_network_are_refused(tmp_path: Path):
    path = tmp_path / "other.safetensors"
    meta = {"kind": "face", "config": {"width": 8, "blocks": [1, 1, 1], "embedding": 64, "dropout": 0.2}}
    checkpoint.save(path, {"weight": torch.zeros(3)}, meta)
    with pytest.raises(CheckpointError, match=r"other\.safetensors"):
        FaceNet.load(path)


def test_weights_of_another_kind_are_refused(tmp_path: Path):
    path = tmp_path / "text.safetensors"
    checkpoint.save(path, {"weight": torch.zeros(3)}, {"kind": "text", "config": {}})
    with pytest.raises(CheckpointError, match="'text'"):
        FaceNet.load(path)


def test_a_network_of_unknown_options_is_refused(tmp_path: Path):
    path = tmp_path / "new.safetensors"
    checkpoint.save(path, {"w": torch.zeros(3)}, {"kind": "face", "config": {"blocks": [1], "heads": 3}})
    with pytest.raises(CheckpointError, match=r"new\.safetensors"):
        FaceNet.load(path)


@pytest.mark.timeout(120)  # unpacking the archive takes seconds, more on a busy machine
def test_the_shipped_network_reads_the_test_faces_as_well_as_its_file_says(net: FaceNet):
    faces = read(shared_data("ferplus"), "test")
    stated = checkpoint.read_meta(DEFAULT)["metrics"]["test_accuracy"]
    assert accuracy(logits_of(net, faces), faces) == pytest.approx(stated, abs=0.003)
