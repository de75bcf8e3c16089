"""What the fusion is trained and measured on: conversations with the features of their words, and synthetic
pairs with faces and voices.

Shape suffixes: N utterances, D text features, E face embedding.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from models import batches
from models.asr_noise import WordErrors
from models.batches import Example
from models.encoders.text import TextEncoder
from models.meld import LABELS
from models.synthetic_faces import Faces
from models.synthetic_voices import Voices
from models.train_meld import NOISY, Corpus, encode, noisy

SMILES = 3  # utterances
ERROR_RATES = (0.05, 0.4)  # of the noisy copy of train


@dataclass(frozen=True, slots=True)
class Bank:
    """Examples of a split with their text features ``[N, D]``, gold and as a recogniser would write them."""

    examples: list[Example]
    gold: list[Tensor]
    noisy: list[Tensor]


def bank(
    encoder: TextEncoder, examples: list[Example], noisy_examples: list[Example], cache: Path | None = None
) -> Bank:
    """Encode both versions; the folder ``cache`` keeps what the same weights made of the same texts."""
    made = []
    for version in (examples, noisy_examples):
        key = hashlib.sha256(repr([(e.texts, e.speakers) for e in version]).encode())
        key.update(encoder.net.layers[0].up.weight.detach().cpu().numpy().tobytes())  # type: ignore[union-attr,operator]
        path = cache / f"{key.hexdigest()[:24]}.pt" if cache else None
        if path and path.exists():
            flat = torch.load(path, weights_only=True)
        else:
            parts = [
                f
                for i in range(0, len(version), 64)
                for f in encode(encoder, version[i : i + 64], grad=False)
            ]
            flat = torch.cat(parts)
            if path:
                path.parent.mkdir(parents=True, exist_ok=True)
                torch.save(flat, path)
        made.append(list(torch.split(flat, [len(e.texts) for e in version])))
    return Bank(list(examples), made[0], made[1])


def banks(encoder: TextEncoder, corpus: Corpus, cache: Path | None = None) -> dict[str, Bank]:
    """Train with mixed word errors, dev and test with those of the evaluation row."""
    random_ = random.Random(1)

    def mixed(errors: WordErrors) -> list[Example]:
        return [
            batches.retext(
                e, [errors.corrupt(t, random_.uniform(*ERROR_RATES), random_) or t for t in e.texts]
            )
            for e in corpus.train
        ]

    return {
        "train": bank(encoder, corpus.train, mixed(corpus.errors), cache),
        "dev": bank(encoder, corpus.dev, noisy(corpus.dev, corpus.errors, NOISY), cache),
        "test": bank(encoder, corpus.test, noisy(corpus.test, corpus.errors, NOISY), cache),
    }


def pairs(of: Bank, faces: Faces, seed: int) -> list[Tensor]:
    """A synthetic face ``[N, E]`` for every utterance."""
    generator = torch.Generator().manual_seed(seed)
    return [faces.pair(e.labels_N, generator) for e in of.examples]


@dataclass(frozen=True, slots=True)
class Smiled:
    """Conversations in which joyful faces were seen for a while: those of `SMILES` utterances in a row, then
    none. ``bank`` has labels (others are -1) in the same number of utterances after that alone; of each
    conversation, ``visual`` are faces ``[N, E]`` and ``seen`` bool ``[N]``."""

    bank: Bank
    visual: list[Tensor]
    seen: list[Tensor]


def smiled(of: Bank, faces: Faces, seed: int) -> Smiled:
    """The conversations of ``of`` that are long enough, with SYNTHETIC smiles, whatever is said."""
    generator = torch.Generator().manual_seed(seed)
    joy, examples, gold, noisy_, visual, seen = LABELS.index("joy"), [], [], [], [], []
    for example, text, rough in zip(of.examples, of.gold, of.noisy, strict=True):
        n = len(text)
        if n < 2 * SMILES:
            continue
        gone = int(torch.randint(SMILES, n - SMILES + 1, (), generator=generator))
        at_N = torch.arange(n)
        after_N = (gone <= at_N) & (at_N < gone + SMILES)
        examples.append(replace(example, labels_N=torch.where(after_N, example.labels_N, -1)))
        gold.append(text)
        noisy_.append(rough)
        visual.append(torch.stack([faces.draw(joy, generator) for _ in range(n)]))
        seen.append((gone - SMILES <= at_N) & (at_N < gone))
    return Smiled(Bank(examples, gold, noisy_), visual, seen)


def spoken(of: Bank, voices: Voices, seed: int) -> Bank:
    """``of`` with synthetic voices instead of its own."""
    generator = torch.Generator().manual_seed(seed)
    return replace(of, examples=[voices.speak(e, generator) for e in of.examples])


def plain_rows(of: Bank) -> Tensor:
    """Features ``[n, D]`` of all utterances labelled neutral: words that say nothing."""
    neutral = LABELS.index("neutral")
    return torch.cat([text[e.labels_N == neutral] for e, text in zip(of.examples, of.gold, strict=True)])


def plain(of: Bank, seed: int) -> Bank:
    """``of`` with words that say nothing instead of every utterance's own."""
    rows_nD, generator = plain_rows(of), torch.Generator().manual_seed(seed)
    gold = [rows_nD[torch.randint(len(rows_nD), (len(text),), generator=generator)] for text in of.gold]
    return replace(of, gold=gold)


def without_context(of: Bank) -> Bank:
    """Every utterance as a conversation of its own."""
    examples = [u for e in of.examples for u in batches.alone(e)]
    return Bank(examples, list(torch.cat(of.gold).unsqueeze(1)), list(torch.cat(of.noisy).unsqueeze(1)))
