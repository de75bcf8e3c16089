"""Faces: FER+ test as the shipped network reads it, beside mini-XCEPTION where its file is.

A face counts where most votes are for one of the eight emotions ("unknown" and "no face" are left out); where
two emotions tie, either is right. mini-XCEPTION (Arriaga et al., 2017) was made for the labels of FER2013,
has no contempt, and is measured on both sets of labels.

Shape suffixes: N faces, H and W pixels, K emotions of FER+, L labels of FER2013.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.checkpoint import read_meta
from models.encoders.face import LABELS, FaceNet
from models.perception.shipped.figures import OURS, Figure, Say, Target, milliseconds, seed_of
from models.train_face import OTHERS, Faces, accuracy, fer2013, logits_of, read

PART = "face"
RIGHT, OTHERS_RIGHT = Target(80.0), Target(67.0)
SECOND = f"{OURS}'s second head, which does not ship"
SIDE = 64  # pixels that mini-XCEPTION looks at
PROTOCOL = "test, majority among eight emotions"
TIMED = 100  # faces


def figures(data: Path, weights: Path, say: Say) -> Iterator[Figure]:
    """Every figure of the part; half a minute.

    Raises:
        ValueError, CheckpointError: data or weights are missing or damaged.
    """
    path = weights / "face.safetensors"
    net, seed = FaceNet.load(path), seed_of(path)
    say("FER+ test")
    test = read(data / "ferplus", "test")
    size = sum(p.numel() for p in net.parameters())
    ours = partial(Figure, part=PART, dataset="ferplus", model=OURS, parameters=size, seed=seed)
    right = 100 * accuracy(logits_of(net, test), test)
    yield ours(protocol=PROTOCOL, metric="accuracy", value=right, n=len(test), target=RIGHT)
    yield from _second_head(path, data, seed)
    spent = milliseconds(lambda i: net.embed(test.images_NHW[i : i + 1]), range(min(TIMED, len(test))))
    yield ours(protocol="one core", metric="ms a face", value=float(np.median(spent)), n=len(spent))
    model = mini_xception(data)
    if model is None:
        say(f"{data / 'weights' / 'mini_xception'}: no .onnx file there, so mini-XCEPTION is left out")
        return
    say("mini-XCEPTION")
    yield from _mini_xception(model, test, data)


def _second_head(path: Path, data: Path, seed: int | None) -> Iterator[Figure]:
    """What the head on FER2013's labels reached when the network was trained; it is not kept."""
    value = read_meta(path).get("metrics", {}).get("fer2013_accuracy")
    if value is not None:
        count = len(fer2013(data / "ferplus" / "ferplus_eval.npz")[1])
        yield Figure(
            part=PART,
            dataset="fer2013",
            protocol="test, FER2013's labels; measured when it was trained",
            model=SECOND,
            metric="accuracy",
            value=100 * value,
            n=count,
            target=OTHERS_RIGHT,
            seed=seed,
        )


def mini_xception(data: Path) -> Path | None:
    """Its file below ``data``, if it is there."""
    return next(iter(sorted((data / "weights" / "mini_xception").glob("*.onnx"))), None)


def _mini_xception(path: Path, test: Faces, data: Path) -> Iterator[Figure]:
    probs_NL = run_mini_xception(path, test.images_NHW)
    probs_NK = torch.zeros(len(test), len(LABELS))
    probs_NK[:, [LABELS.index(name) for name in OTHERS]] = probs_NL
    theirs = partial(Figure, part=PART, model="mini-XCEPTION", metric="accuracy")
    right = 100 * accuracy(probs_NK, test)
    yield theirs(dataset="ferplus", protocol=PROTOCOL, value=right, n=len(test))
    images_NHW, label_N = fer2013(data / "ferplus" / "ferplus_eval.npz")
    right = 100 * (run_mini_xception(path, images_NHW).argmax(1) == label_N).double().mean().item()
    yield theirs(dataset="fer2013", protocol="test, FER2013's labels", value=right, n=len(label_N))


def run_mini_xception(path: Path, images_NHW: Tensor) -> Tensor:
    """Probabilities ``[N, L]`` of grey images.

    Raises:
        ValueError: the file is no such network.
    """
    import onnxruntime  # type: ignore[import-untyped]

    try:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        big_N1HW = F.interpolate(images_NHW[:, None].float(), (SIDE, SIDE), mode="bilinear")
        parts = torch.split((big_N1HW / 255 - 0.5) * 2, 256)
        return torch.cat([torch.from_numpy(session.run(None, {name: p.numpy()})[0]) for p in parts])
    except Exception as error:  # onnxruntime's own have no common class
        raise ValueError(f"{path}: not the network mini-XCEPTION as ONNX ({error})") from error
