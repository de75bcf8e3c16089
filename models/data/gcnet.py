"""The folders of GCNet (Lian et al. 2023): one ``.npy`` file an utterance, a pickle with labels and splits.

    IEMOCAPSix/
        IEMOCAP_features_raw_6way.pkl
        features/
            deberta-large-4-UTT/Ses01F_impro01_F000.npy     [D] or [time, D]
            wav2vec-large-c-UTT/Ses01F_impro01_F000.npy
            manet_UTT/Ses01F_impro01_F000/face_00_F.npy     a folder of faces, or one file

The pickle is a tuple of dictionaries by dialogue (ids, labels, speakers, sentences) and of sets of dialogues
(train and test, or train, dev and test).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data import pickles, table, tuples
from models.data.corpus import UNLABELLED, Conversation, Corpus, DataError

Floats = NDArray[np.float32]

# Beginnings or parts of the names of feature folders, by modality.
KINDS = {
    "text": ("bert", "deberta", "electra", "roberta", "sentence", "bge", "llama", "glove", "text"),
    "audio": ("wav2vec", "hubert", "whisper", "wavlm", "vggish", "egemaps", "is09", "is10", "comp", "audio"),
    "visual": ("manet", "resnet", "densenet", "senet", "emonet", "clip", "vit", "dino", "openface", "video"),
}
LABELS = {4: ("happy", "sad", "neutral", "angry"), 6: tuples.LABELS["iemocap"]}
SENTIMENT = ("negative", "positive")  # of the sign of a strength in [-3, 3]; 0 is neither and not scored


def read(folder: Path, features: Mapping[str, str] | None = None) -> Corpus:
    """The corpus in ``folder``.

    Args:
        folder: holds one ``*_features_raw*.pkl`` and ``features/``.
        features: which folder below ``features/`` is which modality, where that is not plain from the names.

    Raises:
        DataError: a file is missing or damaged, or a folder's modality is not plain.
    """
    path = labels_file(folder)
    if path is None:
        raise DataError(
            f"{folder}: no *_features_raw*.pkl; expected the labels and splits of GCNet's folders"
        )
    parts = _parts(path)
    roots = _roots(folder / "features", features)
    widths = {m: _width(root) for m, root in roots.items()}
    splits = {
        split: tuple(_conversation(path, parts, id_, roots, widths) for id_ in ids)
        for split, ids in tuples.splits_of(parts).items()
    }
    iemocap = any(tuples.session(c.id) for cs in splits.values() for c in cs)
    return Corpus(
        folder.name,
        _labels(path, parts),
        splits,
        licence=tuples.LICENCES["iemocap"] if iemocap else "that of the file's publisher",
        commercial_use="no" if iemocap else "unclear",
        disjoint_by=("dialogue", "test speaker") if iemocap else ("dialogue",),
    )


def labels_file(folder: Path) -> Path | None:
    """The pickle that such a folder is known by, if there is one."""
    return next(iter(sorted(folder.glob("*_features_raw*.pkl"))), None)


def _parts(path: Path) -> dict[str, Any]:
    value = pickles.load(path, "labels and splits of GCNet")
    names = ["ids", "labels", "speakers", "sentences", "train", "test"]
    if isinstance(value, (tuple, list)) and len(value) == 7:
        names.insert(5, "dev")
    fits = isinstance(value, (tuple, list)) and len(value) == len(names)
    if not fits or not all(isinstance(p, Mapping) for p in value[:4]):
        found = f"{type(value).__name__} of {len(value)}" if hasattr(value, "__len__") else repr(type(value))
        raise DataError(
            f"{path}: a {found}; expected a tuple of four dictionaries by dialogue (ids, labels, speakers,"
            " sentences) and the dialogues of train and test, or of train, dev and test"
        )
    return dict(zip(names, value, strict=True))


def _roots(folder: Path, named: Mapping[str, str] | None) -> dict[str, Path]:
    if named is not None:
        roots = {modality: folder / name for modality, name in named.items()}
    else:
        roots = {}
        for path in sorted(p for p in folder.glob("*") if p.is_dir()):
            kinds = [m for m, parts in KINDS.items() if any(part in path.name.lower() for part in parts)]
            if len(kinds) != 1 or kinds[0] in roots:
                raise DataError(
                    f"{path}: which modality is it, and which folder of several? Say so with features ="
                    ' {text = "...", audio = "...", visual = "..."}'
                )
            roots[kinds[0]] = path
    if unknown := set(roots) - set(KINDS):
        raise DataError(f"no modality {sorted(unknown)[0]!r}; there are {', '.join(KINDS)}")
    for path in roots.values():
        if not path.is_dir():
            raise DataError(f"{path}: no such folder of features")
    if not roots:
        raise DataError(f"{folder}: no folder of features; expected one for each modality")
    return roots


def _width(root: Path) -> int:
    first = next(iter(sorted(root.rglob("*.npy"))), None)
    if first is None:
        raise DataError(f"{root}: no .npy file; expected one an utterance")
    return int(_array(first).shape[-1])


def _conversation(
    path: Path, parts: Mapping[str, Any], id_: Any, roots: Mapping[str, Path], widths: Mapping[str, int]
) -> Conversation:
    try:
        ids = tuple(map(str, parts["ids"][id_]))
        labels, names, said = (list(parts[k][id_]) for k in ("labels", "speakers", "sentences"))
    except KeyError:
        raise DataError(f"{path}: dialogue {id_!r} lacks ids, labels, speakers or sentences") from None
    if not len(ids) == len(labels) == len(names) == len(said):
        raise DataError(
            f"{path}: dialogue {id_!r} has {len(ids)} ids, {len(labels)} labels, {len(names)} speakers and"
            f" {len(said)} sentences"
        )
    speakers = tuple(str(n) for n in names)
    features = {
        m: np.stack([_utterance(root, u, who, widths[m]) for u, who in zip(ids, speakers, strict=True)])
        for m, root in roots.items()
    }
    return Conversation(
        str(id_),
        ids,
        tuple(tuples.speaker(n or "speaker", str(id_)) for n in speakers),
        np.array([_label(y) for y in labels], dtype=np.int64),
        tuple(table.tidy(str(t)) for t in said),
        features,
        group=tuples.session(str(id_)),
    )


def _label(value: Any) -> int:
    """A class as it is; a strength of sentiment (a fraction) as its sign."""
    if isinstance(value, (float, np.floating)):
        return UNLABELLED if value == 0 else int(value > 0)
    return int(value) if int(value) >= 0 else UNLABELLED


def _labels(path: Path, parts: Mapping[str, Any]) -> tuple[str, ...]:
    values = [y for ys in parts["labels"].values() for y in ys]
    if any(isinstance(y, (float, np.floating)) for y in values):
        return SENTIMENT
    highest = max((int(y) for y in values), default=0)
    way = next((n for n in LABELS if f"{n}way" in path.stem), None)
    if way is not None and highest < way:
        return LABELS[way]
    return tuple(map(str, range(highest + 1)))


def _utterance(root: Path, name: str, who: str, width: int) -> Floats:
    """The mean ``[D]`` of a file ``[D]`` or ``[time, D]``, or of the faces in a folder; NaN without a face.

    Where the names of a folder's faces say whose they are (F, M), those of the speaker ``who`` are taken.
    """
    file, faces = root / f"{name}.npy", root / name
    if file.is_file():
        x = _array(file)
    elif faces.is_dir():
        found = sorted(faces.glob("*.npy"))
        if who in {"F", "M"} and any(c in p.stem for p in found for c in "FM"):
            found = [p for p in found if ("F" if "F" in p.stem else "M") == who]
        x = np.concatenate([np.atleast_2d(_array(p)) for p in found]) if found else np.zeros((0, width))
    else:
        raise DataError(f"{file}: not found; expected the features of utterance {name} there or in {faces}/")
    x = x.reshape(-1, x.shape[-1])
    if x.shape[1] != width:
        raise DataError(f"{file}: {x.shape[1]} features; the others in {root.name} have {width}")
    return x.mean(0).astype(np.float32) if len(x) else np.full(width, np.nan, dtype=np.float32)


def _array(path: Path) -> NDArray[Any]:
    try:
        x: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not a readable array of numbers ({error})") from error
    if x.dtype.kind not in "fiu" or x.ndim == 0:
        raise DataError(f"{path}: {x.dtype} of shape {list(x.shape)}; expected numbers [D] or [time, D]")
    return x
