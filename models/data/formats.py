"""A corpus from any path in a known format; which one is seen from what lies there."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.data import extracted, gcnet, meld_raw, tuples, ur_funny
from models.data.check import assert_disjoint, assert_whole
from models.data.corpus import Corpus, DataError

KNOWN = (
    "a folder that 'lmam data extract' made (corpus.json); a feature pickle of MMGCN, MM-DFN, DialogueGCN,"
    " COSMIC, M3Net or SDT (.pkl); a folder of GCNet (*_features_raw*.pkl and features/); a folder of"
    " UR-FUNNY (data_folds.pkl); MELD.Raw (train_sent_emo.csv)"
)


def read(path: Path, **options: Any) -> Corpus:
    """The corpus at ``path``; ``options`` go to the reader of its format (`tuples.read`, `gcnet.read`).

    Raises:
        DataError: nothing there, or in no known format; the message says what was expected.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; expected {KNOWN}")
    reader = _reader(path)
    try:
        inspect.signature(reader).bind(path, **options)
    except TypeError as error:
        raise DataError(f"{path}: its format ({reader.__module__.rpartition('.')[2]}) {error}") from error
    try:
        corpus = reader(path, **options)
        assert_whole(corpus)
        assert_disjoint(corpus)
        return corpus
    except DataError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
        # Values of any kind may stand anywhere in somebody's file; no list of them would be complete.
        raise DataError(
            f"{path}: something in it is of another kind than its format has there"
            f" ({type(error).__name__}: {error}); expected {KNOWN}"
        ) from error


def _reader(path: Path) -> Callable[..., Corpus]:
    if path.is_file():
        return tuples.read
    if (path / extracted.MANIFEST).is_file():
        return extracted.read
    if (path / ur_funny.FOLDS).is_file():
        return ur_funny.read
    if gcnet.labels_file(path) is not None:
        return gcnet.read
    if any(meld_raw.label_file(path, name) for name, _ in meld_raw.SPLITS.values()):
        return meld_raw.read
    found = ", ".join(sorted(p.name for p in path.iterdir())[:8]) or "nothing"
    raise DataError(f"{path}: in no known format (found {found}); expected {KNOWN}")
