"""How right and how sure the shipped model is of RAVDESS' test actors, heard through the live graph.

Every clip is a conversation of its own, its longest utterance counts. The two sentences of RAVDESS say
nothing of the expression, and its pictures are not here: so there are the voice alone, and the voice with the
words.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from models.data import table
from models.data.speech import clips, sounds
from models.metrics import calibration_error_by_chance, scores
from models.perception.shipped.figures import OURS, Figure, Say, seed_of
from models.perception.shipped.fusion import CALIBRATED, PART
from models.synthetic_voices import EXPRESSIONS

from ..payloads import EstimateV1
from .clips import Clip, Graph

COMMON = {"calm": EXPRESSIONS["neutral"], **EXPRESSIONS}


def figures(data: Path, weights: Path, say: Say) -> Iterator[Figure]:
    """Accuracy and calibration error of each subset; about a minute.

    Raises:
        ValueError: the clips are missing. StreamerError: the weights are.
    """
    folder, graph = data / "ravdess", Graph(weights)
    held = [c for c in clips(folder) if c.split == "test"]
    rows = table.rows(folder / "manifest.csv", ("path", "text"), "a list of spoken clips")
    words = {row["path"]: row["text"] for row in rows}
    for name in ("voice", "text+voice"):
        say(f"RAVDESS through the live graph, {name}")
        probs, labels = [], []
        for clip, pcm in zip(held, sounds(folder, held), strict=True):
            found = graph.read(Clip(pcm, words=words[clip.path] if name == "text+voice" else ""))
            if found:
                most: EstimateV1 = max(found, key=lambda e: e.end - e.start)
                probs.append(list(most.emotion.probabilities.values()))
                labels.append(list(most.emotion.probabilities).index(COMMON[clip.emotion]))
        probs_NC = torch.tensor(probs)
        measured = scores(probs_NC, torch.tensor(labels))
        facts: dict[str, Any] = {"part": PART, "dataset": "ravdess", "model": OURS, "n": len(labels)}
        facts |= {"protocol": f"{name}, test actors, live graph", "context": "none"}
        facts["seed"] = seed_of(weights / "fusion.safetensors")
        yield Figure(metric="accuracy", value=measured["accuracy"], **facts)
        yield Figure(metric="ece", value=measured["ece"], target=CALIBRATED, **facts)
        chance = calibration_error_by_chance(probs_NC)
        yield Figure(metric="ece, by chance where it is 0", value=chance, **facts)
