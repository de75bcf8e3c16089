"""What a speech recogniser does to text: no capitals, no punctuation, some words wrong.

Used to augment training and for the evaluation row "lower-cased, unpunctuated, 30 % word errors". Errors
are substitutions, deletions and insertions in the proportion usual of recognisers (60 : 25 : 15); a
substitute is a frequent training word spelt alike, so that it tends to sound alike.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence

WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)*")
KINDS = ("substitution", "deletion", "insertion")
SHARES = (0.60, 0.25, 0.15)


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

    def corrupt(self, text: str, rate: float, random_: random.Random) -> str:
        """`plain` text in which each word is wrong with probability ``rate`` (0..1).

        Never empty if the plain text was not.

        Raises:
            ValueError: a rate outside 0..1.
        """
        if not 0 <= rate <= 1:
            raise ValueError(f"word error rate {rate}: must be between 0 and 1")
        words = plain(text).split()
        out: list[str] = []
        for word in words:
            kind = random_.choices(KINDS, SHARES)[0] if random_.random() < rate else ""
            if kind == "substitution":
                out.append(self._substitute(word, random_))
            elif kind == "insertion":
                out += [word, self._frequent(random_)]
            elif kind != "deletion":
                out.append(word)
        return " ".join(out or words[:1])

    def sometimes(
        self,
        text: str,
        random_: random.Random,
        *,
        error_share: float,
        error_rates: tuple[float, float],
        plain_share: float,
    ) -> str:
        """``text`` for training: with errors at a rate drawn from ``error_rates`` in a share of the cases,
        `plain` in another, else as it is. Never empty if ``text`` was not."""
        draw = random_.random()
        if draw < error_share:
            return self.corrupt(text, random_.uniform(*error_rates), random_) or text
        return (plain(text) or text) if draw < error_share + plain_share else text

    def _substitute(self, word: str, random_: random.Random) -> str:
        alike = [w for key in _keys(word) for w in self._like.get(key, ()) if w != word]
        return random_.choice(alike) if alike else self._frequent(random_)

    def _frequent(self, random_: random.Random) -> str:
        return random_.choices(self._words, self._weights)[0]


def _keys(word: str) -> Sequence[str]:
    """Rough sound keys: the consonant skeleton, and the first two letters with the length."""
    skeleton = re.sub(r"[aeiouyhw']", "", word[1:])
    return (word[0] + skeleton, word[:2] + str(len(word)))
