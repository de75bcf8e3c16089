"""What everybody would try first: mean and deviation of MFCCs and their slopes, and a support vector machine.

It hears the same stretches of speech as the network, so that the two differ in nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.encoders.voice_statistics import COSINES_BC, Heard
from models.perception.voice import Voices, known

Floats = NDArray[np.float64]
WAYS = ("live", "offline")


def mfcc(found: Sequence[Heard]) -> Floats:
    """``[N, 80]``: mean and standard deviation of 20 cepstra and of their slopes."""
    rows = []
    for heard in found:
        cepstra = heard.mel_TB.astype(np.float64) @ COSINES_BC
        slopes = np.gradient(cepstra, axis=0)
        rows.append(np.concatenate([f(x, axis=0) for x in (cepstra, slopes) for f in (np.mean, np.std)]))
    return np.stack(rows)


def guesses(
    voices: Voices, tests: Sequence[Voices], train: NDArray[np.int64], test: NDArray[np.int64], way: str
) -> list[NDArray[np.int64]]:
    """What the machine trained on the clips ``train`` says of the clips ``test``, in each of ``tests``.

    Offline, every statistic is a z-score over all clips of its speaker; live, nothing is normalised.
    """
    from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
    from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]
    from sklearn.svm import SVC  # type: ignore[import-untyped]

    machine = make_pipeline(StandardScaler(), SVC(C=3.0))
    machine.fit(_scaled(voices, way)[train], voices.label_N[train])
    return [np.asarray(machine.predict(_scaled(each, way)[test])) for each in tests]


def _scaled(voices: Voices, way: str) -> Floats:
    x_NS = voices.statistics_VNS[0]
    if way == "live":
        return np.asarray(x_NS)
    count, mean, square = (part[0] for part in known(voices, way, np.random.default_rng(0)))
    return np.asarray((x_NS - mean) / (np.sqrt(square / count) + 1e-6))
