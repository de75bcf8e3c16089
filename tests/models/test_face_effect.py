"""The weights that ship: a face moves the estimate to what people saw in it.

On FER+ test faces, which no training saw. Words are MELD test's; the pairs are synthetic.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models import meld
from models.calibration import probabilities
from models.checkpoint import WEIGHTS, digest
from models.dialogue import Turn
from models.encoders.face import FaceNet
from models.encoders.text import TextEncoder
from models.fusion_weights import Fusion, load_fusion
from models.synthetic_faces import crops
from tests.data import shared_data

COUNT = 60
SHOWN = ("joy", "anger", "neutral")


@pytest.fixture(scope="module")
def fusion() -> Fusion:
    return load_fusion()


@pytest.fixture(scope="module")
def words() -> Tensor:
    """The first utterances of MELD test conversations."""
    first = [c.texts[0] for c in meld.load(shared_data(), "test")[:COUNT]]
    return TextEncoder.load().encode(first, [0] * COUNT)


@pytest.fixture(scope="module")
def faces() -> dict[str, Tensor]:
    """Embeddings of the first FER+ test faces that most people gave each label."""
    images_NHW, labels_N = crops(shared_data(), "test")
    net = FaceNet.load()
    chosen = {name: images_NHW[labels_N == meld.LABELS.index(name)][:COUNT] for name in SHOWN}
    return {name: net.embed(crop_NHW)[0] for name, crop_NHW in chosen.items()}


@torch.inference_mode()
def mean_probability(
    fusion: Fusion, label: str, text_BT: Tensor, face_BV: Tensor, present: tuple[bool, bool, bool]
) -> float:
    """Mean probability of ``label`` for first utterances with the modalities ``present``."""
    n = len(text_BT)
    audio_BA = torch.full((n, fusion.net.config.heard), float("nan"))
    present_BM = torch.tensor(present).repeat(n, 1)
    turn = Turn(text_BT, audio_BA, face_BV, present_BM, torch.zeros(n, dtype=torch.long))
    logits_BC, _ = fusion.net.step(turn, fusion.net.init_state(n))
    return float(
        probabilities(logits_BC, fusion.temperatures.at(present_BM))[:, fusion.labels.index(label)].mean()
    )


@pytest.mark.parametrize("label", SHOWN)
def test_a_face_raises_its_label_over_words_alone(
    fusion: Fusion, words: Tensor, faces: dict[str, Tensor], label: str
) -> None:
    """The mean probability of joy, anger or neutral rises when a face that shows it joins the words."""
    without = mean_probability(fusion, label, words, faces[label], (True, False, False))
    assert mean_probability(fusion, label, words, faces[label], (True, False, True)) > without + 0.02


@pytest.mark.parametrize("label", SHOWN)
def test_a_face_alone_is_read(fusion: Fusion, words: Tensor, faces: dict[str, Tensor], label: str) -> None:
    """Without words and voice, a face of a label has it likelier than faces of the other labels have."""
    own = mean_probability(fusion, label, words, faces[label], (False, False, True))
    for other in set(SHOWN) - {label}:
        assert own > mean_probability(fusion, label, words, faces[other], (False, False, True)) + 0.1


def test_the_files_belong_together(fusion: Fusion) -> None:
    """The fusion names the encoders it was trained with, and those are the ones beside it."""
    for name in ("text", "face"):
        assert fusion.meta["encoders"][name] == digest(WEIGHTS / f"{name}.safetensors")


def test_the_header_says_what_the_weights_are(fusion: Fusion) -> None:
    """Data, licences, no commercial use, figures, name and version are in the file."""
    assert fusion.meta["commercial_use"] == "no"
    assert {"MELD labels", "FER+ labels"} <= set(fusion.meta["data_licences"])
    assert fusion.meta["metrics"]["text+voice"]["weighted_f1"] > 55
    assert fusion.labels == meld.LABELS
