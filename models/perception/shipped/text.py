"""Words: MELD test as the shipped pair of text encoder and fusion reads it, beside tf-idf and a lexicon.

Past context only, anonymous speakers. The words are those of MELD, then lower-cased and without punctuation,
then with 15 and 30 % of them wrong too, as a small recogniser would have them, and with as many wrong but
capitals and punctuation kept, as a large one would (`models.asr_noise`).

Shape suffixes: N utterances, C labels, P polarities.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.batches import Example
from models.calibration import probabilities
from models.data.meld import dialogues
from models.encoders.text import TextEncoder
from models.evaluate import own_fusion
from models.fusion_data import Bank, bank
from models.fusion_measures import predict
from models.fusion_weights import Fusion
from models.meld import LABELS
from models.metrics import scores
from models.perception.shipped.figures import (
    OURS,
    Figure,
    Say,
    Target,
    median_and_p95,
    milliseconds,
    seed_of,
)
from models.perception.shipped.tfidf import vectors as tfidf_vectors
from models.tasks.lexicon import Lexicon
from models.train_meld import Corpus, noisy

PART = "text"
BOTH, TFIDF, VADER = f"{OURS}, words and voice", "tf-idf + logistic regression", "VADER's lexicon"
GOLD, PLAIN = "gold words", "lower case, no punctuation"
RATES = {PLAIN: 0.0, "15 % word errors": 0.15, "30 % word errors": 0.30}  # plain, too
PUNCTUATED = {f"{name}, punctuation kept": rate for name, rate in RATES.items() if rate}
LOST_AT = "15 % word errors", "15 % word errors, punctuation kept"
F1, LOST, COST = Target(62.5), Target(4.0, at_most=True), Target(8.0, at_most=True)
POLARITIES = ("negative", "neutral", "positive")
SURE = 0.05  # of VADER's compound score, from which on its authors call a text positive or negative
TIMED = 200  # utterances
MEASURES = ("weighted_f1", "accuracy")


@dataclass(frozen=True, slots=True)
class Read:
    """MELD and what the shipped pair makes of test: the corpus, test by condition and its features."""

    corpus: Corpus
    tests: dict[str, list[Example]]
    banks: dict[str, Bank]


def figures(data: Path, weights: Path, say: Say) -> Iterator[Figure]:
    """Every figure of the part; about three minutes.

    Raises:
        ValueError, CheckpointError: data or weights are missing, damaged or do not belong together.
    """
    fusion, encoder = own_fusion(weights), TextEncoder.load(weights / "text.safetensors")
    seed = seed_of(weights / "text.safetensors")
    say("MELD test, six times")
    read = _read(data, fusion, encoder)
    size = sum(p.numel() for p in encoder.net.parameters())
    count = sum(len(e.texts) for e in read.corpus.test)
    ours = partial(
        Figure, part=PART, dataset="meld", context="past only", n=count, parameters=size, seed=seed
    )
    theirs = partial(Figure, part=PART, dataset="meld", context="none", n=count)
    both = {c: _scores(fusion, of, voice=True)["weighted_f1"] for c, of in read.banks.items()}
    for condition, of in read.banks.items():
        yield ours(
            model=BOTH,
            protocol=condition,
            metric="weighted_f1",
            value=both[condition],
            target=F1 if condition == GOLD else None,
        )
        alone = _scores(fusion, of, voice=False)["weighted_f1"]
        yield ours(model=f"{OURS}, words", protocol=condition, metric="weighted_f1", value=alone)
    for condition in LOST_AT:
        lost = both[GOLD] - both[condition]
        yield ours(
            model=BOTH, protocol=condition, metric="weighted_f1 lost against gold", value=lost, target=LOST
        )
    say("tf-idf and logistic regression")
    for condition, found in tfidf(read.corpus, read.tests).items():
        yield theirs(model=TFIDF, protocol=condition, metric="weighted_f1", value=found["weighted_f1"])
    say("polarity")
    for model, make, found in zip((BOTH, VADER), (ours, theirs), polarities(data, fusion, read), strict=True):
        for measure in MEASURES:
            yield make(model=model, protocol="polarity, 3 classes", metric=measure, value=found[measure])
    say("cost of the words")
    spent = _cost(encoder, read.corpus.test)
    half, most = median_and_p95(spent)
    cost = partial(ours, model=OURS, protocol="one core", n=len(spent), context="")
    yield cost(metric="ms an utterance", value=half, target=COST)
    yield cost(metric="ms an utterance, p95", value=most)


def _read(data: Path, fusion: Fusion, encoder: TextEncoder) -> Read:
    corpus = Corpus.read(data, fusion.audio_measures)
    test = corpus.test
    tests = {GOLD: test, **{name: noisy(test, corpus.errors, rate) for name, rate in RATES.items()}}
    tests |= {n: noisy(test, corpus.errors, rate, punctuated=True) for n, rate in PUNCTUATED.items()}
    banks = {}
    names = list(tests)
    for first, second in zip(names[::2], names[1::2], strict=True):
        two = bank(encoder, tests[first], tests[second])
        banks[first] = two
        banks[second] = Bank(two.examples, two.noisy, two.noisy)
    return Read(corpus, tests, banks)


def _probabilities(fusion: Fusion, of: Bank, *, voice: bool) -> tuple[Tensor, Tensor]:
    present = (True, voice, False)
    logits_NC, label_N = predict(fusion.net, of, present)
    return probabilities(logits_NC, fusion.temperatures.at(torch.tensor(present))), label_N


def _scores(fusion: Fusion, of: Bank, *, voice: bool) -> dict[str, float]:
    return scores(*_probabilities(fusion, of, voice=voice))


def tfidf(corpus: Corpus, tests: dict[str, list[Example]]) -> dict[str, dict[str, float]]:
    """`models.metrics.scores` of words and pairs of words in a logistic regression that was chosen on dev.

    Raises:
        ValueError: scikit-learn is not installed.
    """
    vectors = tfidf_vectors()
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

    known_N = _labels(corpus.train) >= 0  # a few utterances of train have none
    train, labels = vectors.fit_transform(_texts(corpus.train)), _labels(corpus.train)

    def measured(machine: LogisticRegression, of: Sequence[Example]) -> dict[str, float]:
        guess_N = torch.from_numpy(machine.predict(vectors.transform(_texts(of))))
        return scores(F.one_hot(guess_N, len(LABELS)).double(), _labels(of))

    machines = [
        LogisticRegression(C=strength, class_weight=weight, max_iter=300).fit(
            train[known_N.numpy()], labels[known_N].numpy()
        )
        for strength in (0.3, 1.0, 3.0)
        for weight in (None, "balanced")
    ]
    chosen = max(machines, key=lambda machine: measured(machine, corpus.dev)["weighted_f1"])
    return {name: measured(chosen, of) for name, of in tests.items()}


def _texts(of: Sequence[Example]) -> list[str]:
    return [text for e in of for text in e.texts]


def _labels(of: Sequence[Example]) -> Tensor:
    """``[N]``, -1 where there is none."""
    return torch.cat([e.labels_N for e in of])


def polarities(data: Path, fusion: Fusion, read: Read) -> tuple[dict[str, float], dict[str, float]]:
    """`models.metrics.scores` of MELD's three sentiments on test: ours, from the seven labels by how often
    each has which on train, and those of VADER's lexicon.

    Raises:
        DataError: the lexicon is missing or damaged.
    """
    train, test = (_sentiments(data, split) for split in ("train", "test"))
    share_CP = polarity_of_labels(_labels(read.corpus.train), train)
    probs_NC, _ = _probabilities(fusion, read.banks[GOLD], voice=True)
    lexicon = Lexicon.read(data / "lexicons" / "vader_lexicon.txt.gz")
    said = torch.tensor([polarity(lexicon.compound(text)) for text in _texts(read.corpus.test)])
    theirs = F.one_hot(said, len(POLARITIES)).double()
    return scores(probs_NC.double() @ share_CP, test), scores(theirs, test)


def _sentiments(data: Path, split: str) -> Tensor:
    """Indices into `POLARITIES` in the order of `models.meld.load`."""
    rows = [r for rows in dialogues(data)[split] for r in rows]
    return torch.tensor([POLARITIES.index(r["sentiment"]) for r in rows])


def polarity_of_labels(label_N: Tensor, polarity_N: Tensor) -> Tensor:
    """How the utterances of each label share in the polarities, ``[C, P]``; rows sum to 1."""
    count_CP = torch.zeros(len(LABELS), len(POLARITIES), dtype=torch.float64)
    known_N = label_N >= 0
    ones_N = torch.ones(int(known_N.sum()), dtype=torch.float64)
    count_CP.index_put_((label_N[known_N], polarity_N[known_N]), ones_N, accumulate=True)
    return count_CP / count_CP.sum(1, keepdim=True).clamp_min(1)


def polarity(compound: float) -> int:
    """The index in `POLARITIES` of a compound score in -1..1."""
    return 1 + int(compound >= SURE) - int(compound <= -SURE)


def _cost(encoder: TextEncoder, test: Sequence[Example]) -> list[float]:
    """Milliseconds of `TIMED` utterances, one after the other, as they come live."""
    words = [(t, s) for e in test for t, s in zip(e.texts, e.speakers, strict=True)]
    memory = encoder.start()

    def step(said: tuple[str, int]) -> None:
        nonlocal memory
        _, memory = encoder.step(*said, memory)

    every = np.linspace(0, len(words) - 1, TIMED).astype(int)
    return milliseconds(step, [words[i] for i in every])
