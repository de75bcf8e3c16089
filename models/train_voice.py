"""Measure and train the voice network: ``python -m models.train_voice evaluate|ship --data ../shared/data``.

``evaluate`` runs what is missing of the protocol: RAVDESS in five folds of two men and two women, EmoDB
with one speaker left out at a time, five seeds each; the length of training is chosen on speakers of the
training part (the next fold), then all of that part is used. ``ship`` trains the file that ships on the train
split of both, chooses on valid and reads test once.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import nn

from models.checkpoint import WEIGHTS
from models.data.speech import Clip, clips
from models.encoders.voice import LABELS, VoiceNet
from models.encoders.voice_statistics import Heard, statistics
from models.perception import voice_baseline as baseline
from models.perception.voice import (
    DEFAULT,
    TESTED,
    WAYS,
    Ints,
    Plan,
    Voices,
    accuracy,
    choose,
    confusion,
    fit,
    logits,
    summary,
)
from models.perception.voice_features import CONDITIONS, heard
from models.perception.voices import versions
from models.tasks.rows import Rows, command, key

MODULE = "models.train_voice"
ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results" / "voice.jsonl"
CACHE = ROOT / "runs" / "voice"
NAME, VERSION = "lmam-voice", "0.2.0"
TABLE = "perception-voice"
CORPORA = {
    "ravdess": ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"),
    "emodb": ("neutral", "happy", "sad", "angry", "fearful", "disgust", "boredom"),
}
SHIPPED = {"calm": "neutral", "boredom": None}  # how what is no common label is used by what ships
LICENCES = {
    "RAVDESS": "CC BY-NC-SA 4.0, research",
    "EmoDB": "freely published by TU Berlin, research",
    "noise and rooms": "Apache-2.0 repository (speechbrain); changed copies of the speech only",
}
FACTS = {
    "name": NAME,
    "version": VERSION,
    "data": ["RAVDESS speech (Livingstone & Russo, 2018)", "EmoDB (Burkhardt et al., 2005)"],
    "data_licences": LICENCES,
    "commercial_use": "no",
}
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Speech:
    """A corpus: its clips and what is heard of each under every condition."""

    clips: list[Clip]
    heard: dict[str, list[Heard]]

    @classmethod
    def read(
        cls, data: Path, corpus: str, cache: Path, tell: Tell, conditions: Sequence[str] = CONDITIONS
    ) -> Speech:
        """Raises: DataError or ValueError, see `models.perception.voice_features.heard`."""
        found = {c: heard(data, corpus, c, cache, tell) for c in conditions}
        return cls(clips(data / corpus), found)

    @classmethod
    def both(cls, data: Path, cache: Path, tell: Tell, conditions: Sequence[str] = CONDITIONS) -> Speech:
        """All of `CORPORA` as one, as `read`."""
        each = [cls.read(data, corpus, cache, tell, conditions) for corpus in CORPORA]
        return cls(
            [c for s in each for c in s.clips], {k: [h for s in each for h in s.heard[k]] for k in conditions}
        )

    def voices(self, labels: Sequence[str], plan: Plan) -> Voices:
        """With all the versions that training needs; clips of other labels have the label -1."""
        speakers = tuple(c.speaker for c in self.clips)
        label_N = np.array([labels.index(e) if e in labels else -1 for e in self._common(labels)])
        made = versions(
            self.heard["clean"],
            [self.heard[c] for c in plan.recordings if c in self.heard],
            speakers,
            plan.versions,
        )
        return Voices(made, label_N, speakers, tuple(labels))

    def tested(self, voices: Voices) -> dict[str, Voices]:
        """``voices``, which are of these clips, under every condition of `TESTED`, by what stands behind the
        name of a way."""
        return {
            name: voices.instead(np.stack([statistics(h) for h in self.heard[c]]))
            for name, c in TESTED.items()
        }

    def _common(self, labels: Sequence[str]) -> list[str]:
        return [c.emotion if c.emotion in labels else (SHIPPED.get(c.emotion) or "") for c in self.clips]


def folds(corpus: Sequence[Clip], name: str) -> list[tuple[str, ...]]:
    """The test speakers of each fold: for RAVDESS two men and two women, five times; else one each."""
    gender = {c.speaker: c.gender for c in corpus}
    if name != "ravdess":
        return [(s,) for s in sorted(gender)]
    men, women = ([s for s in sorted(gender) if gender[s] == g] for g in ("M", "F"))
    return [(*men[k::5], *women[k::5]) for k in range(5)]


def evaluate(args: argparse.Namespace, plan: Plan, rows: Rows, tell: Tell) -> None:
    """Every missing row of `CORPORA`."""
    for corpus, labels in CORPORA.items():
        if args.corpora and corpus not in args.corpora:
            continue
        speech = Speech.read(args.data, corpus, args.cache, tell)
        voices = speech.voices(labels, plan)
        tests = speech.tested(voices)
        parts = folds(speech.clips, corpus)
        _baselines(speech, voices, parts, corpus, rows, args)
        for fold, test in enumerate(parts):
            dev = parts[(fold + 1) % len(parts)]
            facts = {**_facts(corpus, labels, args), "fold": fold}
            _fold(voices, tests, (test, dev), facts, plan, rows, tell)


def _facts(corpus: str, labels: Sequence[str], args: argparse.Namespace) -> dict[str, Any]:
    return {
        "table": TABLE,
        "dataset": corpus,
        "protocol": "five folds over actors" if corpus == "ravdess" else "leave one speaker out",
        "labels": list(labels),
        "tested": list(TESTED),
        "command": command(MODULE, args.argv),
    }


def _fold(
    voices: Voices,
    tests: dict[str, Voices],
    speakers: tuple[tuple[str, ...], tuple[str, ...]],
    facts: dict[str, Any],
    plan: Plan,
    rows: Rows,
    tell: Tell,
) -> None:
    """Every missing seed of one fold: ``speakers`` are those of test and those of dev."""
    test, dev = speakers
    everybody = sorted(set(voices.speakers))
    train = voices.of([s for s in everybody if s not in test])
    config = plan.model_dump(mode="json", exclude={"seeds"})
    keys = {s: key({"config": config, "seed": s, **_what(facts), "model": "voice"}) for s in plan.seeds}
    missing = [s for s in plan.seeds if keys[s] not in rows]
    if not missing:
        return
    less = voices.of([s for s in everybody if s not in (*test, *dev)])
    epochs, losses = choose(voices, less, voices.of(dev), plan)
    for seed in missing:
        started = time.monotonic()
        net = fit(voices, train, plan, epochs, seed)
        at, found = voices.of(test), {}
        for condition, each in tests.items():
            for way in WAYS:
                read = logits(net, each, at, way, seed)
                found[way + condition] = summary(confusion(read, voices.label_N[at]))
        row = {**facts, "key": keys[seed], "model": "voice", "seed": seed, "config": config, "test": found}
        row |= {"speakers": list(test), "dev_speakers": list(dev), "epochs": epochs, "dev_loss": losses}
        row |= {"parameters": _size(net), "seconds": time.monotonic() - started}
        rows.append(row)
        said = ", ".join(f"{w} {found[w]['accuracy']:.1f}" for w in found)
        tell(f"{facts['dataset']} fold {facts['fold']} seed {seed}, {epochs} epochs: {said}")


def _what(facts: dict[str, Any]) -> dict[str, Any]:
    return {k: facts[k] for k in ("table", "dataset", "labels", "tested", "fold")}


def _size(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def _baselines(
    speech: Speech,
    voices: Voices,
    parts: Sequence[tuple[str, ...]],
    corpus: str,
    rows: Rows,
    args: argparse.Namespace,
) -> None:
    """The missing rows of `models.perception.voice_baseline`."""
    made = {c: voices.instead(baseline.mfcc(speech.heard[c])) for c in TESTED.values()}
    labels, classes = voices.labels, len(voices.labels)
    for fold, test in enumerate(parts):
        facts = {**_facts(corpus, labels, args), "fold": fold, "model": "mfcc-svm"}
        name = key({**_what(facts), "model": "mfcc-svm"})
        if name in rows:
            continue
        at = voices.of(test)
        train = np.setdiff1d(np.arange(len(voices.speakers)), at)
        found = {}
        for way in baseline.WAYS:
            said = baseline.guesses(made["clean"], list(made.values()), train, at, way)
            for condition, guess in zip(TESTED, said, strict=True):
                one_hot = torch.nn.functional.one_hot(torch.from_numpy(guess), classes)
                found[way + condition] = summary(confusion(one_hot, voices.label_N[at]))
        rows.append({**facts, "key": name, "seed": 0, "test": found, "speakers": list(test), "parameters": 0})


def ship(args: argparse.Namespace, plan: Plan, tell: Tell) -> dict[str, Any]:
    """Train, choose, calibrate, test and write ``args.out``; returns the report."""
    every = Speech.both(args.data, args.cache, tell)
    voices = every.voices(LABELS, plan)
    split = splits(every, voices)
    epochs, losses = choose(voices, split["train"], split["valid"], plan, args.seed)
    net = fit(voices, split["train"], plan, epochs, args.seed)
    temperature = calibrate(net, voices, split["valid"])
    found = {
        f"{corpus}, {way}": summary(counts)
        for (corpus, way), counts in tested(net, every, voices, split["test"], args.seed).items()
    }
    report = {
        "seed": args.seed,
        "chosen_epochs": epochs,
        "valid_loss": losses,
        "valid_accuracy": {w: _score(net, voices, split["valid"], w, args.seed) for w in WAYS},
        "test": found,
        "n": {name: len(at) for name, at in split.items()},
        "temperature": temperature,
        "parameters": _size(net),
        "plan": plan.model_dump(mode="json"),
    }
    net.save(args.out, {**FACTS, "metrics": report})
    return report


def splits(every: Speech, voices: Voices) -> dict[str, Ints]:
    """The numbers of the clips of train, valid and test that have one of the labels of ``voices``."""
    return {
        name: np.array([i for i, c in enumerate(every.clips) if c.split == name and voices.label_N[i] >= 0])
        for name in ("train", "valid", "test")
    }


def tested(
    net: VoiceNet, every: Speech, voices: Voices, test: Ints, seed: int
) -> dict[tuple[str, str], Ints]:
    """Confusion ``[K, K]`` of each corpus' clips among ``test`` in each way and condition of `TESTED`."""
    there = every.tested(voices)
    return {
        (corpus, way + condition): confusion(logits(net, each, at, way, seed), voices.label_N[at])
        for corpus, at in by_corpus(voices, test).items()
        for condition, each in there.items()
        for way in WAYS
    }


def by_corpus(voices: Voices, which: Ints) -> dict[str, Ints]:
    """The clips numbered ``which`` of each of `CORPORA`, whose speakers bear its name."""
    return {
        corpus: np.array([i for i in which if voices.speakers[i].startswith(corpus)], dtype=np.int64)
        for corpus in CORPORA
    }


def _score(net: VoiceNet, voices: Voices, at: Ints, way: str, seed: int) -> float:
    return accuracy(confusion(logits(net, voices, at, way, seed), voices.label_N[at]))


def calibrate(net: VoiceNet, voices: Voices, valid: Ints) -> float:
    """Fold the temperature that suits the clips ``valid`` best, live, into the last layer; returns it."""
    label_N = torch.from_numpy(voices.label_N[valid])
    logits_NK = logits(net, voices, valid, "live")
    tried = np.geomspace(0.3, 3.0, 47)
    losses = [nn.functional.cross_entropy(logits_NK / t, label_N).item() for t in tried]
    temperature = float(tried[int(np.argmin(losses))])
    last = net.head[2]
    assert isinstance(last, nn.Linear)
    last.weight.div_(temperature)
    last.bias.div_(temperature)
    return temperature


def parser() -> argparse.ArgumentParser:
    """The command line."""
    cli = argparse.ArgumentParser(
        prog=f"python -m {MODULE}", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    cli.add_argument("what", choices=("evaluate", "ship"))
    cli.add_argument("--data", type=Path, required=True, help="folder that holds ravdess/, emodb/, noise/")
    cli.add_argument("--config", type=Path, default=DEFAULT, help="how to train (default: that which ships)")
    cli.add_argument("--cache", type=Path, default=CACHE, help="where what was heard of the clips is kept")
    cli.add_argument("--corpora", nargs="+", choices=tuple(CORPORA), default=[], help="evaluate: only these")
    cli.add_argument("--json", type=Path, default=RESULTS, help="evaluate: where finished rows go")
    cli.add_argument("--seed", type=int, default=0, help="ship: of weights, order and mixing")
    cli.add_argument("--out", type=Path, default=WEIGHTS / "voice.safetensors", help="ship: file to write")
    return cli


def main(argv: list[str] | None = None) -> int:
    """Entry point; exit code 2 for missing or damaged data or a wrong configuration, 130 after Ctrl-C."""
    args = parser().parse_args(argv)
    args.argv = argv
    console = Console(stderr=True, soft_wrap=True)
    torch.set_num_threads(1)
    try:
        plan = Plan.read(args.config)
        if args.what == "evaluate":
            evaluate(args, plan, Rows(args.json), console.print)
        else:
            report = ship(args, plan, console.print)
            console.print_json(json.dumps({k: v for k, v in report.items() if k != "plan"}))
    except KeyboardInterrupt:
        console.print("interrupted: finished rows are kept; the same command goes on", style="yellow")
        return 130
    except ValueError as error:
        console.print(str(error), style="red", markup=False)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
