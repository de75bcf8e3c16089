"""What a sentiment lexicon and the punctuation say of a turn: VADER's list read by some of VADER's rules.

A word's valence (-4..4) is turned by a negation and raised by a booster among the three words before it, and
their sum x becomes x / sqrt(x^2 + 15) (Hutto and Gilbert 2014). `NAMES` says what stands in each column.
"""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.data.corpus import DataError

NAMES = (
    "compound",
    "positive",
    "negative",
    "highest",
    "lowest",
    "exclamation",
    "question",
    "ellipsis",
    "capitals",
    "quotes",
    "words",
    "context",
    "contrast",
    "distance",
)
NEGATION, BOOST, REACH, ALPHA = -0.74, 0.293, 3, 15.0
_NEGATIONS = "not no never none nobody nothing neither nor nowhere without cannot hardly"
_BOOSTERS = (
    "absolutely amazingly awfully completely deeply especially extremely entirely highly hugely incredibly "
    "most particularly purely quite really remarkably so totally truly utterly very"
)
NEGATIONS, BOOSTERS = frozenset(_NEGATIONS.split()), frozenset(_BOOSTERS.split())
_WORD = re.compile(r"[a-z][a-z'’]*")


class Lexicon:
    """Valences by word."""

    def __init__(self, valence: Mapping[str, float]) -> None:
        self.valence = valence

    @classmethod
    def read(cls, path: Path) -> Lexicon:
        """VADER's file: a word, its mean valence, a deviation and the ten votes, tab-separated, gzipped.

        Raises:
            DataError: the file is missing or of another form.
        """
        try:
            with gzip.open(path, "rt", encoding="utf-8") as file:
                rows = [line.rstrip("\n").split("\t") for line in file if line.strip()]
            return cls({row[0]: float(row[1]) for row in rows})
        except FileNotFoundError:
            raise DataError(
                f"{path}: no such lexicon; --data names the folder that holds lexicons/"
            ) from None
        except (OSError, EOFError, ValueError, IndexError) as error:
            raise DataError(f"{path}: not VADER's lexicon, word and valence by tabs ({error})") from error

    def valences(self, text: str) -> list[float]:
        """Of each word of ``text`` that the lexicon has, as negations and boosters before it change it."""
        words = _WORD.findall(text.lower().replace("’", "'"))
        out = []
        for i, word in enumerate(words):
            value = self.valence.get(word, 0.0)
            if not value or word in BOOSTERS:
                continue
            before = words[max(0, i - REACH) : i]
            value += math.copysign(BOOST, value) * sum(w in BOOSTERS for w in before)
            if any(w in NEGATIONS or w.endswith("n't") for w in before):
                value *= NEGATION
            out.append(value)
        return out

    def compound(self, text: str) -> float:
        """-1..1, 0 where no word is in the lexicon."""
        total = sum(self.valences(text))
        return total / math.sqrt(total * total + ALPHA)

    def rows(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``[N, len(NAMES)]`` of a scene's turns in order; the context of a turn is those before it."""
        compound = [self.compound(text) for text in texts]
        rows = []
        for n, text in enumerate(texts):
            context = sum(compound[:n]) / n if n else 0.0
            contrast = (compound[n] - context, -compound[n] * context)
            rows.append([compound[n], *self._signs(text), context, *contrast])
        return np.array(rows, dtype=np.float32).reshape(len(texts), len(NAMES))

    def _signs(self, text: str) -> list[float]:
        values, words = self.valences(text), text.split()
        count = max(1, len(words))
        return [
            sum(v > 0 for v in values) / count,
            sum(v < 0 for v in values) / count,
            max([*values, 0.0]) / 4,
            min([*values, 0.0]) / 4,
            text.count("!"),
            text.count("?"),
            text.count("...") + text.count("…"),
            sum(len(w) > 1 and w.isupper() for w in words) / count,
            text.count('"') / 2,
            math.log1p(len(words)),
        ]
