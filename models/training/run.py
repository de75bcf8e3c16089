"""One configuration with one seed, in this process, to one row: what sweeps and the study are made of."""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from models.conversation import ConversationModel
from models.data.corpus import Corpus
from models.training import rows
from models.training.config import RunConfig
from models.training.engine import Engine
from models.training.fit import Epoch, Fit, predict, scores_and_loss, scores_of
from models.training.rows import Row
from models.training.tensors import Scale, Split, Tensors, scales, tensors

STEPS = 60  # utterances whose step time is measured, after as many to warm up as fit in a tenth


@dataclass(frozen=True, slots=True)
class Prepared:
    """A corpus as one configuration reads it; made once, read by any number of runs."""

    corpus: Corpus
    scales: dict[str, Scale]
    tensors: Tensors
    digest: str
    notes: tuple[str, ...] = ()  # what the operator should know of it


def prepare(config: RunConfig, corpus: Corpus, digest: str = "") -> Prepared:
    """``corpus`` (its text features in place) as ``config.data`` reads it.

    ``digest`` names the data where features were computed, so that rows of two machines are one; by default
    it is made of every label and feature.

    Raises:
        TrainingError: the corpus lacks a modality, a measure or a split.
    """
    d = config.data
    scale = scales(corpus, d.modalities, d.measures)
    return Prepared(corpus, scale, tensors(corpus, d.modalities, scale), digest or data_digest(corpus))


def data_digest(corpus: Corpus, *more: str) -> str:
    """Ten characters that change with any conversation, label, word or feature of ``corpus``, or ``more``."""
    sha = hashlib.sha256("\0".join((corpus.name, *corpus.labels, *more)).encode())
    for split in sorted(corpus.splits):
        for c in corpus.splits[split]:
            sha.update("\0".join((split, c.id, *c.utterances, *c.speakers, *c.texts)).encode())
            sha.update(c.labels_N.tobytes())
            for name in sorted(c.features):
                sha.update(np.ascontiguousarray(c.features[name]).tobytes())
    return sha.hexdigest()[:10]


def key(config: RunConfig, seed: int, digest: str) -> str:
    """What makes two rows the same run: configuration, seed and data."""
    return hashlib.sha256(f"{config.digest()} {seed} {digest}".encode()).hexdigest()[:16]


def run(
    config: RunConfig,
    data: Corpus | Prepared,
    seed: int,
    *,
    engine: Engine | None = None,
    command: str = "",
    watch: Callable[[Epoch], None] | None = None,
) -> Row:
    """Train and measure; nothing is written, torch's generator is left as it was. ``watch`` sees each epoch.

    Raises:
        TrainingError: data that the configuration cannot use; a host, fusion or option that does not exist.
    """
    data = data if isinstance(data, Prepared) else prepare(config, data)
    with torch.random.fork_rng(devices=[]):
        fit, began = Fit(config, data.tensors, seed, engine), time.monotonic()
        for epoch in fit.epochs():
            if watch:
                watch(epoch)
        return finish(config, data, seed, fit, seconds=time.monotonic() - began, command=command)


def finish(
    config: RunConfig, data: Prepared, seed: int, fit: Fit, *, seconds: float, command: str = ""
) -> Row:
    """The row of a finished fit: the state that was best on dev, measured on the CPU."""
    model = fit.model.cpu()
    model.load_state_dict(fit.best)
    m, p = config.model, fit.progress
    facts = {
        "dataset": data.corpus.name,
        "model": m.host,
        "fusion": m.fusion,
        "placement": m.placement,
        "context": f"past {m.window}" if m.context == "past" else "full",
        "protocol": protocol(config),
        "text": config.data.text if "text" in config.data.modalities else "",
        "modalities": list(config.data.modalities),
        "options": {**m.fusion_options, **m.host_options},
        "config": config.model_dump(mode="json", exclude={"seed"}, exclude_defaults=True),
        "seed": seed,
        "parameters": count(model),
        "fusion_parameters": count(model.fusion),
        "step_ms": step_ms(model, data.tensors.splits.get("test", data.tensors.splits["dev"])),
        "epochs": p.epoch,
        "best_epoch": p.best_epoch,
        "seconds": round(seconds, 2),
        "commit": rows.commit(),
        "data": data.digest,
        "key": key(config, seed, data.digest),
        "command": command,
    }
    return {**facts, **measure(model, data.tensors)}


def protocol(config: RunConfig) -> str:
    """What the words of train and dev are; test is measured with gold words, and see ``word_errors``."""
    rate = config.data.train_word_errors
    return f"train and dev with {rate:.0%} word errors" if rate else "gold words"


def measure(model: ConversationModel, data: Tensors) -> dict[str, Any]:
    """Scores of dev and test, of test without each modality and with word errors, and its predictions."""
    out: dict[str, Any] = {"dev": rows.rounded(scores_of(model, data.splits["dev"]))}
    test = data.splits.get("test")
    if test is None or not test.labelled:
        return out
    label_U, logits_UC = test.label_U[:-1], predict(model, test)
    known = label_U >= 0
    guess_U = logits_UC.argmax(1).numpy()
    counts = rows.tally(guess_U, label_U.numpy(), test.length_B.numpy(), data.classes)
    out["test"] = rows.rounded(scores_and_loss(logits_UC[known], label_U[known]))
    out["classes"] = data.classes
    out["predictions"], out["tally"] = rows.pack(guess_U), rows.pack(counts)
    there = model.config.modalities
    if len(there) > 1:
        out["without"] = {m: rows.rounded(scores_of(model, test.without(m))) for m in there}
    noisy = {name.partition("@")[2]: s for name, s in data.splits.items() if name.startswith("test@")}
    if noisy:
        out["word_errors"] = {rate: rows.rounded(scores_of(model, s)) for rate, s in noisy.items()}
    return out


def count(module: torch.nn.Module) -> int:
    """Trained numbers."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


@torch.inference_mode()
def step_ms(model: ConversationModel, split: Split) -> float | None:
    """Median milliseconds of one `step` of one conversation on this CPU; None where it cannot be stepped."""
    model.eval()
    try:
        state = model.init_state(1)
    except ValueError:
        return None
    dialogue, _ = split.batch(split.length_B.argmax().view(1))
    times: list[float] = []
    n = dialogue.valid_BN.shape[1]
    for i in range(STEPS):
        turn = dialogue.turn(i % n)
        began = time.perf_counter()
        _, state = model.step(turn, state)
        times.append(1000 * (time.perf_counter() - began))
    return round(statistics.median(times[STEPS // 10 :]), 3)
