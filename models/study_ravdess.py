"""Fuse voice and action units on RAVDESS: ``python -m models.study_ravdess --data ../shared/data``.

A row of the study, never shipped: the architecture of the live model, with OpenFace's action units (averaged
over a clip) in place of face embeddings. Five folds of two men and two women as in `models.train_voice`;
the length of training is chosen on the actors of the next fold, then all actors but those of test are trained
on and test is read once. What is missing is run and appended to ``results/ravdess.jsonl``.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from models import command
from models.data.speech import clips
from models.encoders import voice_statistics
from models.encoders.voice_statistics import Heard
from models.perception import both, voice_baseline, voices
from models.perception.action_units import Floats, faces, features, units
from models.perception.both import DEFAULT, FACE, SUBSETS, VOICE, Ints, Plan
from models.perception.voice import WAYS, Voices, confusion, summary
from models.perception.voice_features import ROOM, heard
from models.perception.voices import versions
from models.tasks.rows import STOPPED, Rows, key
from models.tasks.rows import command as said
from models.train_voice import CACHE, CORPORA, folds
from models.whole import whole

MODULE = "models.study_ravdess"
RESULTS = Path(__file__).parent.parent / "results" / "ravdess.jsonl"
TABLE = "perception-ravdess"
LABELS = CORPORA["ravdess"]
Tell = Callable[[str], None]
log = logging.getLogger(MODULE)


@dataclass(frozen=True, slots=True, eq=False)
class Actors:
    """All clips: the ``voice`` in every version, action units as ``columns_NA`` and as comparable numbers
    (``face_NF``), MFCCs for the baseline, and the actors of test of each fold."""

    voice: Voices
    columns_NA: Floats
    face_NF: Floats
    mfcc_NS: Floats
    parts: list[tuple[str, ...]]

    @classmethod
    def read(cls, data: Path, plan: Plan, cache: Path, tell: Tell) -> Actors:
        """Raises: DataError or ValueError, see `models.perception.voice_features.heard`."""
        corpus = clips(data / "ravdess")
        columns_NA, names = units(data, corpus)
        clean, *rooms = (heard(data, "ravdess", c, cache, tell) for c in ("clean", *ROOM))
        speakers = tuple(c.speaker for c in corpus)
        made = _kept(cache, clean, rooms, speakers, plan.versions)
        label_N = np.array([LABELS.index(c.emotion) for c in corpus])
        return cls(
            Voices(made, label_N, speakers, LABELS),
            columns_NA,
            features(columns_NA, names),
            voice_baseline.mfcc(clean),
            folds(corpus, "ravdess"),
        )

    def of(self, speakers: Sequence[str]) -> Ints:
        return self.voice.of(speakers)

    def senses(self, known: Sequence[str], plan: Plan) -> list[Voices]:
        """Voice and face; the virtual faces are drawn from the actors ``known``."""
        made = faces(self.face_NF, self.voice.speakers, known, plan.versions, plan.strength, seed=0)
        return [self.voice, replace(self.voice, statistics_VNS=made)]


def _kept(
    cache: Path,
    clean: Sequence[Heard],
    rooms: Sequence[Sequence[Heard]],
    speakers: tuple[str, ...],
    count: int,
) -> Floats:
    """The versions of all voices; from ``cache`` where neither the sound nor the code has changed since."""
    digest = hashlib.sha256(repr((speakers, count)).encode())
    for module in (voices, voice_statistics):
        digest.update(Path(module.__file__ or "").read_bytes())
    for heard_ in clean:
        digest.update(heard_.mel_TB.tobytes())
    path = cache / f"ravdess-versions-{digest.hexdigest()[:12]}.npy"
    if not path.exists():
        with whole(path) as unfinished, unfinished.open("wb") as file:
            np.save(file, versions(clean, rooms, speakers, count).astype(np.float32))
    return np.asarray(np.load(path), dtype=np.float64)


def study(args: argparse.Namespace, plan: Plan, rows: Rows, tell: Tell) -> None:
    """Every missing row: the machines, then fusion by fusion all folds with all seeds."""
    actors = Actors.read(args.data, plan, args.cache, tell)
    facts = {
        "table": TABLE,
        "dataset": "ravdess",
        "protocol": "five folds over actors",
        "labels": list(LABELS),
        "command": said(MODULE, args.argv),
    }
    for model in ("svm", *plan.fusions):
        for fold, test in enumerate(actors.parts):
            own = {**facts, "model": model, "fold": fold, "speakers": list(test)}
            if model == "svm":
                _machines(actors, test, own, rows)
            else:
                dev = actors.parts[(fold + 1) % len(actors.parts)]
                _networks(actors, (dev, test), own, plan, rows, tell)


def _what(facts: dict[str, Any]) -> dict[str, Any]:
    return {k: facts[k] for k in ("table", "labels", "fold", "model")}


def _machines(actors: Actors, test: Sequence[str], facts: dict[str, Any], rows: Rows) -> None:
    """Support vector machines on MFCC statistics, on the columns as they are, and on both end to end."""
    name = key(_what(facts))
    if name in rows:
        return
    at = actors.of(test)
    train = np.setdiff1d(np.arange(len(actors.face_NF)), at)
    inputs = {
        "": np.concatenate((actors.mfcc_NS, actors.columns_NA), 1),
        f", {VOICE}": actors.mfcc_NS,
        f", {FACE}": actors.columns_NA,
    }
    found = {}
    for subset, x_NS in inputs.items():
        sense = actors.voice.instead(x_NS)
        for way in voice_baseline.WAYS:
            (guess_N,) = voice_baseline.guesses(sense, [sense], train, at, way)
            one_hot_NK = F.one_hot(torch.from_numpy(guess_N), len(LABELS))
            found[way + subset] = summary(confusion(one_hot_NK, sense.label_N[at]))
    rows.append({**facts, "key": name, "seed": 0, "test": found, "parameters": 0})


def _networks(
    actors: Actors,
    people: tuple[Sequence[str], Sequence[str]],
    facts: dict[str, Any],
    plan: Plan,
    rows: Rows,
    tell: Tell,
) -> None:
    """Every missing seed of one fusion in one fold; ``people`` are those of dev and those of test."""
    dev, test = people
    fusion, config = facts["model"], plan.model_dump(mode="json", exclude={"seeds", "fusions"})
    keys = {s: key({"config": config, "seed": s, **_what(facts)}) for s in plan.seeds}
    missing = [s for s in plan.seeds if keys[s] not in rows]
    if not missing:
        return
    left = [s for s in sorted(set(actors.voice.speakers)) if s not in test]
    less = [s for s in left if s not in dev]
    epochs, losses = both.choose(actors.senses(less, plan), actors.of(less), actors.of(dev), plan, fusion)
    senses = actors.senses(left, plan)
    prepared = both.Prepared.of(senses, actors.of(left), plan)
    for seed in missing:
        started = time.monotonic()
        nets = both.fit(prepared, plan, fusion, epochs, seed)
        found = _read(nets, senses, actors.of(test), plan, seed)
        row = {**facts, "key": keys[seed], "seed": seed, "config": config, "dev_speakers": list(dev)}
        row |= {"epochs": epochs, "dev_loss": losses, "test": found, "parameters": sum(map(_size, nets))}
        row |= {"fusion_parameters": sum(_size(n.fusion.fusion) for n in nets)}
        rows.append({**row, "seconds": time.monotonic() - started})
        words = ", ".join(f"{w} {found[w]['accuracy']:.1f}" for w in WAYS)
        tell(f"{fusion}, fold {facts['fold']}, seed {seed}, {epochs} epochs: {words}")


def _read(
    nets: Sequence[both.Both], senses: Sequence[Voices], test: Ints, plan: Plan, seed: int
) -> dict[str, Any]:
    """A summary of the clips of ``test`` by way and subset."""
    label_N = senses[0].label_N[test]
    return {
        way + subset: summary(
            confusion(both.logits(nets, senses, test, way, plan.prior, subset, seed), label_N)
        )
        for way in WAYS
        for subset in SUBSETS
    }


def _size(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def main(argv: list[str] | None = None) -> int:
    """Entry point; its exit code is that of `models.command.run`."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {MODULE}", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds ravdess/ and noise/")
    parser.add_argument("--config", type=Path, default=DEFAULT, help="how to train (default: as the table)")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where what was heard of the clips is kept")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where finished rows go")
    args = parser.parse_args(argv)
    args.argv = argv
    torch.set_num_threads(1)
    return command.run(lambda: _study(args), STOPPED)


def _study(args: argparse.Namespace) -> None:
    study(args, Plan.read(args.config), Rows(args.json), lambda text: log.info("%s", text))


if __name__ == "__main__":
    sys.exit(main())
