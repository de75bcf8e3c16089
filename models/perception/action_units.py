"""Action units of RAVDESS clips as numbers to compare people by, and virtual faces for training.

The units of a clip are OpenFace's, averaged over it: 17 intensities (0..5) and 18 presences (0..1). No frames
are there, so that nothing is known of a face at rest but what other clips of the same person show.

Shape suffixes: V versions, N clips, A columns, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.data import ravdess
from models.data.corpus import DataError
from models.data.speech import Clip

Floats = NDArray[np.float64]

_EDGE = 0.02  # of a presence: a unit that is seen in fewer frames is as good as never seen
_LEAST = 0.05  # of an intensity


def units(data: Path, wanted: Sequence[Clip]) -> tuple[Floats, tuple[str, ...]]:
    """The columns ``[N, A]`` of each of ``wanted``, and their names (``AU01_r``, ...).

    Raises:
        DataError: the files are absent or damaged, or a clip has no action units.
    """
    corpus = ravdess.load(data)
    every = {c.id: c.features["visual"][0] for split in corpus.splits.values() for c in split}
    found_NA = np.array([every[c.path] for c in wanted], dtype=np.float64)
    if not np.isfinite(found_NA).all():
        lacking = wanted[int(np.flatnonzero(~np.isfinite(found_NA).all(1))[0])]
        raise DataError(f"{data / 'ravdess'}: {lacking.path} has no action units, or not all of them")
    return found_NA, corpus.measures["visual"]


def features(units_NA: Floats, names: Sequence[str]) -> Floats:
    """``[N, F]``: roots of the intensities (they are skewed), log odds of the presences, and how strong a
    unit is while it is there (the logarithm of its intensity for its presence)."""
    column = {name: units_NA[:, i] for i, name in enumerate(names)}
    strong = np.stack([np.sqrt(column[n]) for n in names if n.endswith("_r")], 1)
    often = np.clip(np.stack([column[n] for n in names if n.endswith("_c")], 1), _EDGE, 1 - _EDGE)
    both = [n[:-2] for n in names if n.endswith("_r") and f"{n[:-2]}_c" in column]
    while_there = [np.log((column[f"{n}_r"] + _LEAST) / (column[f"{n}_c"] + _LEAST)) for n in both]
    return np.concatenate([strong, np.log(often / (1 - often)), np.stack(while_there, 1)], 1)


def faces(
    features_NF: Floats, speakers: Sequence[str], known: Sequence[str], count: int, strength: float, seed: int
) -> Floats:
    """``[V, N, F]``: the clips as they are, and as ``count - 1`` other faces would have made them.

    In a version every face has another resting position and liveliness, the same in all its clips. Positions
    are drawn with the spread of the people ``known``, who must be those of training: mixtures of how far
    each of them is from their mean.
    """
    rng = np.random.default_rng(seed)
    names_N = np.array(speakers)
    own_PF = np.stack([features_NF[names_N == s].mean(0) for s in known])
    middle_F = own_PF.mean(0)
    out_VNF = np.repeat(features_NF[None], count, axis=0)
    for version in range(1, count):
        for s in sorted(set(speakers)):
            at = np.flatnonzero(names_N == s)
            mixture_P = rng.normal(0.0, strength / np.sqrt(len(known)), len(known))
            rest_F = features_NF[at].mean(0)
            lively = np.exp(rng.normal(0.0, 0.15)) * np.exp(rng.normal(0.0, 0.1, features_NF.shape[1]))
            moved_NF = (features_NF[at] - rest_F) * lively
            out_VNF[version, at] = rest_F + moved_NF + mixture_P @ (own_PF - middle_F)
    return out_VNF
