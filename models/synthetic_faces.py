"""Faces for conversations that have none: SYNTHETIC pairs of a MELD utterance and FER+ faces.

MELD's pictures are not available here, so the face branch of the fusion learns from pairs that never
happened: an utterance of emotion e with faces that people called e. Noise in the pairing keeps a face
evidence instead of an oracle. Splits stay apart: train faces meet train utterances, valid dev, test test.
No figure measured on such pairs is a result on MELD.

Shape suffixes: N utterances, E embedding, H and W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.encoders.face import FaceNet
from models.meld import LABELS

VOTES = ("neutral", "joy", "surprise", "sadness", "anger", "disgust", "fear")  # the first seven of FER+
SPLITS = {"train": "train", "dev": "valid", "test": "test"}
SAME, NEUTRAL = 0.60, 0.25  # the rest of the utterances gets a face of any label
FACES = 3  # at most so many different faces are averaged; frames of one person are more alike than that


@dataclass(frozen=True, slots=True)
class Faces:
    """Embeddings by label index of `models.meld.LABELS`, each ``[n, E]``."""

    by_label: tuple[Tensor, ...]

    @property
    def dim(self) -> int:
        """E."""
        return self.by_label[0].shape[1]

    def draw(self, label: int, generator: torch.Generator) -> Tensor:
        """The mean embedding ``[E]`` of one to three faces that people gave ``label``."""
        rows = self.by_label[label]
        k = int(torch.randint(1, FACES + 1, (), generator=generator))
        return rows[torch.randint(len(rows), (k,), generator=generator)].mean(0)

    def pair(self, labels_N: Tensor, generator: torch.Generator, held: float = 0.0) -> Tensor:
        """A synthetic face ``[N, E]`` for each utterance, with noise in the pairing; any for one without a
        label. A share ``held`` of them keeps the expression of the one before."""
        out: list[Tensor] = []
        shown = -1
        for label in labels_N.tolist():
            if held and out and float(torch.rand((), generator=generator)) < held:
                out.append(self.draw(shown, generator))
                continue
            chance = float(torch.rand((), generator=generator))
            shown = label if chance < SAME else LABELS.index("neutral")
            if chance >= SAME + NEUTRAL or shown < 0:
                shown = int(torch.randint(len(LABELS), (), generator=generator))
            out.append(self.draw(shown, generator))
        return torch.stack(out)


def crops(data: Path, split: str) -> tuple[Tensor, Tensor]:
    """FER+ faces uint8 ``[N, H, W]`` and their label indices ``[N]`` by majority of votes.

    Pictures without a majority among our seven labels (contempt, unknown, no face, ties) are left out.

    Raises:
        ValueError: no such split, or the file is absent.
    """
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; there are {', '.join(SPLITS)}")
    path = data / "ferplus" / f"ferplus_{'train' if split == 'train' else 'eval'}.npz"
    if not path.is_file():
        raise ValueError(f"{path}: not found; --data must name the folder that holds ferplus/")
    with np.load(path) as file:
        images, votes = file[f"images_{SPLITS[split]}"], file[f"votes_{SPLITS[split]}"].astype(int)
    best = votes.argmax(1)
    clear = (best < len(VOTES)) & (2 * votes.max(1) > votes.sum(1))
    index = np.array([LABELS.index(v) for v in VOTES])
    return torch.from_numpy(images[clear]), torch.from_numpy(index[best[clear]])


def faces(data: Path, split: str, net: FaceNet) -> Faces:
    """The embeddings of FER+ ``split`` by ``net``.

    Raises:
        ValueError: no such split, or the file is absent.
    """
    images_NHW, labels_N = crops(data, split)
    rows_NE = torch.cat([net.embed(part)[0] for part in torch.split(images_NHW, 256)]).clone()
    return Faces(tuple(rows_NE[labels_N == i] for i in range(len(LABELS))))
