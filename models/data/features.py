"""Features that a corpus does not bring: text by an encoder, everything on a common scale.

Shape suffixes: N utterances, D features of a modality, A voice measures.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.asr_noise import WordErrors
from models.data.corpus import Conversation, Corpus, DataError
from models.encoders.prosody import USED_MEASURES
from models.encoders.text import TextEncoder, Words
from models.normalise import Prior, causal_normalise, fit_prior
from models.whole import whole

Floats = NDArray[np.float32]
Tick = Callable[[int, int], None]
Line = tuple[str, int]  # words, and the order of appearance of who says them
Spoken = Sequence[Line]  # a conversation

_BATCH = 128  # texts of about one length, encoded together


@dataclass(frozen=True, slots=True)
class Noise:
    """Words as a recogniser writes them: plain, each wrong with probability ``rate`` (0..1).

    The errors of an utterance depend on ``seed`` and its conversation alone, whatever else is in the corpus.
    """

    rate: float
    seed: int = 0


def with_text(
    corpus: Corpus,
    encoder: TextEncoder,
    cache: Path | None = None,
    noise: Noise | None = None,
    tick: Tick | None = None,
) -> Corpus:
    """``corpus`` with ``features["text"]`` ``[N, encoder.dim]``; NaN where an utterance has no words.

    The folder ``cache`` keeps, by a digest of both, what the same weights made of the same words of a split.
    ``tick`` is told how many texts of a split are done, and of how many. With ``noise``, `texts` become what
    was encoded.

    Raises:
        DataError: the corpus has no words.
    """
    if noise is not None:
        corpus = misheard(corpus, noise)
    weights = digest(encoder)
    splits = {}
    for split, conversations in corpus.splits.items():
        spoken = [list(zip(_texts(c), c.order_of_appearance(), strict=True)) for c in conversations]
        rows_ND = cached(encoder, weights, spoken, cache, tick)
        ends = np.cumsum([len(c) for c in conversations])[:-1]
        parts = np.split(rows_ND, ends) if conversations else []
        splits[split] = tuple(c.with_features(text=p) for c, p in zip(conversations, parts, strict=True))
    return replace(corpus, splits=splits)


def misheard(corpus: Corpus, noise: Noise) -> Corpus:
    """``corpus`` with the words that a recogniser with errors of ``noise`` would write.

    The wrong words are frequent ones of the train split.

    Raises:
        DataError: the corpus has no words.
        ValueError: a rate outside 0..1.
    """
    errors = WordErrors(t for c in corpus.splits.get("train", ()) for t in _texts(c))

    def heard(c: Conversation) -> Conversation:
        random_ = random.Random(f"{noise.seed} {c.id}")
        return replace(c, texts=tuple(errors.corrupt(t, noise.rate, random_) for t in _texts(c)))

    return replace(corpus, splits={s: tuple(map(heard, cs)) for s, cs in corpus.splits.items()})


def _texts(c: Conversation) -> tuple[str, ...]:
    if len(c.texts) != len(c):
        raise DataError(
            f"{c.id}: {len(c.texts)} texts for {len(c)} utterances; the corpus brings no words to encode"
        )
    return c.texts


def digest(encoder: TextEncoder) -> str:
    """24 digits that change with the weights, the size or the tokenizer of ``encoder``."""
    out = hashlib.blake2b(digest_size=12)
    out.update(repr(encoder.net.config).encode())
    out.update(encoder.tokenizer.to_str().encode())
    for name, tensor in sorted(encoder.net.state_dict().items()):
        out.update(name.encode())
        out.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return out.hexdigest()


def cached(
    encoder: TextEncoder,
    weights: str,
    spoken: Sequence[Spoken],
    cache: Path | None,
    tick: Tick | None,
) -> Floats:
    """`encoded`, or what a former run kept of the same in the folder ``cache``."""
    if cache is None:
        return encoded(encoder, spoken, tick)
    lines = [line for c in spoken for line in c]
    made_of = repr((weights, encoder.dim, spoken if encoder.contextual else lines)).encode()
    path = cache / f"{hashlib.blake2b(made_of, digest_size=12).hexdigest()}.npy"
    if path.is_file():
        try:
            kept = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            kept = None  # cut off: made anew
        if kept is not None and kept.shape == (len(lines), encoder.dim):
            return np.asarray(kept, dtype=np.float32)
    rows_ND = encoded(encoder, spoken, tick)
    with whole(path) as part, part.open("wb") as file:
        np.save(file, rows_ND, allow_pickle=False)
    return rows_ND


class Encoder(Protocol):
    """What makes features of words: a `TextEncoder`, or a big one of `models.encoders.hub`.

    ``contextual``: it reads what was said before, too; the others take every text by itself.
    """

    @property
    def net(self) -> nn.Module: ...
    @property
    def dim(self) -> int: ...
    @property
    def contextual(self) -> bool: ...
    def encode(self, texts: Sequence[str], speakers: Sequence[int]) -> Tensor: ...
    def conversations(self, spoken: Sequence[Words]) -> list[Tensor]: ...


def encoded(encoder: Encoder, spoken: Sequence[Spoken], tick: Tick | None = None) -> Floats:
    """Features ``[N, D]`` of all utterances of conversations; NaN for one without words.

    Without dropout and without gradient.
    """
    lines = [line for c in spoken for line in c]
    out_ND = np.full((len(lines), encoder.dim), np.nan, dtype=np.float32)
    done, total = 0, sum(bool(text.strip()) for text, _ in lines)
    training = encoder.net.training
    encoder.net.eval()
    try:
        with torch.inference_mode():
            for rows, features_nD in _batches(encoder, spoken, lines):
                out_ND[rows] = features_nD.float().cpu().numpy()
                done += len(rows)
                if tick:
                    tick(done, total)
    finally:
        encoder.net.train(training)
    return out_ND


def _batches(
    encoder: Encoder, spoken: Sequence[Spoken], lines: Sequence[Line]
) -> Iterator[tuple[list[int], Tensor]]:
    """Rows of ``lines`` and their features: conversations in order, or single texts by length."""
    if not encoder.contextual or all(len(c) == 1 for c in spoken):
        order = sorted(
            (i for i, (text, _) in enumerate(lines) if text.strip()), key=lambda i: len(lines[i][0])
        )
        for start in range(0, len(order), _BATCH):  # by length, so that little is padded
            batch = order[start : start + _BATCH]
            texts, speakers = zip(*(lines[i] for i in batch), strict=True)
            yield batch, encoder.encode(texts, speakers)
        return
    start = 0
    for c in spoken:
        rows = [start + i for i, (text, _) in enumerate(c) if text.strip()]
        start += len(c)
        if rows:
            texts, speakers = zip(*(lines[i] for i in rows), strict=True)
            yield rows, encoder.conversations([(texts, speakers)])[0]


@dataclass(frozen=True, slots=True)
class Scale:
    """How the features of a corpus are brought to a common scale; fitted on its train split alone.

    ``prior`` normalises the voice measures of modality ``audio`` causally, speaker by speaker
    (`models.normalise`); ``mean`` and ``std`` ``[D]`` standardise other modalities.
    """

    prior: Prior | None = None
    mean: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    std: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @classmethod
    def fit(cls, corpus: Corpus) -> Scale:
        """From the train split of ``corpus``.

        Raises:
            DataError: there is no train split.
        """
        train = corpus.splits.get("train", ())
        if not train:
            raise DataError(f"{corpus.name}: no conversation in train, whose statistics set the scale")
        prior, mean, std = None, {}, {}
        for name in train[0].features:
            rows = np.concatenate([c.features[name] for c in train]).astype(np.float64)
            rows = rows[~np.isnan(rows).all(axis=1)]
            if not len(rows):
                continue  # a modality that train lacks wholly
            if is_voice(corpus, name):
                prior = fit_prior(rows, corpus.measures[name])
            else:
                mean[name] = np.nan_to_num(np.nanmean(rows, 0))
                deviation = np.nan_to_num(np.nanstd(rows, 0))
                std[name] = np.where(deviation > 1e-6, deviation, 1.0)  # a constant stays one
        return cls(prior, mean, std)

    def apply(self, corpus: Corpus) -> Corpus:
        """``corpus`` on this scale. Rows of an absent modality stay NaN; a single missing measure becomes 0.

        Raises:
            DataError: a modality has another width than the corpus of the fit.
        """
        splits = {s: tuple(self._scaled(corpus, c) for c in cs) for s, cs in corpus.splits.items()}
        return replace(corpus, splits=splits)

    def _scaled(self, corpus: Corpus, c: Conversation) -> Conversation:
        out = {}
        for name, rows_ND in c.features.items():
            x_ND = rows_ND.astype(np.float64)
            if self.prior is not None and is_voice(corpus, name):
                if corpus.measures[name] != self.prior.measures:
                    raise DataError(
                        f"{c.id}: measures {corpus.measures[name]}, the scale has {self.prior.measures}"
                    )
                z_ND = causal_normalise(x_ND, c.order_of_appearance(), self.prior)
            elif name in self.mean:
                if x_ND.shape[1] != len(self.mean[name]):
                    raise DataError(
                        f"{c.id}: {x_ND.shape[1]} features {name}, the scale has {len(self.mean[name])}"
                    )
                z_ND = np.nan_to_num((x_ND - self.mean[name]) / self.std[name])
            else:
                continue
            absent_N1 = np.isnan(x_ND).all(axis=1, keepdims=True)
            out[name] = np.where(absent_N1, np.nan, z_ND).astype(np.float32)
        return c.with_features(**out)


def is_voice(corpus: Corpus, name: str) -> bool:
    """Whether the modality ``name`` holds raw voice measures (s, dB, Hz) rather than learnt features."""
    measures = corpus.measures.get(name, ())
    return bool(measures) and set(measures) <= set(USED_MEASURES)


def normalised(corpus: Corpus) -> Corpus:
    """``corpus`` on the scale of its own train split: voice causally, other modalities by mean and deviation.

    Call it before `with_text`: a text encoder's features have their own scale, which models normalise.

    Raises:
        DataError: there is no train split.
    """
    return Scale.fit(corpus).apply(corpus)
