"""A corpus with its words as numbers: encoded once, kept on disk, found again by any run.

What is kept goes by a digest of encoder and words; an interrupted run goes on where it was.

Shape suffixes: N utterances, D features.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models import data, tune_text
from models.checkpoint import CheckpointError
from models.data.check import drop_leaks
from models.data.corpus import Corpus
from models.data.features import Encoder, Line, Noise, Spoken, misheard
from models.data.features import encoded as encode_lines
from models.encoders.hub import spec
from models.encoders.text import TextEncoder, pretrained
from models.training.config import Data, RunConfig, TrainingError
from models.training.run import Prepared, data_digest, prepare
from models.whole import whole

CACHE = tune_text.CACHE
LAYERS = 4  # of "frozen-layers"; as many as COSMIC (Ghosal et al. 2020) reads of RoBERTa
SHIPPED = ("meld",)  # corpora on which the encoder that ships was tuned
PART = 1024  # utterances after which a part is kept, so that an interrupted run goes on
Say = Callable[[str, int, int], None]
log = logging.getLogger(__name__)


def nobody(what: str, done: int, total: int) -> None:
    """Says nothing."""


def open_data(config: RunConfig, folder: Path, cache: Path = CACHE, say: Say = nobody) -> Prepared:
    """What ``config`` reads of the corpora in ``folder``, with text features from ``cache`` or made there.

    ``say`` hears what is encoded, how many utterances of how many are done.

    Raises:
        DataError: files are missing or damaged. TrainingError: they lack what ``config`` asks for.
        CheckpointError: the text encoder is missing.
    """
    d = config.data
    corpus, notes = clean(data.load(d.corpus, folder, **d.options), d)
    if "text" not in d.modalities or d.text == "packaged":
        return replace(prepare(config, corpus), notes=notes)
    name, open_encoder = encoder(d, corpus, cache)
    digest = data_digest(corpus, name, repr(d.train_word_errors), repr(d.word_errors))
    corpus = encoded(noisy(corpus, d), name, open_encoder, cache / "features", say)
    return replace(prepare(config, corpus, digest), notes=notes)


def clean(corpus: Corpus, d: Data) -> tuple[Corpus, tuple[str, ...]]:
    """``corpus`` without training labels whose words stand in dev or test, and how many those were.

    Raises:
        TrainingError: nothing is left to train on.
    """
    if d.leaks == "keep":
        return corpus, ()
    kept, dropped = drop_leaks(corpus, corpus)
    if dropped.rows and not kept.splits["train"]:
        raise TrainingError(
            f"{dropped}, which leaves nothing to train on: is one split of {corpus.name} a copy of another?"
            ' data.leaks = "keep" trains on it all the same'
        )
    return kept, (str(dropped),) if dropped.rows else ()


def encoder(d: Data, corpus: Corpus, cache: Path) -> tuple[str, Callable[[], Encoder]]:
    """What identifies the encoder that ``d.text`` names, and how to open it; a tuned one is made if need be.

    Raises:
        TrainingError: no such encoder.
    """
    if spec.is_named(d.text):
        from models.encoders.hub import files
        from models.encoders.hub.text import HubText

        big = spec.parse(d.text, "text")
        try:
            folder = files.find(big)
        except CheckpointError as error:
            raise TrainingError(f"data.text: {error}") from error
        return files.digest(big, folder), lambda: HubText(big, folder)
    if d.text == "frozen":
        return "minilm", pretrained
    if d.text == "frozen-layers":
        return f"minilm, {LAYERS} layers", partial(pretrained, read=LAYERS)
    if d.text == "tuned" and corpus.name not in SHIPPED:
        return _tuned(corpus, cache)
    path = data_path() if d.text == "tuned" else Path(d.text)
    if not path.is_file():
        raise TrainingError(
            f'data.text = "{d.text}": neither packaged, frozen, frozen-layers, tuned nor an encoder file'
        )
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16], lambda: TextEncoder.load(path)


def data_path() -> Path:
    """The text encoder that ships."""
    from models.checkpoint import WEIGHTS

    return WEIGHTS / "text.safetensors"


def _tuned(corpus: Corpus, cache: Path) -> tuple[str, Callable[[], Encoder]]:
    if not corpus.measures.get("audio") or not all(corpus.splits.get(s) for s in ("train", "dev", "test")):
        raise TrainingError(
            'data.text = "tuned" tunes on words and voice measures, and needs train, dev and test;'
            f' {corpus.name} lacks some of these: "frozen" does without'
        )
    path = tune_text.tuned(corpus, tune_text.home(corpus, cache))
    return tune_text.name(corpus), lambda: TextEncoder.load(path)


def noisy(corpus: Corpus, d: Data) -> Corpus:
    """``corpus`` with the word errors of ``d``: in train and dev, and in further splits ``test@RATE``.

    Raises:
        DataError: the corpus has no words.
    """
    splits = dict(corpus.splits)
    if d.train_word_errors:
        wrong = misheard(corpus, Noise(d.train_word_errors)).splits
        splits |= {s: wrong[s] for s in ("train", "dev") if s in wrong}
    for rate in d.word_errors:
        splits[f"test@{rate:g}"] = misheard(corpus, Noise(rate)).splits["test"]
    return replace(corpus, splits=splits)


def encoded(
    corpus: Corpus, name: str, open_encoder: Callable[[], Encoder], cache: Path, say: Say = nobody
) -> Corpus:
    """``corpus`` with ``features["text"]`` of its texts; an utterance without words has none.

    Raises:
        TrainingError: the corpus has no words.
    """
    splits, opened = {}, None
    for split, group in corpus.splits.items():
        spoken = [list(zip(c.texts, c.order_of_appearance(), strict=False)) for c in group]
        lines = [line for c in spoken for line in c]
        if len(lines) != sum(len(c) for c in group):
            raise TrainingError(f'{corpus.name}: {split} has no words to encode; set data.text = "packaged"')
        if not lines:
            splits[split] = group
            continue
        path = cache / f"{corpus.name}-{split}-{_digest(name, lines)}.npy"
        if path.exists():
            rows_ND = np.load(path, allow_pickle=False)
        else:
            opened = opened or open_encoder()
            unfinished = path.with_suffix(".parts")
            rows_ND = _by_parts(opened, spoken, unfinished, partial(say, f"{corpus.name} {split}"))
            _write(path, rows_ND)
            shutil.rmtree(unfinished, ignore_errors=True)
        ends = np.cumsum([len(c) for c in group])[:-1]
        parts = np.split(rows_ND, ends)
        splits[split] = tuple(c.with_features(text=p) for c, p in zip(group, parts, strict=True))
    return replace(corpus, splits=splits)


def _by_parts(
    encoder: Encoder, spoken: Sequence[Spoken], folder: Path, tick: Callable[[int, int], None]
) -> NDArray[np.float32]:
    """Features ``[N, D]`` of ``spoken``, with what a former run left in ``folder`` not made again."""
    parts, at, total = [np.zeros((0, encoder.dim), dtype=np.float32)], 0, sum(map(len, spoken))
    for some in _parts(spoken):
        path, size = folder / f"{at}.npy", sum(map(len, some))
        try:
            rows_ND = np.load(path, allow_pickle=False)
        except FileNotFoundError:
            rows_ND = encode_lines(encoder, some, partial(_ahead, tick, at, total))
            _write(path, rows_ND)
        parts.append(rows_ND)
        at += size
        tick(at, total)
    return np.concatenate(parts)


def _parts(spoken: Sequence[Spoken]) -> Iterator[list[Spoken]]:
    """Whole conversations, together about `PART` utterances each time."""
    some: list[Spoken] = []
    for c in spoken:
        some.append(c)
        if sum(map(len, some)) >= PART:
            yield some
            some = []
    if some:
        yield some


def _ahead(tick: Callable[[int, int], None], start: int, total: int, done: int, _: int) -> None:
    tick(start + done, total)


def _digest(name: str, lines: Sequence[Line]) -> str:
    return hashlib.sha256(f"{name}\0{lines!r}".encode()).hexdigest()[:16]


def _write(path: Path, rows_ND: NDArray[np.float32]) -> None:
    with whole(path) as part, part.open("wb") as file:
        np.save(file, rows_ND)
