"""Valence and arousal: EmoBank's test sentences as the shipped encoder and head read them, beside tf-idf with
ridge regression and VADER's lexicon.

Every sentence by itself; as written, then as a recogniser writes it that gets 30 % of the words wrong.

Shape suffixes: N sentences, D text features, K labels, A measures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.asr_noise import WordErrors
from models.data.features import encoded
from models.data.sentences import Sentences
from models.encoders.affect import MEASURES, load_affect
from models.encoders.text import TextEncoder
from models.evaluate import own_fusion
from models.perception.affect import (
    ALONE,
    MISHEARD,
    Read,
    Scores,
    correlations,
    label_probabilities,
    mean,
    misheard,
    outputs,
    sentences,
)
from models.perception.shipped.figures import OURS, Figure, Say, Target, seed_of
from models.perception.shipped.tfidf import vectors as tfidf_vectors
from models.tasks.lexicon import Lexicon

PART = "affect"
MAP, RIDGE, VADER = f"{OURS}, map of the labels", "tf-idf + ridge regression", "VADER's lexicon"
TARGETS = {"valence": Target(0.70), "arousal": Target(0.45)}
ALPHAS = (1.0, 3.0, 10.0)  # of the ridge regression, chosen on dev
Texts = Mapping[str, Sequence[str]]  # of test, by condition


def figures(data: Path, weights: Path, say: Say) -> Iterator[Figure]:
    """Every figure of the part; under a minute.

    Raises:
        ValueError, CheckpointError: data or weights are missing, damaged or do not belong together.
    """
    path = weights / "affect.safetensors"
    affect, fusion = load_affect(path), own_fusion(weights)
    of, seed = sentences(data), seed_of(path)
    texts = conditions(of)
    say("EmoBank test, twice")
    test = _read(TextEncoder.load(weights / "text.safetensors"), of, texts)
    make = partial(Figure, part=PART, dataset="emobank", n=len(test))
    ours = partial(make, model=OURS, parameters=sum(map(torch.numel, affect.net.parameters())))
    for condition in texts:
        for measure, r in correlations(outputs(affect.net, test, condition), test.target_NA).items():
            target = TARGETS[measure] if condition == ALONE else None
            yield ours(protocol=condition, metric=f"{measure}_r", value=r, target=target, seed=seed)
    said_NA = affect.net.of_labels(label_probabilities(fusion, test.text[ALONE]))
    for measure, r in correlations(said_NA, test.target_NA).items():
        yield make(model=MAP, protocol=ALONE, metric=f"{measure}_r", value=r)
    say(RIDGE)
    for condition, found in ridge(of, texts).items():
        for measure, r in found.items():
            yield make(model=RIDGE, protocol=condition, metric=f"{measure}_r", value=r)
    lexicon = Lexicon.read(data / "lexicons" / "vader_lexicon.txt.gz")
    for condition, written in texts.items():
        compound_N = [lexicon.compound(text) for text in written]
        r = float(np.corrcoef(compound_N, test.target_NA[:, 0].numpy())[0, 1])
        yield make(model=VADER, protocol=condition, metric="valence_r", value=r)


def conditions(of: Sentences) -> Texts:
    """The test sentences as written, and with word errors."""
    test = of.splits["test"]
    return {ALONE: test.texts, MISHEARD: misheard(test, "test", WordErrors(of.splits["train"].texts))}


def _read(encoder: TextEncoder, of: Sentences, texts: Texts) -> Read:
    text = {
        condition: torch.from_numpy(encoded(encoder, [[(text, 0)] for text in written], None))
        for condition, written in texts.items()
    }
    return Read(text, _targets(of, "test"))


def _targets(of: Sentences, split: str) -> Tensor:
    return torch.from_numpy(of.splits[split].targets_NK[:, : len(MEASURES)])


def ridge(of: Sentences, texts: Texts) -> dict[str, Scores]:
    """Scores of ridge regression on words and pairs of words under each condition of ``texts``.

    Raises:
        ValueError: scikit-learn is not installed.
    """
    vectors = tfidf_vectors()
    from sklearn.linear_model import Ridge  # type: ignore[import-untyped]

    train = vectors.fit_transform(of.splits["train"].texts)

    def measured(machine: Ridge, written: Sequence[str], split: str) -> Scores:
        out_NA = torch.from_numpy(machine.predict(vectors.transform(written)))
        return correlations(out_NA, _targets(of, split).double())

    machines = [Ridge(alpha).fit(train, _targets(of, "train").numpy()) for alpha in ALPHAS]
    chosen = max(machines, key=lambda m: mean(measured(m, of.splits["dev"].texts, "dev")))
    return {condition: measured(chosen, written, "test") for condition, written in texts.items()}
