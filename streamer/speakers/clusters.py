"""Who speaks, from embeddings alone, while they come: groups in bounded memory whose ids stay.

What was heard is kept as at most ``memory`` bits, each the mean embedding of some seconds of one voice.
Much of every embedding belongs to the room, the microphone and the language, and how much is not known
before several voices were heard. So a likeness is a cosine after a share ``c`` of the mean of all bits was
taken away; ``c = t / (t + share) * d`` for ``t`` seconds of speech beyond the first ``settle``; ``d`` says
how different the bits are, 0 where the mean cosine of two is ``alone`` or more, 1 from ``several`` down:

* at first (``c`` = 0) a bit belongs to the nearest voice if the likeness is at least ``near``, else it is a
  new one;
* later all bits are put together anew after each: the two groups whose bits are most alike in the mean
  first, until no two are more alike than a threshold that falls with ``c`` from ``far`` to ``apart``. A
  group gets the id that most of its seconds had before, so ids stay; an id that is left without a group is
  merged into another's.

A shouting voice is far from its calm self but seldom far from all that was heard of it: that is why bits
are kept and not one mean a voice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

from ..types import Floats

ENROLLED = 10.0  # seconds that an enrolled voice counts as
LEAST = 1.0  # seconds; less is not enough to make a voice known
SPREAD = 0.08  # difference of likenesses at which a decision is taken to be right in 3 of 4 cases
NEVER = -2.0  # below every cosine

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rules:
    """Seconds of speech, and likenesses; how they were chosen is told in docs/speakers.md."""

    settle: float = 30.0
    share: float = 10.0
    alone: float = 0.74
    several: float = 0.66
    near: float = 0.7
    far: float = 0.65
    apart: float = 0.1
    same: float = 0.88


@dataclass(frozen=True, slots=True)
class Heard:
    """``id`` of the voice, from 0; ``confidence`` in 0..1; ``merged``: ids that are another's now."""

    id: int
    confidence: float
    merged: Mapping[int, int]


class Clusters:
    """Voices of one recording.

    Args:
        most: Voices at most; when all are taken, a new one goes to the nearest.
        memory: Bits kept at most, those of enrolled voices besides.
        known: Embeddings of people who were enrolled: they have the ids 0, 1, ... and are never merged.
        first: The id of the first new voice, at least the number of those ``known``.
    """

    def __init__(
        self,
        most: int = 8,
        memory: int = 64,
        known: Sequence[Floats] = (),
        first: int = 0,
        rules: Rules | None = None,
    ) -> None:
        self._rules, self._enrolled = rules or Rules(), len(known)
        self._most, self._memory = max(most, len(known)), max(memory, 2 * most) + len(known)
        self._sums = [_unit(np.asarray(k, np.float64)) * ENROLLED for k in known]
        self._seconds = [ENROLLED] * len(known)
        self._ids = list(range(len(known)))
        self._called: dict[int, int] = {}  # the id that a voice goes by, where somebody said it is another's
        self.next = max(first, len(known))
        self.heard = 0.0  # seconds of speech

    @property
    def bits(self) -> int:
        """How many are kept."""
        return len(self._ids)

    @property
    def voices(self) -> int:
        """How many are told apart now, enrolled ones included."""
        return len(set(self._ids))

    @property
    def known(self) -> frozenset[int]:
        """The ids that voices go by now."""
        return frozenset(self._name(i) for i in self._ids)

    def merge(self, gone: int, kept: int) -> None:
        """The voice ``gone`` goes by the id ``kept`` from now on, however different the two sound.

        Both stay groups of their own, so that each is known again by what it is like.
        """
        for i in set(self._ids):
            if self._name(i) == gone:
                self._called[i] = kept

    def add(self, embedding: Floats, seconds: float) -> Heard:
        """A stretch of ``seconds`` of one voice, with its mean embedding ``[D]``."""
        v = _unit(np.asarray(embedding, np.float64))
        self.heard += seconds
        if seconds < LEAST and self._ids:
            return self._nearest(v)
        self._sums.append(v * seconds)
        self._seconds.append(seconds)
        self._ids.append(-1)
        merged = self._lead(v) if self.heard < self._rules.settle else self._regroup()
        heard = self._heard(self._ids[-1], self._likeness(v, len(self._ids) - 1), self._told(merged))
        self._forget()
        return heard

    def guess(self, embedding: Floats) -> Heard:
        """Whose voice it seems to be, by what is known; nothing is remembered."""
        v = _unit(np.asarray(embedding, np.float64))
        likeness = self._likeness(v, len(self._ids))
        if self._new(likeness):
            return self._heard(self.next, likeness)
        return self._nearest(v)

    def _nearest(self, v: Array) -> Heard:
        likeness = self._likeness(v, len(self._ids))
        return self._heard(max(likeness, key=lambda i: likeness[i]), likeness)

    def _heard(
        self, number: int, likeness: Mapping[int, float], merged: Mapping[int, int] | None = None
    ) -> Heard:
        """Voice ``number`` by the id it goes by; voices of one id are no rivals."""
        named: dict[int, float] = {}
        for i, value in likeness.items():
            named[self._name(i)] = max(value, named.get(self._name(i), -1.0))
        name = self._name(number)
        return Heard(name, _confidence(name, named, self._threshold), merged or {})

    def _name(self, number: int) -> int:
        return self._called.get(number, number)

    def _told(self, merged: Mapping[int, int]) -> dict[int, int]:
        """``merged`` voices by the ids they went by; an id is gone when no voice goes by it any more."""
        gone = {self._name(i): self._name(kept) for i, kept in merged.items()}
        self._called = {i: name for i, name in self._called.items() if i in self._ids}
        return {i: kept for i, kept in gone.items() if i not in self.known}

    @property
    def _share(self) -> float:
        beyond = max(0.0, self.heard - self._rules.settle)
        return beyond / (beyond + self._rules.share) * self._different()

    def _different(self) -> float:
        r, total, seconds = self._rules, np.sum(self._sums, 0), np.array(self._seconds)
        themselves = float(np.square(np.linalg.norm(self._sums, axis=1)).sum())
        pairs = float(seconds.sum() ** 2 - np.square(seconds).sum())
        cosine = (float(total @ total) - themselves) / max(pairs, 1e-12)
        return min(1.0, max(0.0, (r.alone - cosine) / (r.alone - r.several)))

    @property
    def _threshold(self) -> float:
        r = self._rules
        return r.near if self.heard < r.settle else r.far + (r.apart - r.far) * self._share

    def _likeness(self, v: Array, count: int) -> dict[int, float]:
        """Of ``v`` to every voice in the first ``count`` bits."""
        if not count:
            return {}
        mean = self._share * np.sum(self._sums, 0) / sum(self._seconds)
        sums: dict[int, Array] = {}
        for i in range(count):
            centred = self._sums[i] - mean * self._seconds[i]
            sums[self._ids[i]] = sums.get(self._ids[i], np.zeros_like(v)) + centred
        mine = _unit(v - mean)
        return {number: float(_unit(total) @ mine) for number, total in sums.items()}

    def _new(self, likeness: Mapping[int, float]) -> bool:
        best = max(likeness.values(), default=-1.0)
        return not likeness or (best < self._threshold and len(likeness) < self._most)

    def _lead(self, v: Array) -> dict[int, int]:
        """The last bit goes to the nearest voice, or is a new one; nobody is merged."""
        likeness = self._likeness(v, len(self._ids) - 1)
        if self._new(likeness):
            self._ids[-1], self.next = self.next, self.next + 1
        else:
            self._ids[-1] = max(likeness, key=lambda i: likeness[i])
        return {}

    def _regroup(self) -> dict[int, int]:
        """All bits are put together anew, and the groups named after what they were; who was merged."""
        sums, seconds, before = np.array(self._sums), np.array(self._seconds), self._ids
        centred = sums - seconds[:, None] * (self._share * sums.sum(0) / seconds.sum())
        groups = _groups(centred, seconds, self._enrolled, self._threshold, self._most)
        groups = _joined(groups, sums, self._enrolled, self._rules.same)
        names = sorted({i for i in before if i >= 0})
        shared = np.zeros((len(groups), len(names)))
        for row, group in enumerate(groups):
            for bit in group:
                if before[bit] >= 0:
                    certain = 1e6 if bit < self._enrolled else 1.0
                    shared[row, names.index(before[bit])] += seconds[bit] * certain
        rows, columns = linear_sum_assignment(-shared)
        called = {int(r): names[c] for r, c in zip(rows, columns, strict=True) if shared[r, c] > 0}
        for row in range(len(groups)):
            if row not in called:
                called[row], self.next = self.next, self.next + 1
        self._ids = [called[row] for _, row in sorted((b, r) for r, g in enumerate(groups) for b in g)]
        gone = sorted(set(names) - set(called.values()))
        return {i: called[int(shared[:, names.index(i)].argmax())] for i in gone}

    def _forget(self) -> None:
        """Join the two most alike bits of one voice while there are too many."""
        while len(self._ids) > self._memory:
            units, ids = np.array([_unit(s) for s in self._sums]), np.array(self._ids)
            near = units @ units.T
            near[(ids[:, None] != ids) | np.tri(len(ids), dtype=bool)] = NEVER
            near[: self._enrolled] = NEVER
            i, j = (int(k) for k in np.unravel_index(near.argmax(), near.shape))
            self._sums[i] = self._sums[i] + self._sums[j]
            self._seconds[i] += self._seconds[j]
            del self._sums[j], self._seconds[j], self._ids[j]


def _groups(centred: Array, seconds: Array, enrolled: int, threshold: float, most: int) -> list[list[int]]:
    """Bits by voice; the first ``enrolled`` bits are in groups of their own."""
    units = centred / np.maximum(np.linalg.norm(centred, axis=1), 1e-12)[:, None]
    groups, weight = [[i] for i in range(len(units))], seconds.copy()
    alike = units @ units.T * seconds[:, None] * seconds  # sums over all pairs of bits of two groups
    while len(groups) > 1:
        mean = alike / (weight[:, None] * weight)
        np.fill_diagonal(mean, NEVER)
        mean[:enrolled, :enrolled] = NEVER  # they stay in front, since the later group joins the earlier
        i, j = sorted(int(k) for k in np.unravel_index(mean.argmax(), mean.shape))
        if mean[i, j] <= NEVER or (mean[i, j] < threshold and len(groups) <= most):
            break
        alike[i] += alike[j]
        alike[:, i] += alike[:, j]
        alike = np.delete(np.delete(alike, j, 0), j, 1)
        weight[i] += weight[j]
        weight = np.delete(weight, j)
        groups[i] += groups.pop(j)
    return _refined(groups, units, seconds, enrolled)


def _joined(groups: list[list[int]], sums: Array, enrolled: int, same: float) -> list[list[int]]:
    """Groups that are alike before anything is taken away are one voice, or nobody could speak alone."""
    groups = [list(g) for g in groups]
    while len(groups) > 1:
        units = np.array([_unit(sums[g].sum(0)) for g in groups])
        alike = units @ units.T
        alike[np.tri(len(groups), dtype=bool)] = NEVER
        alike[:enrolled, :enrolled] = NEVER
        i, j = (int(k) for k in np.unravel_index(alike.argmax(), alike.shape))
        if alike[i, j] < same:
            break
        groups[i] += groups.pop(j)
    return groups


def _refined(groups: list[list[int]], units: Array, seconds: Array, enrolled: int) -> list[list[int]]:
    """Every bit once more, to the nearest group; enrolled ones and the only one of a group stay."""
    voices = np.array([_unit(seconds[g] @ units[g]) for g in groups])
    best = (units @ voices.T).argmax(1)
    again: list[list[int]] = [[] for _ in groups]
    for row, group in enumerate(groups):
        for bit in group:
            again[row if bit < enrolled or len(group) == 1 else int(best[bit])].append(bit)
    return [g for g in again if g]


def _confidence(number: int, likeness: Mapping[int, float], threshold: float) -> float:
    """How far the likeness to ``number`` is above the next voice's, or above what makes a voice known."""
    rival = max((value for i, value in likeness.items() if i != number), default=-1.0)
    own = likeness.get(number)
    margin = threshold - rival if own is None else own - max(rival, threshold)
    return float(1 / (1 + np.exp(-margin * np.log(3) / SPREAD)))


def _unit(v: Array) -> Array:
    return v / max(float(np.linalg.norm(v)), 1e-12)
