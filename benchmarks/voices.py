"""How alike one voice stays when what it expresses changes: cosines of the speaker encoder over acted speech.

    OMP_NUM_THREADS=1 python -m benchmarks.voices --data ../shared/data [--weights FILE]

Clips of the last ten actors of RAVDESS, from whom `benchmarks.speakers` joins its conversations.
Pairs of vectors are of one actor or two, in one emotion or two; a vector is one clip, or the mean of four of one emotion.
``error``: the share of pairs that is judged wrongly at the best single threshold, where pairs of one actor and of two
count alike (equal error rate). 50 % is chance.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from models.checkpoint import CheckpointError
from models.encoders.speaker import SpeakerNet
from streamer.speakers.voice import Encoder, listen
from streamer.types import Floats

from .conversations import people

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")


def vectors(data: Path, encode: Encoder, together: int) -> tuple[Floats, list[str], list[str]]:
    """Means of ``together`` clips ``[n, D]``, of unit length, their actors and emotions."""
    rows, actors, emotions = [], [], []
    for emotion in EMOTIONS:
        spoken = people(data, "ravdess", (emotion,))
        for actor in sorted(spoken)[-10:]:
            heard = [listen(clip, encode).mean(0) for clip in spoken[actor]]
            for first in range(0, len(heard) - together + 1, together):
                mean = np.mean(heard[first : first + together], 0)
                rows.append(mean / np.linalg.norm(mean))
                actors.append(actor)
                emotions.append(emotion)
    return np.asarray(rows, np.float32), actors, emotions


def equal_error(same: Floats, other: Floats) -> float:
    """Share of pairs judged wrongly at the threshold at which both kinds of error are equally frequent."""
    thresholds = np.sort(np.concatenate([same, other]))
    missed = np.searchsorted(np.sort(same), thresholds) / len(same)
    taken = 1 - np.searchsorted(np.sort(other), thresholds) / len(other)
    at = int(np.abs(missed - taken).argmin())
    return float(missed[at] + taken[at]) / 2


def compare(embeddings: Floats, actors: Sequence[str], emotions: Sequence[str]) -> dict[str, float]:
    """Mean cosines of the four kinds of pairs, and the error with one emotion in a pair and with any two."""
    upper = np.triu_indices(len(embeddings), 1)
    cosine = (embeddings @ embeddings.T)[upper]
    actor, emotion = (np.equal.outer(np.array(a), np.array(a))[upper] for a in (actors, emotions))
    return {
        "one actor, one emotion": float(cosine[actor & emotion].mean()),
        "one actor, two emotions": float(cosine[actor & ~emotion].mean()),
        "two actors, one emotion": float(cosine[~actor & emotion].mean()),
        "two actors, two emotions": float(cosine[~actor & ~emotion].mean()),
        "error, one emotion": 100 * equal_error(cosine[actor & emotion], cosine[~actor & emotion]),
        "error, any": 100 * equal_error(cosine[actor], cosine[~actor]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with ravdess/")
    parser.add_argument("--weights", type=Path, help="the speaker encoder; default: the package's")
    args = parser.parse_args()
    try:
        encode = SpeakerNet.load(args.weights).embed
    except CheckpointError as error:
        raise SystemExit(str(error)) from error
    table = Table(box=None)
    for heading in ("", "one clip", "four clips"):
        table.add_column(heading, justify="right" if heading else "left")
    one, four = (compare(*vectors(args.data, encode, together)) for together in (1, 4))
    for name in one:
        digits = ".1f" if name.startswith("error") else ".2f"
        table.add_row(name, f"{one[name]:{digits}}", f"{four[name]:{digits}}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
