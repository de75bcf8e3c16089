"""Write docs/model-results.md from results/meld.jsonl: ``python -m models.report``."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from models import command

ROOT = Path(__file__).parent.parent
MEASURES = ("weighted_f1", "macro_f1", "accuracy", "ece")
TIE = 1.0  # points of weighted F1 below which two rows are called a tie: seeds alone differ by that much
Row = dict[str, Any]

HEAD = """# What the models measure

Written by `python -m models.report` from `results/meld.jsonl`; do not edit. Every row of that file is one
finished seed of one of the commands below.

MELD as published (train 9,989, dev 1,109, test 2,610 utterances, seven labels), **past context only,
anonymous speakers** (their order of first appearance: a live node knows no names). Epochs and temperatures
are chosen on dev. Figures are mean ± standard deviation over the seeds, in percent, ECE (15 bins) between 0
and 1. Seeds differ by up to a point: where two rows are less than one point of weighted F1 apart, that is a
**tie**.

"Noisy" text is lower-cased, unpunctuated, with 30 % word errors (60 % substitutions by words spelt alike,
25 % deletions, 15 % insertions), which is about what the embedded recogniser gives on read speech.
Always answering "neutral" scores 31.3 weighted F1 and 48.1 accuracy.
"""

FULL = """
## Words and voice, fine-tuned together

`python -m models.train_sentences --data ../shared/data --out runs/sentences/seed0`, once, and from there
`python -m models.train meld --data ../shared/data --start runs/sentences/seed0/text.safetensors
--seeds 0 1 2 3 4 --json results/meld.jsonl`

MiniLM (six layers, 384-d) first learns single sentences of MELD train, GoEmotions, DailyDialog, EmoryNLP
(without the episodes of MELD's dev and test) and EmoBank. Then it and the low-rank LMAM host are tuned end
to end for three epochs, each utterance read with the last 32 tokens before it; dev and test are measured with
the encoder rounded to int8, as it ships. "Voice masked" is the same model without the voice. The five seeds
share the first stage, which has one seed.
"""

FUSION = """
## What ships: one fusion for every subset of the modalities

`python -m models.train fusion --data ../shared/data --seeds 0 1 2 3 4 --json results/meld.jsonl`
{refit}
The encoder is frozen (its int8 file); the fusion goes on from the first stage with modalities missing at
random, with recogniser-like words for a third of the utterances, with faces, and for a share of the
conversations with what the voice network says of acted voices. **Rows with a face or a synthetic voice are on
synthetic pairs** (an utterance of MELD test and FER+ test faces, or clips of test actors of RAVDESS and
EmoDB, of the same emotion, with noise in the pairing): they show that the branches work and are **not a
result on MELD**.
"""

REFIT = """
and, since face and voice network are others now, a voice is to be heard where the words say nothing and a
face is to be forgotten once it has left (`plain_words`, `face_for_a_while` and `face_held` in
`configs/models/meld.toml`),

`python -m models.train fusion --data ../shared/data --refit FOLDER --seeds 0 1 2 3 4
--json results/meld.jsonl`

trains on the fusion that shipped before (version 0.2.0, with its text encoder in FOLDER), of the best seed of
the first command. These five seeds share its text encoder and its start, so that their deviation leaves those
out; the second table is of the first command, five encoders with the former face and voice network.

*After smiles*: joyful test faces of FER+ in three utterances, whatever is said, then none; words alone are
measured in the three that follow, beside the same utterances with no face before. With faces in the picture
throughout, seed 4 lost 3.6 points of weighted F1 there on dev (54.8, 51.2) and 0.6 on test (59.5, 58.9): a
smile that had left outweighed what was said. Half of the conversations of the training show faces in one
stretch alone now (`face_for_a_while`), and three of ten faces show what the one before did (`face_held`): a
person is no new evidence at each utterance. It cost 6 points of words with a face on dev and 3 on test, in
pairs whose faces never hold. Stretches alone lost 1.0 on dev, 0.7 with 0.5 held lost 0.5 with 9 points of
words with a face.

*Plain words*: every utterance in the words of one labelled neutral, with a synthetic voice for its own
label. Of shares of 0, 0.3 and 0.6 of such utterances in training, seed 0 had 32.9, 36.2 and 38.8 there on
dev, and 60.3, 60.1 and 59.7 in the mean that chooses, which is a tie. 0.3 ships.
"""

TRIES = """
## Tried and not shipped

The encoder that ships, tuned once more with more of a recogniser's errors, among them what PocketSphinx heard
of {heard} sentences of MELD train that espeak-ng spoke: `plain_share = 0.35`, `error_share = 0.2`,
`punctuated = 0.5`, `heard_share = 0.15` in the table `[train.noise]` of `configs/models/meld.toml`, then
`python -m models.hear --data ../shared/data --out runs/heard.jsonl` and `python -m models.train meld
--data ../shared/data --start models/weights/text.safetensors --heard runs/heard.jsonl`.
"""

TRIED_TOO = """
Trials on the way, without rows of their own, most of them before words that say nothing were in training:

* *A temperature for voices of which measures alone are known, and one for voices that the network heard too*,
  in place of one for both: the ECE of MELD's voice alone, which has measures only, falls from 0.061 to 0.047,
  that of synthetic voices, which are as live, rises from 0.057 to 0.068. Dev's clips are of other actors than
  test's.
* *Machines among the voices*, one seed, with a voice network that knows narrow lines: a fifth of the
  synthetic pairs in voices of espeak-ng, which said everything in any way. Words beside other such voices:
  57.2 on dev (57.1 of what ships), 61.0 on test (61.0): a tie.
* *Conversations that go on as another one*, one seed, 0.4 of them, so that the mood turns more often: words
  and voice 58.6 on dev (59.3), and no better where the label changes.
* *RAVDESS' clips*, live: the ECE of the voice alone is 0.09 now (it was 0.16), which is chance on 119 clips;
  with their words it is 0.36 (0.33 in version 0.4.0, 0.44 before): see the model card of the fusion.
* *What words cost*: 8 to 21 ms an utterance by machine, where 8 were aimed at; three quarters of it go
  into the linear layers. int8 arithmetic, as torch quantises, which it has declared deprecated, takes 0.6
  of the time but turns the features (a cosine of 0.93 with those of floats at worst, `python -m
  benchmarks.words`): not worth an answer 10 ms sooner. A step of the fusion takes 0.9 to 2.0 ms by
  machine (1 was aimed at).
"""

CONTROLS = """
## Controls

*Frozen encoder*: MiniLM as published, only the conversation model is trained, on gold words
(`python -m models.train meld --frozen ...`).
"""

ADDED = """
The rows of *tuned features* keep the text encoder that ships and train the conversation model from nothing
on its features (`python -m models.train fusion --data ../shared/data --refit models/weights
--controls text+voice text-only no-context --seeds 0 1 2 3 4 --json results/meld.jsonl`): with the voice,
without it, and with every utterance by itself (no past at all). They answer what voice and context add *given
these features*, which were tuned with both and read the last 32 tokens before each utterance; an encoder
tuned without context might do better alone. Without context, only the normalisation of the voice and those
tokens still look back.
"""


def read(path: Path) -> list[Row]:
    """The rows of ``path``; of several for the same seed of the same experiment, the last counts.

    Raises:
        ValueError: the file is missing or not JSON lines.

    """
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not a file of results ({error})") from error
    last = {(r["experiment"], r["variant"], r["seed"]): r for r in rows}
    return [last[key] for key in sorted(last)]


def cell(values: Sequence[float], measure: str) -> str:
    """Mean ± standard deviation; one seed has none."""
    digits = 3 if measure == "ece" else 1
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else f"{mean} (one seed)"


def table(named: Iterable[tuple[str, list[Row]]]) -> str:
    """A table with one line for each name and the scores of its seeds."""
    lines = ["| | seeds | weighted F1 | macro F1 | accuracy | ECE |", "|---|---|---|---|---|---|"]
    for name, rows in named:
        if rows:
            cells = (cell([r[m] for r in rows], m) for m in MEASURES)
            lines.append(f"| {name} | {len(rows)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def ties(named: Sequence[tuple[str, list[Row]]]) -> str:
    """One sentence: which rows tie with the first, and by how much the others differ from it."""
    means = [(n, statistics.mean(r["weighted_f1"] for r in rows)) for n, rows in named if rows]
    if len(means) < 2:
        return ""
    first, base = means[0]
    says = []
    for name, mean in means[1:]:
        gap = mean - base
        says.append(f"{name} {gap:+.1f}" + (" (a tie)" if abs(gap) < TIE else ""))
    return f"\nWeighted F1 against *{first}*: {'; '.join(says)}.\n"


def pick(rows: Sequence[Row], experiment: str, variant: str, split: str) -> list[Row]:
    """The scores of ``split`` of every seed."""
    return [r[split] for r in rows if (r["experiment"], r["variant"]) == (experiment, variant) and split in r]


def report(rows: Sequence[Row]) -> str:
    """The whole page."""
    full = [
        ("test", pick(rows, "meld", "full", "test")),
        ("test, voice masked", pick(rows, "meld", "full", "test_voice_masked")),
        ("test, noisy text", pick(rows, "meld", "full", "test_noisy")),
        ("dev", pick(rows, "meld", "full", "dev")),
    ]
    former, refit = _by_subset(rows, "shipped"), _by_subset(rows, "refit")
    subsets = refit or former
    features = "frozen features"
    controls = [
        ("fine-tuned end to end (above)", full[0][1]),
        ("frozen encoder", pick(rows, "meld", "frozen", "test")),
        ("tuned features, words and voice", pick(rows, features, "text+voice", "test")),
        ("tuned features, words only", pick(rows, features, "text-only", "test")),
        ("tuned features, no context", pick(rows, features, "no-context", "test")),
        ("fine-tuned without context", pick(rows, "meld", "no-context", "test")),
    ]
    noisy = [
        ("frozen encoder, noisy text", pick(rows, "meld", "frozen", "test_noisy")),
        ("tuned features, words only, noisy text", pick(rows, features, "text-only", "test_noisy")),
        ("tuned features, no context, noisy text", pick(rows, features, "no-context", "test_noisy")),
    ]
    parts = [HEAD, FULL, "\n", table(full), ties(full[:3])]
    if subsets:
        text = FUSION.format(refit=REFIT if refit else "")
        parts += [text, "\n", table(subsets), ties(subsets[:3]), _shipped(rows)]
    if refit:
        parts += [
            "\nFive encoders, each with its own fusion and the former face and voice network:\n\n",
            table(former),
        ]
    parts += _tries(rows)
    added = any(found for name, found in controls if name.startswith("tuned features"))
    parts += [CONTROLS, *([ADDED] if added else []), "\n", table([*controls, *noisy]), ties(controls)]
    return "".join(parts)


def _by_subset(rows: Sequence[Row], variant: str) -> list[tuple[str, list[Row]]]:
    found = [r["test"] for r in rows if (r["experiment"], r["variant"]) == ("fusion", variant)]
    return [(f"{name}, test", [r[name] for r in found]) for name in (found[0] if found else ())]


def _tries(rows: Sequence[Row]) -> list[str]:
    """The section of what was tried, if anything was."""
    tried = [r for r in rows if r["experiment"] == "meld, heard"]
    if not tried:
        return []
    seeds = {r["seed"] for r in tried}
    ours = [r for r in rows if (r["experiment"], r["variant"]) == ("meld", "full") and r["seed"] in seeds]
    splits = {"dev": "dev", "test": "test", "test, noisy text": "test_noisy"}
    lines = [
        (f"{name}, {split}", [r[key] for r in of if key in r])
        for split, key in splits.items()
        for name, of in (("as it shipped", ours), ("tuned once more", tried))
    ]
    return [TRIES.format(heard=tried[-1]["heard"]), "\n", table(lines), TRIED_TOO]


def _shipped(rows: Sequence[Row]) -> str:
    """Which seed ships: the best on dev."""
    fusions = [r for r in rows if r["experiment"] == "fusion"]
    refit = [r for r in fusions if r["variant"] == "refit"]
    best = max(refit or fusions, key=lambda r: float(r["chosen_at"]))
    score = best["test"]["text+voice"]["weighted_f1"]
    return f"\nThe files in `models/weights` are seed {best['seed']}, the best on dev: {score:.1f} on test.\n"


def main(argv: list[str] | None = None) -> int:
    """Write the page; its exit code is that of `models.command.run`."""
    parser = argparse.ArgumentParser(prog="python -m models.report", description=__doc__)
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "meld.jsonl")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "model-results.md")
    args = parser.parse_args(argv)
    return command.run(lambda: _write(args))


def _write(args: argparse.Namespace) -> None:
    args.out.write_text(report(read(args.results)), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
