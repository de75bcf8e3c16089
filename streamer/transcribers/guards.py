"""What every recogniser needs against late, unstable and invented words."""

from __future__ import annotations

import re

from ..types import Segment

LONGEST_PHRASE = 8  # words of a phrase that may be looped
LOOPS = 4  # repeats of a phrase that make it a loop
ONE_WORD_LOOPS = 8  # "no, no, no" is something people say
FASTEST = 8.0  # words a second; hurried speech has about 6


class Finals:
    """Remembers the last finished utterance of each channel, so that a late partial can be told."""

    def __init__(self) -> None:
        self._last: dict[int, float] = {}

    def late(self, segment: Segment) -> bool:
        """Whether ``segment`` is a partial of an utterance that has had its final; notes finals."""
        channel, start = segment.audio.channel, segment.span.start
        if segment.final:
            self._last[channel] = max(start, self._last.get(channel, start))
            return False
        return channel in self._last and start <= self._last[channel]


class Agreement:
    """LocalAgreement-2 (Liu et al. 2020, https://arxiv.org/abs/2005.11185): words on which two successive
    hypotheses agree are settled and never change; what follows them is the newest guess."""

    def __init__(self) -> None:
        self._settled: list[str] = []
        self._before: list[str] = []

    @property
    def settled(self) -> int:
        """How many words can no longer change."""
        return len(self._settled)

    def update(self, text: str) -> str:
        """The settled words and the rest of the new hypothesis ``text``."""
        words = text.split()
        for i in range(len(self._settled), min(len(words), len(self._before))):
            if bare(words[i]) != bare(self._before[i]):
                break
            self._settled.append(words[i])
        self._before = words
        return " ".join([*self._settled, *words[len(self._settled) :]])


def bare(word: str) -> str:
    """``word`` without case and punctuation, for comparing."""
    return re.sub(r"[^\w']", "", word.lower()) or word


def looped(text: str) -> bool:
    """Whether ``text`` holds a phrase said over and over, as a recogniser that has lost its way does."""
    words = [bare(w) for w in text.split()]
    return any(
        _longest_loop(words, size) >= (ONE_WORD_LOOPS if size == 1 else LOOPS)
        for size in range(1, LONGEST_PHRASE + 1)
    )


def too_fast(text: str, seconds: float) -> bool:
    """Whether nobody can have said so many words in ``seconds``."""
    return len(text.split()) > max(3.0, FASTEST * seconds)


def _longest_loop(words: list[str], size: int) -> int:
    """How often in a row a phrase of ``size`` words comes at most."""
    longest = run = 0
    for i in range(size, len(words)):
        run = run + 1 if words[i] == words[i - size] else 0
        longest = max(longest, run)
    return 1 + longest // size
