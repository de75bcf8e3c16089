"""Networks of pictures: transformers' and timm's, at the size and scale that their files name."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.checkpoint import CheckpointError
from models.encoders.hub.face import HubFace
from models.encoders.hub.files import import_timm, import_transformers
from models.encoders.hub.spec import parse
from tests.models.encoders.hub import checkpoints


def encoder(folder: Path, options: str = "", source: str = "hf") -> HubFace:
    return HubFace(parse(f"{source}:{folder}?device=cpu{options}", "visual"))


def faces(n: int, size: int = 32) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize(("family", "dim"), [("vit", 32), ("resnet", 24)])
def test_a_face_does_not_depend_on_its_batch(family: str, dim: int, tmp_path: Path) -> None:
    e = encoder(checkpoints.face(tmp_path, family), "&batch=2")
    together = e.encode(faces(3))
    np.testing.assert_allclose(together, np.concatenate([e.encode(f[None]) for f in faces(3)]), atol=1e-5)
    assert together.shape == (3, e.dim) == (3, dim)
    assert e.size == 32
    assert e.encode(faces(0)).shape == (0, dim)
    with pytest.raises(ValueError, match=r"expected \[n, 32, 32, 3\]"):
        e.encode(faces(1, 48))


def test_colours_are_scaled_as_the_files_say(tmp_path: Path) -> None:
    """Red first, rows before columns, by the mean and deviation of the preprocessor; pooled as named."""
    folder = checkpoints.face(tmp_path)
    x = (faces(2).transpose(0, 3, 1, 2).astype(np.float32) / 255 - 0.5) / 0.25
    with torch.inference_mode():
        net = import_transformers().AutoModel.from_pretrained(folder).eval()
        states = net(torch.from_numpy(x), output_hidden_states=True).hidden_states
        last = net(torch.from_numpy(x)).last_hidden_state
    for options, want in (
        ("", last.mean(1)),
        ("&pool=cls", last[:, 0]),
        ("&layers=2", (states[-1] + states[-2]).mean(1) / 2),
    ):
        np.testing.assert_allclose(encoder(folder, options).encode(faces(2)), want.numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("sizes", "size"),
    [
        ({"size": 40}, 40),
        ({"size": {"shortest_edge": 48}, "crop_size": {"height": 36, "width": 36}}, 36),
        ({"size": {"shortest_edge": 48}}, 48),
    ],
)
def test_the_size_is_the_preprocessor_s(sizes: dict[str, Any], size: int, tmp_path: Path) -> None:
    folder = checkpoints.face(tmp_path, "resnet")
    (folder / "preprocessor_config.json").write_text(json.dumps(sizes))
    assert encoder(folder).size == size


def test_other_networks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="a Wav2Vec2Model; expected a network of pictures"):
        encoder(checkpoints.voice(tmp_path / "voice"))
    with pytest.raises(CheckpointError, match=r"nowhere is no directory; expected one with config\.json"):
        encoder(tmp_path / "nowhere", source="timm")


def test_a_network_of_timm_is_read_from_its_directory(tmp_path: Path) -> None:
    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed")
    timm = import_timm()
    torch.manual_seed(0)
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}
    net = timm.create_model("vit_tiny_patch16_224", num_classes=3, **sizes).eval()
    timm.models.save_for_hf(net, tmp_path, model_args=sizes)
    e = encoder(tmp_path, source="timm")
    x = (faces(2).transpose(0, 3, 1, 2).astype(np.float32) / 255 - 0.5) / 0.5
    net.reset_classifier(0)
    with torch.inference_mode():
        want = net(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(e.encode(faces(2)), want, atol=1e-5)
    assert (e.size, e.dim) == (32, 24)
