"""Who spoke when: the diarization error of meetings and of joined conversations, beside that of one speaker.

    OMP_NUM_THREADS=1 python -m benchmarks.speakers --data ../shared/data [--weights FILE] [--json FILE]
    OMP_NUM_THREADS=1 python -m benchmarks.speakers --data ../shared/data --tune 24
    OMP_NUM_THREADS=1 python -m benchmarks.speakers --data ../shared/data --leave-one-out
    OMP_NUM_THREADS=1 python -m benchmarks.speakers --data ../shared/data --openings even

Meetings: the 12 meeting excerpts of ``diarization`` (30 s each), no collar, overlap scored, pooled (pyannote.metrics):
on the segments of the program's own detector, and on those of one that knows the reference's speech. The
telephone call beside them is a row of its own.

Conversations: ten minutes of 4 people, joined from clips of ``ravdess`` and ``asr`` (`benchmarks.conversations`), two
of each kind. both: 2 actors and 2 readers; readers: 4 voices of ``asr`` with 7 s of speech or more; actors: 4 of the
last ten of RAVDESS in all eight emotions; and five minutes of one of them alone, where confusion is the share
in which one person was taken for others. A swap is an id that, in one minute after the first, stands mostly for
somebody else than in a minute before; ids that were heard for under 5 s of a minute are not counted.

``--tune N`` measures the constants as they are and N random choices of them on other people instead, best first: the
first ten actors, EmoDB and the Urdu talk shows, some in rooms with noise. None of them is in any recording above. ``--leave-one-out``
chooses the two constants that matter in 30 s anew for each meeting, on the eleven others, and pools the twelfths.

``--openings even`` chooses the same two, and the level that sound is brought to, where no meeting is heard: on
half-minute conversations of 2 to 4 people (the same other people, actors and Germans in their calm takes), half of them
in rooms with noise, with overlapping turns. Only then it measures that choice on the meetings. ``--openings uneven``: of
1 to 4 people who have the floor unequally often, at the usual level.

Cost: processor time of all that tells voices apart, with partials, on one thread. Needs the extra ``bench``, soundfile
and the speaker encoder (docs/speakers.md).
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from models.checkpoint import CheckpointError
from models.encoders.speaker import LEVEL, SpeakerNet
from models.training.rows import commit, told
from streamer.bench.recordings import Recording, detector, meetings, recording
from streamer.bench.speakers import Encode, Row, measure, one_speaker, ours
from streamer.speakers.changes import CHANGE
from streamer.speakers.clusters import Rules
from streamer.types import Floats

from .conversations import conversation, in_a_room, people, seconds

TRIED: dict[str, tuple[float, ...]] = {
    "settle": (20.0, 30.0),
    "alone": (0.72, 0.74, 0.76),
    "near": (0.68, 0.7, 0.72),
    "far": (0.6, 0.65, 0.7),
    "apart": (0.05, 0.1, 0.15),
    "same": (0.86, 0.88, 0.9),
    "change": (0.33, 0.36, 0.4),
}
WIDE: dict[str, tuple[float, ...]] = {
    "near": (0.55, 0.6, 0.64, 0.66, 0.68, 0.7, 0.72, 0.74, 0.76, 0.8),
    "change": (0.3, 0.33, 0.36, 0.4, 0.45, 0.5),
}
LEVELS = (-30.0, -27.0, -24.0, -21.0)  # dBFS


def evaluation(data: Path, seed: int) -> Iterator[tuple[str, list[Recording]]]:
    """Kinds of recordings by name."""
    vad = detector()
    for name, heard in (("meetings", vad), ("meetings, speech known", None)):
        found = list(meetings(data, heard))
        yield name, [r for r in found if r.name != "phone_call"]
        if heard:
            yield "telephone call", [r for r in found if r.name == "phone_call"]
    actors, readers = people(data, "ravdess"), people(data, "asr")
    late = sorted(actors)[10:]
    able = sorted(name for name, clips in readers.items() if seconds(clips) >= 7.0)
    rng = np.random.default_rng(seed)
    for name, of_actors, of_readers, length in (
        ("both", 2, 2, 600.0),
        ("readers", 0, 4, 600.0),
        ("actors", 4, 0, 600.0),
        ("a reader alone", 0, 1, 300.0),
        ("an actor alone", 1, 0, 300.0),
    ):
        made = []
        for number in range(2):
            who = [*rng.choice(late, of_actors, replace=False), *rng.choice(able, of_readers, replace=False)]
            voices = {str(w): (actors | readers)[str(w)] for w in who}
            made.append(recording(f"{name} {number}", *conversation(voices, length, rng), vad))
        yield name, made


def tuning(data: Path, seed: int) -> Iterator[tuple[str, list[Recording]]]:
    """As `evaluation`, of other people."""
    actors, german, urdu = (people(data, corpus) for corpus in ("ravdess", "emodb", "urdu"))
    early = {name: actors[name] for name in sorted(actors)[:10]}
    talkers = {name: clips for name, clips in urdu.items() if seconds(clips) >= 15.0}
    rng, vad = np.random.default_rng(seed), detector()
    for name, pool, number_of, count, length, noise in (
        ("actors", early, 4, 4, 300.0, None),
        ("actors in rooms", early, 4, 2, 300.0, 15.0),
        ("emodb", german, 4, 2, 200.0, None),
        ("urdu", talkers, 4, 2, 200.0, None),
        ("all in rooms", early | german | talkers, 4, 2, 200.0, 12.0),
        ("an actor alone", early, 1, 2, 200.0, None),
        ("somebody else alone", german | talkers, 1, 3, 200.0, None),
    ):
        made = []
        for number in range(count):
            voices = {str(w): pool[str(w)] for w in rng.choice(sorted(pool), number_of, replace=False)}
            pcm, turns = conversation(voices, length, rng)
            if noise is not None:
                pcm = in_a_room(pcm, data, noise, rng)
            made.append(recording(f"{name} {number}", pcm, turns, vad, every=None))
        yield name, made


def openings(data: Path, seed: int, even: bool) -> list[Recording]:
    """Half-minute conversations of people of `tuning`, as calm as people in meetings are."""
    calm = ("neutral", "calm", "boredom")
    actors, german, urdu = (
        people(data, corpus, e) for corpus, e in (("ravdess", calm), ("emodb", calm), ("urdu", ()))
    )
    early = {name: actors[name] for name in sorted(actors)[:10]}
    talkers = {name: clips for name, clips in urdu.items() if seconds(clips) >= 10.0}
    rng, vad, made = np.random.default_rng(seed), detector(), []
    for number in range(72):
        pool = (early, german, talkers, early | german | talkers)[number % 4]
        count = 2 + number // 4 % 3 if even else 1 + number // 4 % 4
        who = rng.choice(sorted(pool), count, replace=False)
        shares = None if even else rng.dirichlet(np.ones(count)).tolist()
        pcm, turns = conversation({str(w): pool[str(w)] for w in who}, 30.0, rng, 0.3, shares)
        if number // (4 if even else 16) % 2:
            pcm = in_a_room(pcm, data, float(rng.uniform(10, 20)), rng)
        made.append(recording(f"opening {number}", pcm, turns, vad, every=None))
    return made


def evaluate(data: Path, encode: Encode, seed: int) -> list[Row]:
    rows = []
    for name, recordings in evaluation(data, seed):
        rows.append(measure(f"{name}: one speaker", recordings, [one_speaker(r) for r in recordings]))
        rows.append(measure(f"{name}: ours", recordings, [ours(r, encode) for r in recordings]))
    return rows


def tune(data: Path, encode: Encode, seed: int, trials: int) -> list[dict[str, Any]]:
    """Random choices among `TRIED`, the mean confusion (percent) over the kinds of `tuning` the lowest first."""
    groups, remembered = dict(tuning(data, seed)), _remembering(encode)
    every = [dict(zip(TRIED, values, strict=True)) for values in itertools.product(*TRIED.values())]
    found = []
    shipped = {**{k: v for k, v in asdict(Rules()).items() if k in TRIED}, "change": CHANGE}
    for choice in [shipped, *random.Random(seed).sample(every, trials)]:
        change, rules = choice["change"], Rules(**{k: v for k, v in choice.items() if k != "change"})
        confusion = {
            name: measure(name, rs, [ours(r, remembered, rules, change) for r in rs]).confusion
            for name, rs in groups.items()
        }
        found.append(
            {
                **choice,
                "shipped": choice == shipped,
                "confusion": confusion,
                "mean": float(np.mean(list(confusion.values()))),
            }
        )
    return sorted(found, key=lambda f: f["mean"])


def leave_one_out(data: Path, encode: Encode) -> dict[str, Any]:
    """The confusion of every meeting with the choice among `WIDE` that is best on the eleven others, pooled.

    In 30 s nothing but these two constants matters. Of equally good choices the first counts.
    """
    recordings = [r for r in meetings(data, detector()) if r.name != "phone_call"]
    total, confused = _confused(recordings, encode)
    choices = _choices()
    best = [int((confused.sum(1) - confused[:, j]).argmin()) for j in range(len(recordings))]
    held_out = sum(confused[i, j] for j, i in enumerate(best))
    return {
        "confusion": 100 * float(held_out / total.sum()),
        "chosen": {r.name: choices[i] for r, i in zip(recordings, best, strict=True)},
        "all": [
            {**c, "confusion": 100 * float(k.sum() / total.sum())}
            for c, k in zip(choices, confused, strict=True)
        ],
    }


def choose_on_openings(data: Path, seed: int, even: bool, load: Callable[[float], Encode]) -> dict[str, Any]:
    """The confusion of `openings` (percent) at every level and choice of `WIDE`, and the meetings' at the best."""
    recordings, choices, found = openings(data, seed, even), _choices(), []
    for level in LEVELS if even else (LEVEL,):
        total, confused = _confused(recordings, load(level))
        shares = 100 * confused.sum(1) / total.sum()
        found += [{"level": level, **c, "confusion": float(s)} for c, s in zip(choices, shares, strict=True)]
    best = min(found, key=lambda f: f["confusion"])
    held = [r for r in meetings(data, detector()) if r.name != "phone_call"]
    encode, rules = load(best["level"]), Rules(near=best["near"])
    one = measure("openings: one speaker", recordings, [one_speaker(r) for r in recordings])
    rows = [measure("meetings: one speaker", held, [one_speaker(r) for r in held])]
    rows.append(measure("meetings: ours", held, [ours(r, encode, rules, best["change"]) for r in held]))
    return {
        "best": best,
        "rows": [asdict(row) for row in (one, *rows)],
        "all": sorted(found, key=lambda f: f["confusion"]),
    }


def _choices() -> list[dict[str, float]]:
    return [dict(zip(WIDE, values, strict=True)) for values in itertools.product(*WIDE.values())]


def _confused(recordings: Sequence[Recording], encode: Encode) -> tuple[Any, Any]:
    """Seconds of speech of each recording ``[R]``, and how many went to somebody else by each choice ``[C, R]``."""
    remembered, choices = _remembering(encode), _choices()
    total = np.array([sum(b - a for a, b, _ in r.turns) for r in recordings])
    confused = np.zeros((len(choices), len(recordings)))
    for i, choice in enumerate(choices):
        for j, r in enumerate(recordings):
            run = ours(r, remembered, Rules(near=choice["near"]), choice["change"])
            confused[i, j] = measure(r.name, [r], [run]).confusion / 100 * total[j]
    return total, confused


def _remembering(encode: Encode) -> Encode:
    """``encode`` that does not compute the same stretch twice."""
    known: dict[bytes, Floats] = {}

    def encoded(stretches: Sequence[Floats]) -> Floats:
        keys = [hashlib.blake2b(np.ascontiguousarray(s).data, digest_size=16).digest() for s in stretches]
        new = [i for i, key in enumerate(keys) if key not in known]
        if new:
            known.update(zip((keys[i] for i in new), encode([stretches[i] for i in new]), strict=True))
        return np.stack([known[key] for key in keys])

    return encoded


def show(rows: Sequence[Row]) -> None:
    table = Table(box=None)
    for heading in ("", "miss", "false alarm", "confusion", "speakers", "swaps", "cost", "kept", "grown"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for r in rows:
        parts = (f"{value:.1f} %" for value in (r.miss, r.false_alarm, r.confusion))
        rest = (f"{r.cost:.2f} %", str(r.kept), f"{r.grown:.1f} MiB") if r.kept else ("", "", "")
        table.add_row(r.name, *parts, f"{r.speakers:.1f}", str(r.swaps), *rest)
    Console(width=140).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with diarization/, ravdess/ and asr/"
    )
    parser.add_argument("--weights", type=Path, help="the speaker encoder; default: the package's")
    parser.add_argument("--seed", type=int, default=0, help="of the joined conversations")
    parser.add_argument("--tune", type=int, metavar="N", help="measure N choices of the constants instead")
    parser.add_argument(
        "--leave-one-out", action="store_true", help="choose on eleven meetings, measure the twelfth"
    )
    parser.add_argument(
        "--openings",
        choices=("even", "uneven"),
        help="choose on half-minute conversations, measure the meetings",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    args = parser.parse_args()
    try:
        net = SpeakerNet.load(args.weights)
        encode = net.embed
    except CheckpointError as error:
        raise SystemExit(str(error)) from error
    if args.leave_one_out:
        report: Any = leave_one_out(args.data, encode)
        print(json.dumps({key: report[key] for key in ("confusion", "chosen")}, indent=1))
    elif args.openings:
        even = args.openings == "even"
        report = choose_on_openings(args.data, args.seed, even, lambda level: partial(net.embed, level=level))
        print(
            json.dumps({"best": report["best"], "rows": report["rows"], "next": report["all"][:10]}, indent=1)
        )
    elif args.tune is not None:
        report = tune(args.data, encode, args.seed, args.tune)
        for found in report[:10]:
            print(json.dumps(found))
    else:
        rows = evaluate(args.data, encode, args.seed)
        show(rows)
        report = {"rows": [asdict(row) for row in rows], "commit": commit()}
        report |= {"command": told(["python", "-m", "benchmarks.speakers", *sys.argv[1:]])}
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
