"""Speech that a machine made, which says nothing of a mood: espeak-ng speaks sentences of MELD.

The voice network knows people who act. Of a synthesiser it reads something, too, and a fusion that only ever
met people would believe it. So in a part of the synthetic pairs (`models.synthetic_voices`) somebody speaks
with a machine's voice, whatever they express, and the fusion learns to go by words and face there. Robots and
agents hear other machines; so does the demonstration.

Voices of train, dev and test are different ones; pitch and speed are drawn for each sentence, without regard
to what it says.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.encoders.hearing import Hearing
from models.encoders.voice_statistics import statistics
from models.hear import sentences, speak
from models.perception import voice_features
from models.perception.voice_features import changes, spoken
from models.whole import whole

Floats = NDArray[np.float64]

VOICES = {
    "train": ("en-us", "en-gb+f4", "en-us+m3", "en-us+f3", "en-gb+m7"),
    "dev": ("en-us+f1", "en-gb+m4"),
    "test": ("en-us+f2", "en-us+m1"),  # those of the bundled sample
}
EACH = 40  # sentences of a voice
SPEEDS, PITCHES = (130, 190), (30, 70)  # words a minute; espeak-ng's scale of 0 to 99


@dataclass(frozen=True, slots=True, eq=False)
class Machines:
    """What was heard of ``N`` sentences in ``V`` versions: statistics ``[V, N, S]``, measures ``[V, N, A]``
    and the voice of each."""

    statistics_VNS: Floats
    measures_VNA: Floats
    voices: tuple[str, ...]


def machines(
    data: Path, split: str, conditions: Sequence[str], cache: Path, tell: Callable[[str], None]
) -> Machines:
    """The voices of ``split`` (train, dev, test) under each of ``conditions``; from ``cache`` where there.

    Raises:
        ValueError: the data are missing or damaged, or espeak-ng is not installed.
    """
    voices = tuple(v for v in VOICES[split] for _ in range(EACH))
    path = cache / f"machines-{split}-{_digest(conditions)}.npz"
    if not path.exists():
        texts, random_ = sentences(data, len(voices), seed=tuple(VOICES).index(split)), random.Random(split)
        change = [changes(data, c) for c in conditions]
        rng = np.random.default_rng(0)
        heard = []
        for text, voice in zip(texts, voices, strict=True):
            said = speak(text, random_.randint(*SPEEDS), voice, random_.randint(*PITCHES))
            pcm = np.asarray(said, np.float32) / np.float32(32768)
            heard.append([_hear(c(pcm, rng)[spoken(pcm)], text) for c in change])
            if len(heard) % 50 == 0:
                tell(f"machine voices, {split}: {len(heard)} of {len(voices)} sentences heard")
        rows = list(zip(*heard, strict=True))
        with whole(path) as part, part.open("wb") as file:
            np.savez(
                file,
                statistics=[[s for s, _ in version] for version in rows],
                measures=[[m for _, m in version] for version in rows],
            )
    with np.load(path) as stored:
        return Machines(stored["statistics"], stored["measures"], voices)


def _hear(pcm: NDArray[np.float32], text: str) -> tuple[Floats, Floats]:
    ear = Hearing()
    ear.push(pcm)
    found = ear.heard()
    if found is None:
        raise ValueError(f"espeak-ng said {text!r} and nothing was heard of it; is it a working one?")
    return statistics(found), found.measures


def _digest(conditions: Sequence[str]) -> str:
    """Changes with what is said and heard, and with any line of the code that does it."""
    code = [Path(m.__file__ or "").read_bytes() for m in (*voice_features.SOURCES, voice_features)]
    return hashlib.sha256(
        repr((VOICES, EACH, SPEEDS, PITCHES, tuple(conditions))).encode() + b"".join(code)
    ).hexdigest()[:12]
