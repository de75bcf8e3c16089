"""What a speech recogniser does to text: no capitals, no punctuation, some words wrong.

Used to augment training and for the evaluation row "lower-cased, unpunctuated, 30 % word errors". Errors
are substitutions, deletions and insertions in the proportion usual of recognisers (60 : 25 : 15); a
substitute is a frequent training word spelt alike, so that it tends to sound alike. Large recognisers write
capitals and punctuation; small ones do not. What a small one really hears comes from `models.hear`.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)*")
KINDS = ("substitution", "deletion", "insertion")
SHARES = (0.60, 0.25, 0.15)
WRITTEN = re.compile(r"[A-Za-z0-9]+(?:['’][A-Za-z]+)*")  # `WORD` in a text as it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How words are spoilt in training: in ``plain_share`` of the texts no capitals and no punctuation, in
    ``error_share`` word errors at a rate drawn from ``error_rates``, of which ``punctuated`` (a share of
    these) keep capitals and punctuation, in ``heard_share`` what a recogniser heard, where that is known."""

    plain_share: float
    error_share: float
    error_rates: tuple[float, float]
    punctuated: float = 0.0
    heard_share: float = 0.0

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Noise:
        """The table of a configuration.

        Raises:
            KeyError, TypeError: a key is missing or misspelt.
        """
        low, high = raw["error_rates"]
        return cls(**{**raw, "error_rates": (low, high)})


def plain(text: str) -> str:
    """``text`` as a recogniser without capitals and punctuation writes it."""
    return " ".join(WORD.findall(text.lower().replace("’", "'")))


class WordErrors:
    """Makes word errors with the words of ``texts`` (the training set only)."""

    def __init__(self, texts: Iterable[str], size: int = 4000) -> None:
        counts = Counter(w for t in texts for w in plain(t).split())
        self._words = [w for w, _ in counts.most_common(size)]
        self._weights = [counts[w] for w in self._words]
        self._like: dict[str, list[str]] = {}
        for word in self._words:
            for key in _keys(word):
                self._like.setdefault(key, []).append(word)

    def corrupt(self, text: str, rate: float, random_: random.Random, *, punctuated: bool = False) -> str:
        """`plain` text in which each word is wrong with probability ``rate`` (0..1); with ``punctuated`` all
        between the words stays, and a wrong word is written as large as the right one.

        Never empty if the plain text was not.

        Raises:
            ValueError: a rate outside 0..1.
        """
        if not 0 <= rate <= 1:
            raise ValueError(f"word error rate {rate}: must be between 0 and 1")
        if punctuated:
            return self._punctuated(text, rate, random_)
        words = plain(text).split()
        return " ".join([h for w in words for h in self._heard(w, rate, random_)] or words[:1])

    def _heard(self, word: str, rate: float, random_: random.Random) -> list[str]:
        kind = random_.choices(KINDS, SHARES)[0] if random_.random() < rate else ""
        if kind == "substitution":
            return [self._substitute(word, random_)]
        if kind == "insertion":
            return [word, self._frequent(random_)]
        return [] if kind == "deletion" else [word]

    def _punctuated(self, text: str, rate: float, random_: random.Random) -> str:
        def heard(found: re.Match[str]) -> str:
            right = plain(found[0])
            said = self._heard(right, rate, random_)
            return found[0] if said == [right] else _as_large(" ".join(said), found[0])

        out = re.sub(r"\s+", " ", WRITTEN.sub(heard, text)).strip()
        return out if WRITTEN.search(out) else text

    def sometimes(self, text: str, random_: random.Random, noise: Noise, heard: Mapping[str, str]) -> str:
        """``text`` for training, spoilt or not as ``noise`` says; ``heard`` is what a recogniser made of some
        texts. Never empty if ``text`` was not."""
        draw = random_.random()
        if draw < noise.error_share:
            keep = noise.punctuated > 0 and random_.random() < noise.punctuated
            return self.corrupt(text, random_.uniform(*noise.error_rates), random_, punctuated=keep) or text
        if draw < noise.error_share + noise.plain_share:
            return plain(text) or text
        known = draw < noise.error_share + noise.plain_share + noise.heard_share
        return (heard.get(text) if known else None) or text

    def _substitute(self, word: str, random_: random.Random) -> str:
        alike = [w for key in _keys(word) for w in self._like.get(key, ()) if w != word]
        return random_.choice(alike) if alike else self._frequent(random_)

    def _frequent(self, random_: random.Random) -> str:
        return random_.choices(self._words, self._weights)[0]


def _keys(word: str) -> Sequence[str]:
    """Rough sound keys: the consonant skeleton, and the first two letters with the length."""
    skeleton = re.sub(r"[aeiouyhw']", "", word[1:])
    return (word[0] + skeleton, word[:2] + str(len(word)))


def _as_large(word: str, as_: str) -> str:
    """``word`` with the capitals of ``as_``: all, the first, or none."""
    if len(as_) > 1 and as_.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if as_[0].isupper() else word
