"""The feature pickles that research code shares: one tuple of dictionaries by dialogue.

Told apart by length and by which fields are dictionaries:

* DialogueRNN, DialogueGCN, MMGCN, MM-DFN: ``IEMOCAP_features.pkl``, ``MELD_features_raw1.pkl`` (and without
  pictures ``MELD_features_raw.pkl``);
* COSMIC: ``iemocap_features_roberta.pkl`` and its like for MELD, EmoryNLP and DailyDialog: four RoBERTa
  layers;
* M3Net, SDT: ``iemocap_multimodal_features.pkl``, ``meld_multimodal_features.pkl``: both together.

Shape suffixes: N utterances, D features of a modality.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data import pickles, table
from models.data.corpus import UNLABELLED, Conversation, Corpus, DataError

Floats = NDArray[np.float32]

# Names of the label numbers in these files, which differ from our own readers' order.
LABELS = {
    "iemocap": ("happy", "sad", "neutral", "angry", "excited", "frustrated"),
    "meld": ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"),
    "emorynlp": ("Joyful", "Mad", "Peaceful", "Neutral", "Sad", "Powerful", "Scared"),
    "dailydialog": ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"),
}
LICENCES = {
    "iemocap": "IEMOCAP (USC, signed research licence); evaluation only",
    "meld": "GPL-3.0 (labels); TV-show content, research",
    "emorynlp": "Apache-2.0 (labels); TV-show content, research",
    "dailydialog": "CC BY-NC-SA 4.0, research",
}
MELD_DEV = range(1039, 1153)  # MELD's dialogues are numbered through; dev stands with train in these files
DEV_SHARE, DEV_SEED = 0.1, 0
LAYERS = ("text", "text2", "text3", "text4")
COMBINED = ("mean", "concat", "first")

_MULTIMODAL = ("ids", "speakers", "labels", "text", "audio", "visual", "sentences", "train", "test")
_ROBERTA = (*LAYERS, "sentences", "train", "test", "dev")
_BOTH = ("ids", "speakers", "labels", *LAYERS, "audio", "visual", "sentences", "train", "test")
# "-" stands for a dictionary that is not read: labels of sentiment
LAYOUTS = {
    "MMGCN, MM-DFN and DialogueGCN (IEMOCAP)": _MULTIMODAL,
    "MMGCN and MM-DFN (MELD)": (*_MULTIMODAL, "-"),
    "DialogueRNN and DialogueGCN (MELD)": (
        *("ids", "speakers", "labels", "text", "audio", "sentences", "train", "test", "-"),
    ),
    "COSMIC": ("speakers", "labels", *_ROBERTA),
    "COSMIC (MELD)": ("speakers", "labels", "-", *_ROBERTA),
    "M3Net and SDT (IEMOCAP)": _BOTH,
    "M3Net and SDT (MELD)": (*_BOTH, "-"),
}


@dataclass(frozen=True, slots=True)
class Fields:
    """The parts of such a tuple by name; ``where`` is the file, for messages."""

    where: Path
    by_name: Mapping[str, Any]

    def of(self, name: str, id_: Any) -> Any:
        """The entry of dialogue ``id_`` in the dictionary ``name``."""
        try:
            return self.by_name[name][id_]
        except KeyError:
            raise DataError(f"{self.where}: dialogue {id_!r} has no {name}") from None


def read(path: Path, corpus: str | None = None, layers: str = "mean") -> Corpus:
    """The corpus in the feature pickle ``path``.

    Args:
        path: the file; see the module for the layouts.
        corpus: which data set it is of (`LABELS`), where its name does not say so.
        layers: what becomes of four RoBERTa layers: their ``mean``, each standardised on train first; all of
            them (``concat``), or the ``first``.

    Raises:
        DataError: the file is missing or damaged, has another layout, or holds more than data.
    """
    if layers not in COMBINED:
        raise DataError(f"layers {layers!r}: expected one of {', '.join(COMBINED)}")
    what = "a feature pickle of MMGCN, MM-DFN, DialogueGCN, COSMIC, M3Net or SDT"
    fields = _fields(path, pickles.load(path, what))
    name = corpus or _named(path, fields)
    if name is not None and name not in LABELS:
        raise DataError(f"no names for the labels of {name!r}; there are those of {', '.join(LABELS)}")
    splits = {
        split: tuple(_conversation(fields, id_) for id_ in ids)
        for split, ids in splits_of(fields.by_name, name).items()
    }
    labels = LABELS.get(name or "") or _numbered(splits)
    _in_range(path, splits, labels)
    if "text4" in fields.by_name:
        splits = _combined(splits, layers)
    return Corpus(
        name or path.stem,
        labels,
        splits,
        licence=LICENCES.get(name or "", "that of the file's publisher"),
        commercial_use="no" if name else "unclear",
        disjoint_by=("dialogue", "test speaker") if name == "iemocap" else ("dialogue",),
    )


def _fields(path: Path, value: Any) -> Fields:
    if isinstance(value, (tuple, list)):
        for names in LAYOUTS.values():
            if len(value) == len(names) and all(
                isinstance(part, Mapping) == (name not in {"train", "test", "dev"})
                for name, part in zip(names, value, strict=True)
            ):
                return Fields(path, dict(zip(names, value, strict=True)))
        found = f"a tuple of {len(value)} ({', '.join(type(p).__name__ for p in value[:14])})"
    else:
        found = f"a {type(value).__name__}"
    known = "; ".join(f"{name}: {len(fields)} ({', '.join(fields)})" for name, fields in LAYOUTS.items())
    raise DataError(
        f"{path}: {found}; expected a tuple of dictionaries by dialogue and lists of dialogues: {known}"
    )


def _named(path: Path, fields: Fields) -> str | None:
    """The data set by the name of the file or of its dialogues."""
    if any(str(id_).startswith("Ses0") for id_ in fields.by_name["labels"]):
        return "iemocap"
    return next((name for name in LABELS if name in path.name.lower()), None)


def splits_of(by_name: Mapping[str, Any], name: str | None = None) -> dict[str, list[Any]]:
    """Dialogue ids by split; dev as given, as published (MELD), or a tenth of train drawn by a fixed seed."""
    train, test = _ordered(by_name["train"]), _ordered(by_name["test"])
    if "dev" in by_name:
        dev = _ordered(by_name["dev"])
    elif name == "meld":
        dev = [id_ for id_ in train if id_ in MELD_DEV]
    else:
        dev = []
    if not dev:
        dev = sorted(random.Random(DEV_SEED).sample(train, round(DEV_SHARE * len(train))), key=train.index)
    taken = set(dev)
    return {"train": [id_ for id_ in train if id_ not in taken], "dev": dev, "test": test}


def _ordered(ids: Iterable[Any]) -> list[Any]:
    """Ids as given; a set, whose order changes from run to run, sorted."""
    plain = [i.item() if isinstance(i, np.generic) else i for i in ids]
    return sorted(plain, key=lambda i: (str(type(i)), i)) if isinstance(ids, (set, frozenset)) else plain


def _conversation(fields: Fields, id_: Any) -> Conversation:
    given_N = np.nan_to_num(np.asarray(fields.of("labels", id_), dtype=np.float64), nan=UNLABELLED)
    labels_N = given_N.astype(np.int64).reshape(-1)
    texts = tuple(table.tidy(str(t)) for t in fields.of("sentences", id_))
    ids = fields.of("ids", id_) if "ids" in fields.by_name else range(len(labels_N))
    features = {
        name: rows(fields.of(name, id_), f"{fields.where}: {name} of dialogue {id_!r}")
        for name in (*LAYERS, "audio", "visual")
        if name in fields.by_name
    }
    speakers = tuple(speaker(s, str(id_)) for s in fields.of("speakers", id_))
    counts = {"speakers": len(speakers), "sentences": len(texts), **{n: len(x) for n, x in features.items()}}
    for what, count in counts.items():
        if count != len(labels_N):
            raise DataError(f"{fields.where}: dialogue {id_!r} has {len(labels_N)} labels and {count} {what}")
    return Conversation(
        str(id_),
        tuple(f"{id_}_{u}" if isinstance(u, (int, np.integer)) else str(u) for u in ids),
        speakers,
        np.where(labels_N < 0, UNLABELLED, labels_N),
        texts,
        features,
        group=session(str(id_)),
    )


def rows(value: Any, where: str) -> Floats:
    """``value``, an array or a list of rows, as float32 ``[N, D]``.

    Raises:
        DataError: it is not a table of numbers.
    """
    try:
        out = np.asarray([np.asarray(row, dtype=np.float32) for row in value], dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise DataError(f"{where}: {error}; expected rows of numbers of one length") from error
    if out.ndim != 2:
        raise DataError(f"{where}: shape {list(out.shape)}; expected [utterances, features]")
    return out


def session(id_: str) -> str:
    """The recording session of an IEMOCAP dialogue, which has speakers of its own; "" for other ids."""
    return id_[:5] if id_.startswith("Ses0") else ""


def speaker(value: Any, id_: str) -> str:
    """One-hot rows as their place, IEMOCAP's F and M as the actor, others as they are."""
    if np.ndim(value) == 1:
        return str(int(np.argmax(value)))
    name = str(value)
    return f"{session(id_)}{name}" if session(id_) else name if name.isdigit() else f"{id_} {name}"


def _numbered(splits: Mapping[str, Sequence[Conversation]]) -> tuple[str, ...]:
    highest = max((int(c.labels_N.max()) for cs in splits.values() for c in cs if len(c)), default=0)
    return tuple(map(str, range(highest + 1)))


def _in_range(path: Path, splits: Mapping[str, Sequence[Conversation]], labels: Sequence[str]) -> None:
    for c in (c for conversations in splits.values() for c in conversations):
        if (c.labels_N >= len(labels)).any():
            raise DataError(
                f"{path}: dialogue {c.id} has label {c.labels_N.max()}; expected 0 to {len(labels) - 1}"
            )


def _combined(
    splits: Mapping[str, tuple[Conversation, ...]], how: str
) -> dict[str, tuple[Conversation, ...]]:
    """One ``text`` of the four layers."""
    scale = {}
    for name in LAYERS:
        x_ND = np.concatenate([c.features[name] for c in splits["train"]])
        scale[name] = (x_ND.mean(0), np.maximum(x_ND.std(0), 1e-6))

    def one(c: Conversation) -> Conversation:
        layers = [c.features[name] for name in LAYERS]
        if how == "first":
            text_ND = layers[0]
        elif how == "concat":
            text_ND = np.concatenate(layers, 1)
        else:
            z = [(x - scale[n][0]) / scale[n][1] for n, x in zip(LAYERS, layers, strict=True)]
            text_ND = np.mean(z, 0, dtype=np.float32)
        others = {n: x for n, x in c.features.items() if n not in LAYERS}
        return replace(c, features={"text": text_ND, **others})

    return {split: tuple(map(one, conversations)) for split, conversations in splits.items()}
