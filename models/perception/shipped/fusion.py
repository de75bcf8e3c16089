"""The shipped model: every subset of the modalities on MELD test, how sure it is of itself, and its step.

Rows with a face are SYNTHETIC pairs with FER+ test faces (`models.synthetic_faces`), rows with a synthetic
voice pairs with clips of RAVDESS and EmoDB (`models.synthetic_voices`): neither is a result on MELD.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.dialogue import Turn
from models.evaluate import shipped
from models.fusion_measures import subsets
from models.fusion_weights import Fusion
from models.perception.shipped.figures import OURS, Figure, Say, Target, milliseconds, seed_of

PART = "fusion"
CALIBRATED, STEP = Target(0.05, at_most=True), Target(1.0, at_most=True)
STEPS = 200


def figures(data: Path, weights: Path, say: Say) -> Iterator[Figure]:
    """Every figure of the part; a minute and a half.

    Raises:
        ValueError, CheckpointError: data or weights are missing, damaged or do not belong together.
    """
    say("MELD test with every subset of the modalities")
    s = shipped(data, weights, "test")
    size = sum(p.numel() for p in s.fusion.net.parameters())
    facts: dict[str, Any] = {
        "part": PART,
        "parameters": size,
        "seed": seed_of(weights / "fusion.safetensors"),
    }
    count = sum(len(e.texts) for e in s.bank.examples)
    for name, found in subsets(s.fusion.net, s.bank, s.faces, s.fusion.temperatures, s.voiced).items():
        synthetic = "synthetic" in name
        invented = [
            more
            for part, more in (("face", "ferplus"), ("synthetic voice", "ravdess + emodb"))
            if part in name
        ]
        where: dict[str, Any] = {
            "dataset": " + ".join(["meld", *(invented or ["ferplus"] * synthetic)]),
            "model": OURS,
            "protocol": name,
            "context": "past only",
            "n": count,
        }
        yield Figure(metric="weighted_f1", value=found["weighted_f1"], **where, **facts)
        # Misheard words and invented pairs are no promise of the confidence; MELD test is.
        goal = None if synthetic or "noisy" in name else CALIBRATED
        yield Figure(metric="ece", value=found["ece"], target=goal, **where, **facts)
    say("cost of a step")
    where = {"dataset": "none", "model": OURS, "protocol": "one core, full window", "n": STEPS}
    value = float(np.median(steps(s.fusion)))
    yield Figure(metric="ms a step", value=value, target=STEP, **where, **facts)


@torch.inference_mode()
def steps(fusion: Fusion) -> list[float]:
    """Milliseconds of each of `STEPS` steps with all modalities, in a conversation that fills the window."""
    config = fusion.net.config
    generator = torch.Generator().manual_seed(0)

    def turn(i: int) -> Turn:
        return Turn(
            text_BT=torch.randn(1, config.text, generator=generator),
            audio_BA=torch.randn(1, config.heard, generator=generator),
            visual_BV=torch.randn(1, config.visual, generator=generator),
            present_BM=torch.ones(1, 3, dtype=torch.bool),
            speaker_B=torch.tensor([i % 2]),
        )

    state = fusion.net.init_state(1)

    def step(given: Turn) -> None:
        nonlocal state
        _, state = fusion.net.step(given, state)

    turns = [turn(i) for i in range(STEPS + config.window)]
    return milliseconds(step, turns, warm_up=config.window)
