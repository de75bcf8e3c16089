"""Measure the weights that ship: ``python -m models.evaluate --data ../shared/data``.

MELD test, past context only, anonymous speakers: gold words and words as the embedded recogniser gives them,
and each subset of the modalities. Rows with a face: SYNTHETIC pairs with FER+ test faces, not MELD; rows with
a synthetic voice: SYNTHETIC pairs with acted clips of RAVDESS and EmoDB, not MELD.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from models import command
from models.calibration import probabilities
from models.checkpoint import WEIGHTS, digest, read_meta
from models.encoders.face import FaceNet
from models.encoders.text import TextEncoder
from models.encoders.voice import VoiceNet
from models.fusion_data import Bank, bank, pairs, spoken
from models.fusion_measures import predict, subsets
from models.fusion_weights import Fusion, load_fusion
from models.metrics import selective
from models.synthetic_faces import faces
from models.synthetic_voices import voices
from models.train_meld import NOISY, Corpus, noisy
from models.train_voice import CACHE

log = logging.getLogger("models.evaluate")
THRESHOLDS = (0.0, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8)  # of confidence, below which one may abstain
MEASURES = ("weighted_f1", "macro_f1", "accuracy", "ece")


@dataclass(frozen=True, slots=True)
class Shipped:
    """The fusion of a folder, and a split of MELD as its encoders read it with synthetic faces.

    ``voiced``: the split with synthetic voices, for a fusion that reads what the voice network says.
    """

    fusion: Fusion
    bank: Bank
    faces: list[Tensor]
    voiced: Bank | None = None


def own_fusion(weights: Path) -> Fusion:
    """The fusion in ``weights``, which was trained with the encoders beside it.

    Raises:
        ValueError: it was trained with others.
        CheckpointError: a weight file is missing or damaged.
    """
    fusion = load_fusion(weights / "fusion.safetensors")
    voice = fusion.net.config.voice
    for name in ("text", "face", *(("voice",) if voice else ())):
        path = weights / f"{name}.safetensors"
        read_meta(path)
        if fusion.meta["encoders"][name] != digest(path):
            raise ValueError(
                f"{path}: not the encoder that the fusion was trained with; train the fusion again"
            )
    return fusion


def shipped(data: Path, weights: Path, split: str, cache: Path = CACHE) -> Shipped:
    """Read what is in ``weights`` and encode ``split`` (dev or test) of MELD in ``data``; about a minute, and
    the first time three more to hear the clips of synthetic voices, which ``cache`` keeps.

    Raises:
        ValueError: the data is absent, or the fusion was trained with other encoders than those beside it.
        CheckpointError: a weight file is missing or damaged.
    """
    fusion = own_fusion(weights)
    encoder = TextEncoder.load(weights / "text.safetensors")
    corpus = Corpus.read(data, fusion.audio_measures)
    examples = corpus.test if split == "test" else corpus.dev
    of = bank(encoder, examples, noisy(examples, corpus.errors, NOISY))
    seen = pairs(of, faces(data, split, FaceNet.load(weights / "face.safetensors")), seed=0)
    if not fusion.net.config.voice:
        return Shipped(fusion, of, seen)
    net = VoiceNet.load(weights / "voice.safetensors")
    heard = voices(data, net, fusion.prior, cache, log.info, splits=(split,))
    return Shipped(fusion, of, seen, spoken(of, heard[split], seed=0))


def evaluate(data: Path, weights: Path = WEIGHTS, split: str = "test") -> dict[str, Any]:
    """`models.metrics.scores` of the files in ``weights`` for every subset of the modalities (``subsets``),
    and `models.metrics.selective` of words and voice at `THRESHOLDS` (``abstaining``), gold and noisy.

    Raises:
        ValueError, CheckpointError: as `shipped`.
    """
    s = shipped(data, weights, split)
    found = subsets(s.fusion.net, s.bank, s.faces, s.fusion.temperatures, s.voiced)
    return {
        "subsets": found,
        "abstaining": {kind: abstaining(s, kind == "noisy") for kind in ("gold", "noisy")},
    }


def abstaining(s: Shipped, noisy_text: bool) -> dict[str, dict[str, float]]:
    """Coverage and accuracy of words and voice by threshold of confidence."""
    logits_NC, labels_N = predict(s.fusion.net, s.bank, noisy_text=noisy_text)
    both = s.fusion.temperatures.at(torch.tensor((True, True, False)))
    probs_NC = probabilities(logits_NC, both)
    return {f"{t:.2f}": selective(probs_NC, labels_N, t) for t in THRESHOLDS}


def table(figures: dict[str, Any], split: str) -> Table:
    """``figures`` for the terminal."""
    out = Table(
        "modalities",
        *MEASURES,
        title=f"MELD {split}, shipped weights; rows with a face or a synthetic voice: synthetic pairs",
    )
    for name, row in figures.items():
        out.add_row(name, *(f"{row[m]:.3f}" if m == "ece" else f"{row[m]:.1f}" for m in MEASURES))
    return out


def abstentions(figures: dict[str, Any], split: str) -> Table:
    """What abstaining keeps, for the terminal."""
    out = Table(
        "abstain below",
        *(f"{kind}: {m}" for kind in figures for m in ("coverage", "accuracy")),
        title=f"MELD {split}, words and voice, in percent",
    )
    for t in next(iter(figures.values())):
        out.add_row(t, *(f"{row[t][m]:.1f}" for row in figures.values() for m in ("coverage", "accuracy")))
    return out


def main(argv: list[str] | None = None) -> int:
    """Print the table; its exit code is that of `models.command.run`."""
    parser = argparse.ArgumentParser(prog="python -m models.evaluate", description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="the folder that holds meld/, ferplus/, ravdess/, ..."
    )
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
    console.print(table(figures["subsets"], args.split))
    console.print(abstentions(figures["abstaining"], args.split))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
