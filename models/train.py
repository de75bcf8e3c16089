"""Training commands: ``python -m models.train meld|fusion --help``."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from models import command, hear
from models.checkpoint import WEIGHTS, digest
from models.encoders.text import TextEncoder, pretrained
from models.train_meld import Corpus, Features, Setup, Trainer, Variant, facts
from models.train_voice import CACHE
from models.training.rows import rounded

CONTROLS = ("text+voice", "text-only", "no-context")
ROOT = Path(__file__).parent.parent
log = logging.getLogger("models.train")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python -m models.train",
        description="Train the models that ship. An interrupted run goes on where it was.",
    )
    commands = top.add_subparsers(dest="command", required=True)
    meld = commands.add_parser(
        "meld",
        help="first stage: text encoder and fusion on MELD (words and voice)",
        description="Fine-tunes MiniLM and the conversation model together on MELD, past context only, "
        "anonymous speakers. A seed ends with one line of figures, after about 12 minutes of a quiet core.",
    )
    meld.add_argument(
        "--start", type=Path, help="the encoder of models.train_sentences to go on from (default: MiniLM)"
    )
    meld.add_argument(
        "--heard",
        type=Path,
        help="what models.hear wrote; without it no utterance is as a recogniser heard it",
    )
    meld.add_argument("--frozen", action="store_true", help="control: leave MiniLM as it is")
    meld.add_argument("--no-context", action="store_true", help="control: every utterance by itself")
    meld.add_argument("--text-only", action="store_true", help="control: no voice")
    fusion = commands.add_parser(
        "fusion",
        help="second stage: the fusion alone, for every subset of words, voice and (synthetic) faces",
        description="Starts from what 'meld' left in --out for each seed, encodes MELD once with that seed's "
        "int8 encoder (kept in --cache) and trains the fusion with modalities missing at random. The face "
        "comes from synthetic pairs of MELD utterances with FER+ faces, the voices of a share of the "
        "conversations from synthetic pairs with clips of RAVDESS and EmoDB, heard once (ten minutes).",
    )
    fusion.add_argument("--face", type=Path, default=WEIGHTS / "face.safetensors", help="face network")
    fusion.add_argument("--voice", type=Path, default=WEIGHTS / "voice.safetensors", help="voice network")
    fusion.add_argument(
        "--voice-cache", type=Path, default=CACHE, help="where what was heard of the clips is kept"
    )
    fusion.add_argument(
        "--cache", type=Path, default=ROOT / "runs" / "features", help="where features are kept"
    )
    fusion.add_argument(
        "--refit",
        type=Path,
        metavar="FOLDER",
        help="instead of what 'meld' left: train on the fusion in this folder of weights, beside its text "
        "encoder, after another face or voice network has come",
    )
    fusion.add_argument(
        "--controls",
        nargs="+",
        choices=CONTROLS,
        default=(),
        help="instead: train these from nothing on the same frozen features; with --refit, those of the text "
        "encoder in FOLDER",
    )
    for stage, threads in ((meld, 2), (fusion, 1)):
        stage.add_argument(
            "--data", type=Path, required=True, help="the folder that holds meld/, ferplus/, ravdess/, ..."
        )
        stage.add_argument("--seeds", type=int, nargs="+", default=[0], help="one run each (default: 0)")
        stage.add_argument("--out", type=Path, default=ROOT / "runs" / "meld", help="where states are kept")
        stage.add_argument("--config", type=Path, default=ROOT / "configs" / "models" / "meld.toml")
        stage.add_argument("--threads", type=int, default=threads, help=f"of torch (default: {threads})")
        stage.add_argument("--json", type=Path, help="append each finished seed's row to this file")
    return top


def train_meld(args: argparse.Namespace) -> None:
    """Train and measure each seed."""
    setup = Setup.read(args.config)
    variant = Variant(frozen=args.frozen, no_context=args.no_context, text_only=args.text_only)
    corpus = Corpus.read(args.data, setup.measures, no_context=args.no_context)
    if args.heard:
        corpus = replace(corpus, heard=hear.read(args.heard))
    features: Features | None = None
    for seed in args.seeds:
        if features is None or not args.frozen:
            context = 0 if args.frozen else setup.context
            start = args.start
            encoder = TextEncoder.trainable(start, context=context) if start else pretrained(context=context)
            features = Features(encoder, frozen=args.frozen)
        began = time.monotonic()
        folder = args.out / variant.name / f"seed{seed}"
        about = facts(features.encoder.meta if args.start else None)
        trainer = Trainer(corpus, setup, variant, seed, folder, features, about)
        with command.bar() as bar:
            task = bar.add_task(f"{variant.name} seed {seed}", total=trainer.total)
            for step, _, said in trainer.run():
                bar.update(task, completed=step)
                if said:
                    log.info("%s seed %d: %s, %.0f s", variant.name, seed, said, time.monotonic() - began)
        figures = trainer.finish()
        experiment = "meld, heard" if args.heard else "meld"
        row = {"experiment": experiment, "variant": variant.name, "seed": seed, **figures}
        row |= {"noise": asdict(setup.recipe.noise)} | ({"start": digest(args.start)} if args.start else {})
        keep(args, row | ({"heard": len(corpus.heard)} if args.heard else {}), setup)


def train_fusion(args: argparse.Namespace) -> None:
    """Train and measure the fusion of each seed, or its controls."""
    from models import fusion_controls, fusion_data
    from models import train_fusion as stage
    from models.encoders.face import FaceNet
    from models.encoders.voice import VoiceNet
    from models.synthetic_faces import faces
    from models.synthetic_voices import voices

    setup = Setup.read(args.config)
    corpus = Corpus.read(args.data, setup.measures)
    recipe = stage.Recipe(**setup.fusion)
    # before they are read: others may replace them
    used = {} if args.controls else {"face": digest(args.face), "voice": digest(args.voice)}
    seen = (
        {}
        if args.controls
        else {s: faces(args.data, s, FaceNet.load(args.face)) for s in ("train", "dev", "test")}
    )
    voice = None if args.controls else VoiceNet.load(args.voice)
    without = recipe.no_measures, recipe.no_embedding
    heard = voices(args.data, voice, corpus.prior, args.voice_cache, log.info, without) if voice else {}
    for seed in args.seeds:
        folder = args.out / "full" / f"seed{seed}"
        if not (args.refit or (folder / "fusion.pt").exists()):
            raise ValueError(f"{folder}: seed {seed} of 'meld' has not finished")
        words = (args.refit or folder) / "text.safetensors"
        encoders = {**used, "text": digest(words)}
        data = fusion_data.banks(TextEncoder.load(words), corpus, args.cache)
        if args.refit:
            torch.manual_seed(seed)
            start = stage.trained_before(args.refit / "fusion.safetensors", used.get("face"))
        else:
            start = stage.first_stage(folder / "fusion.pt", setup, voice.config.embedding if voice else 0)
        if args.controls:
            for name, figures in fusion_controls.controls(
                setup, data, start, names=args.controls, recipe=recipe, seed=seed
            ):
                keep(args, {"experiment": "frozen features", "variant": name, "seed": seed, **figures}, setup)
            continue
        trained = stage.fuse(start, data, seen, heard, recipe=recipe, seed=seed, say=log.info)
        before = digest(args.refit / "fusion.safetensors") if args.refit else None
        folder.mkdir(parents=True, exist_ok=True)
        stage.store(folder / "fusion.safetensors", trained, corpus.prior, encoders, seed, before)
        row = {"experiment": "fusion", "variant": "refit" if args.refit else "shipped", "seed": seed}
        row["temperatures"] = trained.temperatures.table()
        keep(args, {**row, **trained.figures}, setup)


def keep(args: argparse.Namespace, row: dict[str, Any], setup: Setup) -> None:
    """Log a finished row and append it to ``--json``."""
    facts = {
        "config": args.config.name,
        "measures": list(setup.measures),
        "date": datetime.now(UTC).date().isoformat(),
    }
    line = json.dumps({**rounded(row), **facts})
    log.info("%s", line)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        with args.json.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit code is that of `models.command.run`."""
    args = parser().parse_args(argv)
    torch.set_num_threads(args.threads)
    stage = {"meld": train_meld, "fusion": train_fusion}[args.command]
    return command.run(lambda: stage(args), "stopped; the same command goes on from what it kept")


if __name__ == "__main__":
    sys.exit(main())
