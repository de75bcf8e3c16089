"""What voice and context add: fusions trained from nothing on the same frozen features, for comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from models.calibration import fit_temperature
from models.fusion_data import Bank, without_context
from models.fusion_measures import predict
from models.hosts.gru import Config, GruLmam
from models.metrics import scores
from models.train_fusion import FusionTrainer, Recipe, calibrate_noise
from models.train_meld import Setup


def control(
    make: Callable[[], GruLmam],
    data: dict[str, Bank],
    start: GruLmam,
    *,
    text_only: bool,
    recipe: Recipe,
    seed: int,
) -> dict[str, dict[str, float]]:
    """A fusion trained from nothing on frozen features; scores on dev and test, gold and noisy.

    The noise of the features is set with ``start``, the fusion that the encoder was tuned with.
    """
    noise = calibrate_noise(start, data["train"], data["dev"])
    torch.manual_seed(seed)
    net = make()
    options: dict[str, Any] = {"dropout": False, "text_only": text_only}
    plain_recipe = replace(recipe, noisy_text=0.1, one_speaker=0.0)
    trainer = FusionTrainer(net, data["train"], recipe=plain_recipe, noise=noise, seed=seed, **options)
    masks = (True, not text_only, False)
    best, state = -1.0, net.state_dict()
    for _ in trainer.run():
        f1 = scores(*predict(net, data["dev"], masks))["weighted_f1"]
        if f1 > best:
            best, state = f1, {k: v.clone() for k, v in net.state_dict().items()}
    net.load_state_dict(state)
    temperature = fit_temperature(*predict(net, data["dev"], masks))

    def measure(split: str, noisy_text: bool = False) -> dict[str, float]:
        logits, labels = predict(net, data[split], masks, noisy_text=noisy_text)
        return scores(torch.softmax(logits / temperature, -1), labels)

    return {"dev": measure("dev"), "test": measure("test"), "test_noisy": measure("test", noisy_text=True)}


def controls(
    setup: Setup, data: dict[str, Bank], start: GruLmam, *, names: Sequence[str], recipe: Recipe, seed: int
) -> Iterator[tuple[str, dict[str, dict[str, float]]]]:
    """Name and scores of each of ``names`` (text+voice, text-only, no-context) on these features."""

    def make() -> GruLmam:
        return GruLmam(Config(**setup.net, audio=len(setup.measures)))

    for name in names:
        alone = name == "no-context"
        used = {s: without_context(b) for s, b in data.items()} if alone else data
        size = recipe.dialogues * (10 if alone else 1)  # as many utterances in a batch
        own = replace(recipe, dialogues=size)
        yield name, control(make, used, start, text_only=name == "text-only", recipe=own, seed=seed)
