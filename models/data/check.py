"""What a corpus holds, and what of its test splits stands in training data, its own or another corpus's.

Words are compared without case and punctuation. Two utterances are the same if they are at least five words
long and alike; two dialogues, if all their words in sequence are (where the turns were cut does not matter).
Groups (an episode, a recording session) are the same by name, which corpora of one show share.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import combinations

import numpy as np

from models.data.corpus import UNLABELLED, Conversation, Corpus, DataError

LEAST_WORDS = 5  # shorter ones ("What do you mean?") come back by chance
KINDS = ("dialogue", "speaker", "group")

_DROPPED = re.compile(r"[^\w\s]|_")


@lru_cache(maxsize=1 << 18)  # every text is compared with several splits and corpora
def plain(text: str) -> str:
    """``text`` in lower case without punctuation, single spaces."""
    return " ".join(_DROPPED.sub("", text.lower()).split())


def sentence(text: str) -> str:
    """``text`` as `plain`, empty where it is too short to compare."""
    found = plain(text)
    return found if found.count(" ") >= LEAST_WORDS - 1 else ""


def sentences(c: Conversation) -> tuple[str, ...]:
    """Each utterance as `sentence`."""
    return tuple(map(sentence, c.texts))


def script(c: Conversation) -> str:
    """All words of a conversation in sequence, empty where they are too few to compare."""
    words = " ".join(filter(None, map(plain, c.texts)))
    return words if words.count(" ") >= LEAST_WORDS - 1 else ""


@dataclass(frozen=True, slots=True)
class Known:
    """What conversations hold, to be looked up."""

    groups: frozenset[str]
    speakers: frozenset[str]
    scripts: frozenset[str]
    sentences: frozenset[str]

    @classmethod
    def of(cls, conversations: Iterable[Conversation], *, words: bool = True) -> Known:
        """What ``conversations`` hold, without ``words`` nothing of what is said in them."""
        all_ = list(conversations)
        if not words:
            all_ = [replace(c, texts=()) for c in all_]
        return cls(
            frozenset(c.group for c in all_) - {""},
            frozenset(s for c in all_ for s in persons(c)),
            frozenset(map(script, all_)) - {""},
            frozenset(s for c in all_ for s in sentences(c)) - {""},
        )


def persons(c: Conversation) -> set[str]:
    """Speakers that are somebody: a number (``0``, ``1``) is an order of appearance, an empty name nobody."""
    return {s for s in c.speakers if s and not s.isdigit()}


@dataclass(frozen=True, slots=True)
class Shared:
    """What of some conversations stands in others: how many groups, speakers, dialogues and utterances."""

    groups: int = 0
    speakers: int = 0
    dialogues: int = 0
    utterances: int = 0

    def __bool__(self) -> bool:
        return any((self.groups, self.speakers, self.dialogues, self.utterances))


def shared(some: Sequence[Conversation], known: Known) -> Shared:
    """What of ``some`` is ``known``; dialogues and utterances are counted in ``some``."""
    return Shared(
        groups=len({c.group for c in some} & known.groups),
        speakers=len({s for c in some for s in persons(c)} & known.speakers),
        dialogues=sum(script(c) in known.scripts for c in some),
        utterances=sum(s in known.sentences for c in some for s in sentences(c)),
    )


@dataclass(frozen=True, slots=True)
class Gaps:
    """A modality's missing values: ``absent`` utterances without it, single ``missing`` values elsewhere."""

    width: int
    absent: int
    missing: int
    infinite: int


@dataclass(frozen=True, slots=True)
class Split:
    """Counts of one split; ``labels`` in the order of the corpus's, ``gaps`` by modality."""

    conversations: int
    utterances: int
    labelled: int
    labels: tuple[int, ...]
    speakers: int
    groups: int
    wordless: int
    gaps: dict[str, Gaps] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Summary:
    """A corpus by split, and what splits share (``within["test in train"]``)."""

    name: str
    labels: tuple[str, ...]
    licence: str
    commercial_use: str
    splits: dict[str, Split]
    within: dict[str, Shared]


def summary(corpus: Corpus) -> Summary:
    """Everything that is to be known of ``corpus`` alone."""
    splits = {s: _split(corpus, conversations) for s, conversations in corpus.splits.items()}
    known = {s: Known.of(c, words=not corpus.given_words) for s, c in corpus.splits.items() if c}
    within = {
        f"{second} in {first}": shared(corpus.splits[second], known[first])
        for first, second in combinations(known, 2)
    }
    return Summary(corpus.name, corpus.labels, corpus.licence, corpus.commercial_use, splits, within)


def _split(corpus: Corpus, conversations: Sequence[Conversation]) -> Split:
    labels = np.concatenate([c.labels_N for c in conversations] or [np.zeros(0, dtype=np.int64)])
    labelled = labels[labels != UNLABELLED]
    counts = np.bincount(labelled, minlength=len(corpus.labels)).tolist()
    return Split(
        conversations=len(conversations),
        utterances=len(labels),
        labelled=len(labelled),
        labels=tuple(counts),
        speakers=len({s for c in conversations for s in persons(c)}),
        groups=len({c.group for c in conversations} - {""}),
        wordless=sum(len(c) - sum(bool(plain(t)) for t in c.texts) for c in conversations),
        gaps=_gaps(conversations),
    )


def _gaps(conversations: Sequence[Conversation]) -> dict[str, Gaps]:
    out = {}
    for name in dict.fromkeys(n for c in conversations for n in c.features):
        rows_ND = np.concatenate([c.features[name] for c in conversations if name in c.features])
        missing_ND = np.isnan(rows_ND)
        absent_N = missing_ND.all(axis=1)
        lacking = sum(len(c) for c in conversations if name not in c.features)
        out[name] = Gaps(
            width=rows_ND.shape[1],
            absent=int(absent_N.sum()) + lacking,
            missing=int(missing_ND[~absent_N].sum()),
            infinite=int(np.isinf(rows_ND).sum()),
        )
    return out


def between(one: Corpus, other: Corpus) -> dict[str, Shared]:
    """What of each split of ``one`` stands anywhere in ``other``."""
    known = Known.of(c for conversations in other.splits.values() for c in conversations)
    return {
        split: shared(conversations, known) for split, conversations in one.splits.items() if conversations
    }


def assert_whole(corpus: Corpus) -> None:
    """Refuse a corpus in which something has no place: what a reader made of a file may have holes.

    Raises:
        DataError: a label that does not exist; rows, words or speakers that are not as many as utterances;
            features that are no table, are of several widths or not everywhere. The message names the
            conversation.
    """
    widths: dict[str, int] = {}
    names = {n for conversations in corpus.splits.values() for c in conversations for n in c.features}
    for c in (c for conversations in corpus.splits.values() for c in conversations):
        where = f"{corpus.name}: conversation {c.id}"
        known = (c.labels_N >= UNLABELLED) & (c.labels_N < len(corpus.labels))
        if not known.all():
            wrong = c.labels_N[~known][0]
            raise DataError(f"{where}: label {wrong}; the corpus has {len(corpus.labels)} labels")
        if lacking := sorted(names - c.features.keys()):
            raise DataError(f"{where}: no features {lacking[0]}, which others have; expected rows of NaN")
        counts = {"speakers": len(c.speakers), "labels": len(c.labels_N), "texts": len(c.texts) or len(c)}
        for name, rows_ND in c.features.items():
            if rows_ND.ndim != 2 or rows_ND.shape[1] != widths.setdefault(name, rows_ND.shape[-1]):
                want = f"[{len(c)}, {widths[name]}]" if name in widths else f"[{len(c)}, features]"
                raise DataError(f"{where}: {name} of shape {list(rows_ND.shape)}; expected {want}")
            counts[name] = len(rows_ND)
        if wrong_counts := [n for n, count in counts.items() if count != len(c)]:
            n = wrong_counts[0]
            raise DataError(f"{where}: {counts[n]} {n} for {len(c)} utterances")


def assert_disjoint(corpus: Corpus, by: Sequence[str] | None = None) -> None:
    """Refuse splits that share what they claim not to: ``corpus.disjoint_by``, or ``by`` of `KINDS`.

    ``"speaker"`` compares all splits with each other, ``"test speaker"`` test with the others.

    Raises:
        DataError: two splits share it; the message names the first few.
        ValueError: a claim that is none of `KINDS`.
    """
    for claim in corpus.disjoint_by if by is None else by:
        kind = claim.removeprefix("test ")
        if kind not in KINDS:
            raise ValueError(f"{claim!r}: splits can be disjoint by {', '.join(KINDS)}")
        names = {s: _names(kind, conversations) for s, conversations in corpus.splits.items()}
        for first, second in combinations(names, 2):
            if claim.startswith("test ") and "test" not in (first, second):
                continue
            if both := sorted(names[first] & names[second]):
                few = ", ".join(both[:3]) + (f" and {len(both) - 3} more" if len(both) > 3 else "")
                raise DataError(
                    f"{corpus.name}: {first} and {second} share the {kind} {few}; these splits must have no"
                    f" {kind} in common, or what is measured on {second} is not what new people would see"
                )


def _names(kind: str, conversations: Sequence[Conversation]) -> set[str]:
    if kind == "speaker":
        return {s for c in conversations for s in persons(c)}
    return {c.id if kind == "dialogue" else c.group for c in conversations} - {""}


@dataclass(frozen=True, slots=True)
class Dropped:
    """What training leaves out because it stands in dev or test of ``against``.

    ``conversations`` by reason (``group``, ``dialogue``, ``utterance``: nothing else was left to learn) and
    the single ``utterances`` whose label is hidden in conversations that stay; ``rows`` counts the labels
    lost in all.
    """

    train: str
    against: str
    conversations: dict[str, int]
    utterances: int
    rows: int

    def __str__(self) -> str:
        whole = sum(self.conversations.values())
        why = ", ".join(f"{n} by {kind}" for kind, n in self.conversations.items() if n)
        return (
            f"{self.train}: {self.rows} labels dropped that stand in dev or test of {self.against}"
            f" ({whole} conversations{f': {why}' if why else ''}; {self.utterances} single utterances)"
        )


def drop_leaks(train: Corpus, against: Corpus, by: Sequence[str] | None = None) -> tuple[Corpus, Dropped]:
    """``train`` without what stands in dev or test of ``against`` (which may be the same corpus).

    Conversations of the same group or the same words leave the train split; in others the label of a same
    utterance is hidden, so that it is context and never learnt. ``by`` names the reasons; by default all
    three between corpora, and not the group within one, where published splits may share episodes.
    """
    reasons = (
        by if by is not None else ("dialogue", "utterance") + (("group",) * (train.name != against.name))
    )
    if unknown := set(reasons) - {"group", "dialogue", "utterance"}:
        raise ValueError(f"{sorted(unknown)[0]!r}: leaks are found by group, dialogue or utterance")
    if train.given_words:
        reasons = tuple(r for r in reasons if r == "group")
    known = Known.of(c for s in ("dev", "test") for c in against.splits.get(s, ()))
    kept, gone, hidden, rows = [], Counter[str](), 0, 0
    for c in train.splits.get("train", ()):
        labelled = int((c.labels_N != UNLABELLED).sum())
        if "group" in reasons and c.group in known.groups:
            reason = "group"
        elif "dialogue" in reasons and script(c) in known.scripts:
            reason = "dialogue"
        else:
            c, reason, fewer = _hidden(c, known) if "utterance" in reasons else (c, "", 0)
            hidden += fewer if not reason else 0
            rows += fewer if not reason else 0
        if reason:
            gone[reason] += 1
            rows += labelled
        else:
            kept.append(c)
    report = Dropped(train.name, against.name, dict(gone), hidden, rows)
    return replace(train, splits={**train.splits, "train": tuple(kept)}), report


def _hidden(c: Conversation, known: Known) -> tuple[Conversation, str, int]:
    """``c`` with labels hidden of utterances that are known; a reason to drop it where none is left."""
    same_N = np.array([s in known.sentences for s in sentences(c)] or [False] * len(c), dtype=bool)
    before = c.labels_N != UNLABELLED
    fewer = int((same_N & before).sum())
    if not fewer:
        return c, "", 0
    labels_N = np.where(same_N, UNLABELLED, c.labels_N)
    reason = "" if (labels_N != UNLABELLED).any() else "utterance"
    return replace(c, labels_N=labels_N), reason, fewer
