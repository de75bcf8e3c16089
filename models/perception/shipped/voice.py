"""Voice: the test splits of RAVDESS and EmoDB as the shipped network hears them, beside MFCCs and an SVM.

Both are trained on the train splits of both corpora and know nothing of the test speakers (two actors, one
German). With so few, a figure is uncertain by ten points: the protocol over all speakers, and the targets of
which it decides, is ``python -m models.train_voice evaluate``.

What is heard of the clips is kept below ``runs/``, as training keeps it: the first time takes minutes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import from_numpy

from models.data.speech import RATE, clips, sounds
from models.encoders.voice import LABELS, VoiceEncoder, VoiceNet
from models.extras import install
from models.perception import voice_baseline as baseline
from models.perception.shipped.figures import OURS, TIMES, Figure, Say, Target, seed_of
from models.perception.voice import TESTED, Ints, Plan, Voices, accuracy, confusion
from models.train_voice import CACHE, Speech, by_corpus, splits, tested

PART = "voice"
COST = Target(3.0, at_most=True)
CHUNK = 512  # samples, what the segmenter passes on
EVERY = 20  # of the clips of RAVDESS, one in so many is timed
NAMES = {"ravdess": "ravdess, 7 classes", "emodb": "emodb, 6 classes"}


def figures(data: Path, weights: Path, say: Say) -> Iterator[Figure]:
    """Every figure of the part; a minute, and five more where the clips were not heard before.

    Raises:
        ValueError, CheckpointError: data or weights are missing or damaged.
    """
    path = weights / "voice.safetensors"
    net, seed = VoiceNet.load(path), seed_of(path)
    every = Speech.both(data, CACHE, say, tuple(TESTED.values()))
    voices = every.voices(LABELS, Plan(versions=1))
    split = splits(every, voices)
    size = sum(p.numel() for p in net.parameters())
    for (corpus, way), counts in tested(net, every, voices, split["test"], seed or 0).items():
        yield _figure(corpus, way, f"{OURS} voice network", counts, size, seed)
    say("MFCC and support vector machine")
    for (corpus, way), counts in _baseline(every, voices, split).items():
        yield _figure(corpus, way, "MFCC + SVM", counts)
    say("cost of the voice")
    share, ends = cost(net, sounds(data / "ravdess", clips(data / "ravdess")[::EVERY]))
    facts: dict[str, Any] = {"part": PART, "dataset": "ravdess", "model": f"{OURS} voice network"}
    facts |= {"protocol": "one core", "n": len(ends), "parameters": size, "seed": seed}
    yield Figure(metric="% of real time", value=share, target=COST, **facts)
    yield Figure(metric="ms at the end of an utterance", value=float(np.median(ends)), **facts)


def _figure(
    corpus: str, way: str, model: str, counts: Ints, parameters: int = 0, seed: int | None = None
) -> Figure:
    context, _, condition = way.partition(", ")
    return Figure(
        part=PART,
        dataset=NAMES[corpus],
        model=model,
        protocol="test split" + (f", {condition}" if condition else ""),
        metric="accuracy",
        value=accuracy(counts),
        n=int(counts.sum()),
        context=context,
        parameters=parameters,
        seed=seed,
    )


def _baseline(every: Speech, voices: Voices, split: dict[str, Ints]) -> dict[tuple[str, str], Ints]:
    """As `models.train_voice.tested`, in the ways that the baseline knows.

    Raises:
        ValueError: scikit-learn is not installed.
    """
    made = [voices.instead(baseline.mfcc(every.heard[c])) for c in TESTED.values()]
    train, test = split["train"], split["test"]
    out = {}
    for way in baseline.WAYS:
        try:
            said = baseline.guesses(made[0], made, train, test, way)
        except ImportError:
            raise ValueError(
                f"the baseline of the voice needs scikit-learn; run: {install('train')}"
            ) from None
        for condition, guess in zip(TESTED, said, strict=True):
            for corpus, at in by_corpus(voices, test).items():
                guessed = from_numpy(guess[np.isin(test, at)])
                out[corpus, way + condition] = confusion(F.one_hot(guessed, len(LABELS)), voices.label_N[at])
    return out


def cost(net: VoiceNet, clips: Iterable[NDArray[np.float32]]) -> tuple[float, list[float]]:
    """Processor time of hearing ``clips`` in chunks as they come live, with a reading every second: percent
    of their duration, and the milliseconds of the reading at the end of each; the least of `TIMES`."""
    spent, seconds, ends = 0.0, 0.0, []
    for pcm in clips:
        whole, end = (min(part) for part in zip(*(_heard(net, pcm) for _ in range(TIMES)), strict=True))
        spent, seconds = spent + whole, seconds + len(pcm) / RATE
        ends.append(1e3 * end)
    return 100 * spent / seconds, ends


def _heard(net: VoiceNet, pcm: NDArray[np.float32]) -> tuple[float, float]:
    """Processor seconds of a clip as it comes live, and of those the reading at its end."""
    encoder, start = VoiceEncoder(net), time.process_time()
    for turn, at in enumerate(range(0, len(pcm), CHUNK)):
        encoder.push(pcm[at : at + CHUNK])
        if turn % (RATE // CHUNK) == 0:
            encoder.read()
    pushed = time.process_time()
    encoder.read()
    end = time.process_time()
    return end - start, end - pushed
