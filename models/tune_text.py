"""Fine-tune the sentence encoder on a corpus's train dialogues: features for the study, never released.

    python -m models.tune_text iemocap6 --data ../shared/data

MiniLM and the speaker-aware low-rank LMAM host are tuned together by the recipe of configs/models/meld.toml
(`models.train_meld`), on words and voice, past only, anonymous speakers; dev chooses the state that is kept.
Labels of train whose words stand in dev or test are hidden, as in any training here. An interrupted run goes
on where it was. MELD's own tuned encoder is the one that ships.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from models import command, data
from models.asr_noise import Noise, WordErrors
from models.batches import Example
from models.data.check import drop_leaks
from models.data.corpus import Conversation, Corpus
from models.encoders.text import pretrained
from models.normalise import Prior, causal_normalise, fit_prior
from models.train_meld import Corpus as Prepared
from models.train_meld import Features, Setup, Trainer, Variant

ROOT = Path(__file__).parent.parent
CACHE = ROOT / "runs" / "study"  # what the study keeps besides its rows: encoders, and features by corpus
UTTERANCES = 80  # in a batch, about: as many as the recipe has on MELD
EPOCHS = 10  # of 4 and 10 the better one on IEMOCAP-6's dev (56.9, 63.8)
NOISE = Noise(plain_share=0.25, error_share=0.12, error_rates=(0.05, 0.3))  # what the study's rows rest on
log = logging.getLogger("models.tune_text")


def prepare(corpus: Corpus) -> Prepared:
    """The corpus as the trainer reads it, with causally normalised voice."""
    measures = corpus.measures["audio"]
    train = np.concatenate([c.features["audio"] for c in corpus.splits["train"]]).astype(np.float64)
    prior = fit_prior(train, measures)
    splits = {s: [_example(c, prior) for c in corpus.splits[s]] for s in ("train", "dev", "test")}
    errors = WordErrors(t for c in corpus.splits["train"] for t in c.texts)
    return Prepared(splits["train"], splits["dev"], splits["test"], prior, errors)


def _example(c: Conversation, prior: Prior) -> Example:
    who, audio_NA = c.order_of_appearance(), c.features["audio"].astype(np.float64)
    z_NA = torch.from_numpy(causal_normalise(audio_NA, who, prior)).float()
    heard_N = torch.from_numpy(~np.isnan(audio_NA).all(1))
    return Example(c.texts, who, torch.from_numpy(c.labels_N), z_NA, heard_N)


def setup(corpus: Corpus) -> Setup:
    """MELD's recipe, as it stands for ``corpus``."""
    meld = Setup.read(ROOT / "configs" / "models" / "meld.toml")
    train = corpus.splits["train"]
    dialogues = max(1, round(UTTERANCES * len(train) / sum(map(len, train))))
    recipe = replace(meld.recipe, epochs=EPOCHS, dialogues=dialogues, noise=NOISE)
    net = {**meld.net, "classes": len(corpus.labels)}
    return replace(meld, measures=corpus.measures["audio"], net=net, recipe=recipe)


def name(corpus: Corpus, seed: int = 0) -> str:
    """Names the encoder tuned on ``corpus`` by how it is tuned, in sixteen characters.

    By its bytes it would be another on each machine, and no stored row would be found again: tuned twice, it
    gives the same scores within 0.1 points, not the same bits.
    """
    s = setup(corpus)
    told = repr((corpus.name, s.measures, sorted(s.net.items()), s.recipe, seed))
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def home(corpus: Corpus, cache: Path, seed: int = 0) -> Path:
    """The folder of ``cache`` that is for the encoder tuned on ``corpus``."""
    return cache / f"{corpus.name}-{name(corpus, seed)}"


def trainer(corpus: Corpus, folder: Path, seed: int) -> Trainer:
    """What tunes the encoder on ``corpus`` and keeps its state in ``folder``."""
    about = {
        "name": f"text-{corpus.name}",
        "labels": list(corpus.labels),
        "data": ["all-MiniLM-L6-v2 (initial weights)", f"{corpus.name}, train dialogues"],
        "data_licences": {"all-MiniLM-L6-v2": "Apache-2.0", corpus.name: corpus.licence},
        "commercial_use": corpus.commercial_use,
        "seed": seed,
    }
    features = Features(pretrained(), frozen=False)
    return Trainer(prepare(corpus), setup(corpus), Variant(), seed, folder, features, about=about)


def tuned(corpus: Corpus, folder: Path, seed: int = 0) -> Path:
    """The encoder tuned on ``corpus`` in ``folder``; trained first where it is not there."""
    path = folder / "text.safetensors"
    if path.exists() and (folder / "fusion.pt").exists():
        return path
    work = trainer(corpus, folder, seed)
    with command.bar() as bar:
        task = bar.add_task(f"text encoder on {corpus.name}", total=work.total)
        for step, _, said in work.run():
            bar.update(task, completed=step)
            if said:
                log.info("%s: %s", corpus.name, said)
    figures = work.finish()
    log.info("%s: dev %s, test %s", corpus.name, figures["dev"], figures["test"])
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; its exit code is that of `models.command.run`."""
    parser = argparse.ArgumentParser(prog="python -m models.tune_text", description=__doc__)
    parser.add_argument("corpus", choices=("iemocap6", "meld"))
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument(
        "--out", type=Path, help="where the encoder is kept (default: in runs/study, where the study looks)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: 1)")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    return command.run(lambda: _tune(args), "stopped; the same command goes on from here")


def _tune(args: argparse.Namespace) -> None:
    corpus = data.load(args.corpus, args.data)
    corpus, dropped = drop_leaks(corpus, corpus)
    if dropped.rows:
        log.info("%s", dropped)
    folder = args.out or home(corpus, CACHE, args.seed)
    log.info("the encoder is %s", tuned(corpus, folder, args.seed))


if __name__ == "__main__":
    sys.exit(main())
