"""What the study runs: the rows of every table, in the order in which they are wanted.

Stages: ``a`` MOSI past-only and every host past-only with concat and the best LMAM; ``b`` full context;
``c`` LMAM's full weight, its repairs one by one, ranks, missing modalities, word errors. (The other tasks,
``d``, are `models.tasks`.) A run that stands in two tables is run once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from models.training.config import RunConfig, parse

SEEDS = (0, 1, 2, 3, 4)
TEN = tuple(range(10))
HOSTS = ("bc-lstm", "text-cnn", "dialogue-rnn", "dialogue-gcn", "mmgcn", "transformer", "speaker-gru")
BEST = "lmam"  # the low-rank form with its repairs: what "the best LMAM" of a table is
PLAIN = ("concat", "add", "gated", "tfn", "lmf", "self-attention", "cross-modal-attention", "cross-modal")
LMAMS = (
    "lmam-published",
    "lmam-published-temperature",
    "lmam-low-rank",
    "lmam",
    "lmam-all-memories",
    "mean",
)
LONG = frozenset((BEST, "concat", "cross-modal-attention", "cross-modal"))  # ten seeds on MOSI
RANKS = (4, 8, 16, 32, 64, 128)

RECIPES: dict[str, dict[str, Any]] = {
    "mosi": {
        "data": {"corpus": "mosi"},
        "model": {"dropout": 0.4},
        "train": {"epochs": 40, "lr": 5e-4, "patience": 10, "smoothing": 0.1},
    },
    "iemocap6": {
        "data": {"corpus": "iemocap6", "modalities": ["text", "audio"]},
        "model": {"dropout": 0.4},
        "train": {"epochs": 40, "lr": 1e-3, "patience": 8, "batch": 8, "smoothing": 0.1},
    },
    "meld": {
        "data": {"corpus": "meld", "modalities": ["text", "audio"]},
        "model": {"dropout": 0.4},
        "train": {"epochs": 25, "lr": 1e-3, "patience": 5, "batch": 32, "smoothing": 0.1},
    },
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of ``table``: ``config`` with each of ``seeds``; the first of a table is its baseline."""

    table: str
    stage: str
    name: str
    config: RunConfig
    seeds: tuple[int, ...] = SEEDS


def recipe(corpus: str, **changes: Any) -> RunConfig:
    """The recipe of ``corpus`` with ``changes`` by dotted key.

    Features of an encoder that was tuned on train get noise of their own size: of 0, 1 and 2 deviations the
    one that was best on IEMOCAP-6's dev.
    """
    if changes.get("data.text") == "tuned":
        changes.setdefault("train.feature_noise", {"text": 1.0})
    return parse(RECIPES[corpus], f"the study's recipe for {corpus}").replace(**changes)


def planned() -> list[Entry]:
    """Every row of every table, as they stand there: the fusions of a host together."""
    return [*mosi(), *repairs(), *ranks(), *hosts(), *missing(), *word_errors()]


def entries() -> list[Entry]:
    """The same by stage, as they are run."""
    return sorted(planned(), key=lambda e: e.stage)


def mosi() -> Iterator[Entry]:
    """Three real modalities: every fusion in three hosts, past-only and with full context."""
    for context, stage in (("past", "a"), ("full", "b")):
        for host in ("bc-lstm", "transformer", "speaker-gru"):
            if context == "full" and host == "speaker-gru":
                continue  # a host of ours beside the two that everything is compared in: past-only is enough
            common = {"model.host": host, "model.context": context}
            table = f"mosi-{host}-{context}"
            for fusion in (*PLAIN, *LMAMS):
                seeds = TEN if fusion in LONG and context == "past" else SEEDS
                yield Entry(table, stage, fusion, recipe("mosi", **common, **{"model.fusion": fusion}), seeds)
            text = recipe("mosi", **common, **{"model.fusion": "add", "data.modalities": ["text"]})
            yield Entry(table, stage, "text only", text)


def repairs() -> Iterator[Entry]:
    """The repairs of LMAM's known weaknesses one by one, on MOSI."""
    published = {"rank": None, "squash": "tanh", "memory": "text", "sharing": "one"}
    forms: dict[str, dict[str, Any]] = {
        "published (equations 1-5)": published,
        "+ temperature": {**published, "squash": "temperature"},
        "+ temperature on the tanh": {**published, "squash": "tanh+temperature"},
        "+ no squashing": {**published, "squash": "none"},
        "+ a value stream for each modality": {**published, "memory": "all"},
        "+ low rank (16)": {**published, "rank": 16},
        "+ low rank, shared V with a U for each modality": {**published, "rank": 16, "sharing": "modality"},
        "all of them": {"rank": 16, "squash": "temperature", "memory": "all", "sharing": "modality"},
        "all but the value streams (lmam)": {"rank": 16},
    }
    for context in ("full", "past"):  # the causal window is a repair, too
        for name, options in forms.items():
            changes = {"model.host": "bc-lstm", "model.context": context, "model.fusion": "lmam"}
            kept = {k: v for k, v in options.items() if v is not None}
            if options.get("rank", 16) is None:
                changes["model.fusion"] = "lmam-published"
            yield Entry(
                f"mosi-repairs-{context}",
                "c",
                name,
                recipe("mosi", **changes, **{"model.fusion_options": kept}),
            )


def ranks() -> Iterator[Entry]:
    """Rank 4 to 128 on MOSI, past-only."""
    for rank in RANKS:
        changes = {"model.host": "bc-lstm", "model.fusion": BEST, "model.fusion_options": {"rank": rank}}
        yield Entry("mosi-rank", "c", f"rank {rank}", recipe("mosi", **changes))


def hosts() -> Iterator[Entry]:
    """IEMOCAP-6 and MELD: every host with concat and with LMAM, frozen and tuned words."""
    for corpus in ("iemocap6", "meld"):
        yield from _layers(corpus)
        for text in ("tuned", "frozen"):
            for context, stage in (("past", "a"), ("full", "b")):
                table = f"{corpus}-{text}-{context}"
                for host in HOSTS:
                    for fusion in ("concat", BEST):
                        yield _host(table, stage, corpus, text, context, host, fusion)
                    for fusion in ("lmam-published", "lmam-low-rank"):
                        yield _host(table, "c", corpus, text, context, host, fusion)
                if context == "past":
                    for host in ("speaker-gru", "transformer"):
                        yield _host(table, "a", corpus, text, context, host, "mean")
                        yield _host(table, "a", corpus, text, context, host, "text only")


def _layers(corpus: str) -> Iterator[Entry]:
    """Frozen words read from four layers: fewer hosts, those that did best with the last layer alone."""
    table, text = f"{corpus}-frozen-layers-past", "frozen-layers"
    for host in ("bc-lstm", "dialogue-rnn", "transformer", "speaker-gru"):
        for fusion in ("concat", BEST):
            yield _host(table, "a", corpus, text, "past", host, fusion)
    yield _host(table, "a", corpus, text, "past", "speaker-gru", "text only")


def _host(table: str, stage: str, corpus: str, text: str, context: str, host: str, fusion: str) -> Entry:
    changes: dict[str, Any] = {"data.text": text, "model.host": host, "model.context": context}
    if fusion == "text only":
        changes |= {"model.fusion": "add", "data.modalities": ["text"]}
    else:
        changes["model.fusion"] = fusion
    return Entry(table, stage, f"{host} {fusion}", recipe(corpus, **changes))


def missing() -> Iterator[Entry]:
    """Each modality missing from the beginning, on MOSI (at test time it is in every row's figures)."""
    subsets = (
        ("text", "audio", "visual"),
        ("text", "audio"),
        ("text", "visual"),
        ("audio", "visual"),
        ("text",),
        ("audio",),
        ("visual",),
    )
    for subset in subsets:
        for fusion in ("concat", BEST):
            changes = {
                "model.host": "bc-lstm",
                "model.fusion": fusion,
                "data.modalities": list(subset),
            }
            yield Entry("mosi-missing", "c", f"{' + '.join(subset)}, {fusion}", recipe("mosi", **changes))


def word_errors() -> Iterator[Entry]:
    """Words as a recogniser gets them: trained on gold words and on wrong ones, tested at 0 to 30 %."""
    for corpus in ("iemocap6", "meld"):
        for trained in (0.0, 0.15):
            for fusion in ("concat", BEST):
                changes = {
                    "data.text": "tuned",
                    "data.word_errors": [0.1, 0.2, 0.3],
                    "data.train_word_errors": trained,
                    "model.host": "speaker-gru",
                    "model.fusion": fusion,
                }
                name = f"{fusion}, trained with {trained:.0%} word errors"
                yield Entry(f"{corpus}-word-errors", "c", name, recipe(corpus, **changes))
