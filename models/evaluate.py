"""Measure the weights that ship: ``python -m models.evaluate --data ../shared/data``.

MELD test, past context only, anonymous speakers: gold words and words as the embedded recogniser gives them,
and each subset of the modalities. Rows with a face: SYNTHETIC pairs with FER+ test faces, not MELD.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from models import command
from models.checkpoint import WEIGHTS, digest, read_meta
from models.encoders.face import FaceNet
from models.encoders.text import TextEncoder
from models.fusion_weights import Fusion, load_fusion
from models.synthetic_faces import faces
from models.train_fusion import Bank, bank, pairs, subsets
from models.train_meld import NOISY, Corpus, noisy

MEASURES = ("weighted_f1", "macro_f1", "accuracy", "ece")


@dataclass(frozen=True, slots=True)
class Shipped:
    """The fusion of a folder, and a split of MELD as its encoders read it with synthetic faces."""

    fusion: Fusion
    bank: Bank
    faces: list[Tensor]


def shipped(data: Path, weights: Path, split: str) -> Shipped:
    """Read what is in ``weights`` and encode ``split`` (dev or test) of MELD in ``data``; about a minute.

    Raises:
        ValueError: the data is absent, or the fusion was trained with other encoders than those beside it.
        CheckpointError: a weight file is missing or damaged.
    """
    fusion = load_fusion(weights / "fusion.safetensors")
    for name, path in (("text", weights / "text.safetensors"), ("face", weights / "face.safetensors")):
        read_meta(path)
        if fusion.meta["encoders"][name] != digest(path):
            raise ValueError(
                f"{path}: not the encoder that the fusion was trained with; train the fusion again"
            )
    encoder = TextEncoder.load(weights / "text.safetensors")
    corpus = Corpus.read(data, fusion.audio_measures)
    examples = corpus.test if split == "test" else corpus.dev
    of = bank(encoder, examples, noisy(examples, corpus.errors, NOISY))
    seen = pairs(of, faces(data, split, FaceNet.load(weights / "face.safetensors")), seed=0)
    return Shipped(fusion, of, seen)


def evaluate(data: Path, weights: Path = WEIGHTS, split: str = "test") -> dict[str, Any]:
    """`models.metrics.scores` of the files in ``weights`` for every subset of the modalities.

    Raises:
        ValueError, CheckpointError: as `shipped`.
    """
    s = shipped(data, weights, split)
    return subsets(s.fusion.net, s.bank, s.faces, s.fusion.temperatures)


def table(figures: dict[str, Any], split: str) -> Table:
    """``figures`` for the terminal."""
    out = Table(
        "modalities", *MEASURES, title=f"MELD {split}, shipped weights; rows with a face: synthetic pairs"
    )
    for name, row in figures.items():
        out.add_row(name, *(f"{row[m]:.3f}" if m == "ece" else f"{row[m]:.1f}" for m in MEASURES))
    return out


def main(argv: list[str] | None = None) -> int:
    """Print the table; its exit code is that of `models.command.run`."""
    parser = argparse.ArgumentParser(prog="python -m models.evaluate", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds meld/ and ferplus/")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="the folder of the weight files")
    parser.add_argument("--split", choices=("dev", "test"), default="test")
    parser.add_argument("--threads", type=int, default=2, help="of torch (default: 2)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    return command.run(lambda: _evaluate(args))


def _evaluate(args: argparse.Namespace) -> None:
    console = Console()
    with console.status("encoding MELD, about a minute"):
        figures = evaluate(args.data, args.weights, args.split)
    console.print(table(figures, args.split))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
