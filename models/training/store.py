"""A trained conversation model in one file: weights, and in its header all that they mean.

`models.checkpoint` with the kind ``conversation-model``: how to build it, its labels, how inputs are scaled,
the whole configuration, seed, commit, the digest of the data, scores of dev and test, and the temperature
that makes its probabilities mean what they say (fitted on dev).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from models import checkpoint
from models.calibration import fit_temperature
from models.checkpoint import CheckpointError
from models.conversation import Config, ConversationModel
from models.encoders.hub import spec
from models.span import Span
from models.training.config import RunConfig, TrainingError, parse
from models.training.fit import predict
from models.training.rows import Row
from models.training.run import Prepared
from models.training.tensors import Scale
from models.whole import whole

KIND = "conversation-model"


@dataclass(frozen=True, slots=True)
class Trained:
    """A model in eval mode with what its file says of it."""

    model: ConversationModel
    config: RunConfig
    scales: dict[str, Scale]
    labels: tuple[str, ...]
    temperature: float
    meta: dict[str, Any]


def save(path: Path, model: ConversationModel, config: RunConfig, data: Prepared, row: Row) -> None:
    """Write ``model``, the state that was chosen on dev, with the facts of its ``row``."""
    c, corpus, dev = model.config, data.corpus, data.tensors.splits["dev"]
    label_U = dev.label_U[:-1]
    logits_UC = predict(model, dev)
    facts: dict[str, Any] = {
        "kind": KIND,
        "name": f"{corpus.name}-{c.host}-{c.fusion}",
        "config": {**asdict(c), "sizes": dict(c.sizes)},
        "run": config.model_dump(mode="json", exclude_defaults=True),
        "labels": list(corpus.labels),
        "scales": {name: asdict(scale) for name, scale in data.scales.items()},
        "temperature": fit_temperature(logits_UC[label_U >= 0], label_U[label_U >= 0]),
        "seed": row["seed"],
        "commit": row["commit"],
        "metrics": {s: row[s] for s in ("dev", "test") if s in row},
        "data": [f"{corpus.name} train"],
        "data_digest": data.digest,
        "data_licences": {corpus.name: corpus.licence},
        "commercial_use": corpus.commercial_use,
    }
    if spec.is_named(config.data.text):
        facts["data_licences"][config.data.text] = "that of its publisher"
        facts["commercial_use"] = "no" if corpus.commercial_use == "no" else "unclear"
    with whole(path) as part:
        checkpoint.save(part, model.state_dict(), facts)


def load(path: Path) -> Trained:
    """The model in ``path``.

    Raises:
        CheckpointError: the file is missing, damaged, of another kind, or does not fit this version.
    """
    stored = checkpoint.load(path, KIND)
    meta = stored.meta
    try:
        table = dict(stored.config)
        config = Config(**{**table, "span": Span(**table["span"])})
        model = ConversationModel(config)
        model.load_state_dict(stored.tensors)
        scales = {
            name: Scale(tuple(s["mean_D"]), tuple(s["std_D"]), tuple(s["measures"]))
            for name, s in meta["scales"].items()
        }
        run, temperature = parse(meta["run"], str(path)), float(meta["temperature"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: does not fit this version ({error}); train it again") from error
    return Trained(model.eval(), run, scales, tuple(meta["labels"]), temperature, meta)


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Whole or not at all: a kill must not leave half a state."""
    with whole(path) as part:
        torch.save(state, part)


def load_state(path: Path) -> dict[str, Any]:
    """What `save_state` wrote.

    Raises:
        TrainingError: it cannot be read.
    """
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # pickle, zip and torch each raise their own
        raise TrainingError(f"{path}: not the state of a run ({error}); remove it to start again") from error
    return state
