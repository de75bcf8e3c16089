"""Word errors, speed and invented words of every recogniser on this disk; chooses its confidence threshold.

    python benchmarks/wer.py --data ../shared/data [--json FILE] [--only NAME] [--seconds-of-noise 120]

Speech: the clips of ``asr/manifest.csv`` and the spoken ones of ``talking_faces/manifest.csv``, cut into
utterances as a live run cuts them (so a word that the detector loses counts as an error). Noise: ``noise/``,
cut into windows of 1 s and 2.5 s that are given to the recogniser directly, as if the voice activity detector
had taken them for speech; what the detector itself lets through is counted apart. Impulse responses are left
out. Needs the extra ``dev`` (jiwer, soundfile).

The threshold is the largest multiple of 0.05 that leaves no spoken clip without words: the detector is what
keeps noise out. The strict one, for those who would rather have no words than wrong ones, has the largest
share of usable clips kept (word error rate up to 50 %) minus share of noise windows whose words are kept.
Times are processor seconds of this process per second of speech, so that a busy machine does not change them
much; a recogniser with threads of its own is counted with all of them.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import av
import jiwer
import numpy as np
import soundfile  # type: ignore[import-untyped]
from rich.console import Console
from rich.table import Table

from streamer import weights
from streamer.context import Context, Session
from streamer.pipeline import Transcriber
from streamer.segmenter import Config as SegmenterConfig
from streamer.segmenter import Segmenter
from streamer.stage import run_inline
from streamer.transcribers import faster_whisper, pocketsphinx
from streamer.types import RATE, AudioChunk, Floats, Segment, Speaker, Utterance
from streamer.vad import silero

USABLE = 0.5  # word error rate up to which an utterance's words say something
WINDOWS = (1.0, 2.5)  # seconds of noise taken for speech
LEVELS = [round(0.05 * i, 2) for i in range(21)]

Build = Callable[[], Transcriber]
CONTEXT = Context(session=Session(conversation="wer", purpose="research"), state_dir=Path())


@dataclass(frozen=True, slots=True)
class Clip:
    name: str
    text: str
    pcm: Floats


@dataclass(frozen=True, slots=True)
class Result:
    """What one recogniser made of one clip; ``confidence`` is the mean over its utterances, ``surest`` the
    largest."""

    clip: str
    wer: float
    confidence: float
    surest: float
    reference: str
    heard: str


@dataclass(frozen=True, slots=True)
class Invented:
    """Words made of one window of noise (``text`` empty: none)."""

    clip: str
    seconds: float
    text: str
    confidence: float


def clips(data: Path) -> Iterator[Clip]:
    """Every clip with a reference; a channel that has a text of its own is a clip of its own."""
    for folder in (data / "asr", data / "talking_faces"):
        for row in _manifest(folder):
            if not row["text"]:
                continue
            pcm = sound(folder / row["path"])
            texts = [t.partition(":")[2] for t in row["text"].split("|")] if pcm.ndim > 1 else [row["text"]]
            for i, text in enumerate(texts):
                name = row["path"] if pcm.ndim == 1 else f"{row['path']}:{i}"
                yield Clip(name, plain(text), pcm if pcm.ndim == 1 else np.ascontiguousarray(pcm[:, i]))


def _manifest(folder: Path) -> list[dict[str, str]]:
    path = folder / "manifest.csv"
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def sound(path: Path) -> Floats:
    """``[N]``, or ``[N, C]`` of a file with several channels; a video's sound is mixed down."""
    if path.suffix == ".flac":
        pcm, rate = soundfile.read(path, dtype="float32")
        if rate != RATE:
            raise SystemExit(f"{path}: {rate} Hz, expected {RATE}")
        return np.asarray(pcm, np.float32)
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    with av.open(str(path)) as container:
        frames = [f for frame in container.decode(audio=0) for f in resampler.resample(frame)]
    return np.concatenate([f.to_ndarray()[0] for f in (*frames, *resampler.resample(None))])


def plain(text: str) -> str:
    """Lower case, no punctuation, so that recognisers with and without both can be compared."""
    return " ".join(re.sub(r"[^a-z' ]", " ", text.lower().replace("’", "'").replace("-", " ")).split())


def utterances(pcm: Floats) -> list[Utterance]:
    segmenter = Segmenter(silero.Config().build(CONTEXT), SegmenterConfig(partial_every=None))
    return [spoken(s) for s in run_inline(segmenter, [AudioChunk(pcm, 0.0)]) if isinstance(s, Segment)]


def spoken(segment: Segment) -> Utterance:
    return Utterance(segment.span, segment, (), Speaker("s0"))


def transcribers(only: str | None) -> Iterator[Build]:
    """How to make the embedded one, and every Whisper in the weights folder."""
    found = [w.name for w in weights.list_weights() if w.kind == "speech recogniser" and w.path is not None]
    for name in ("pocketsphinx", *found):
        if only is not None and name != only:
            continue
        if name == "pocketsphinx":
            yield partial(pocketsphinx.Config().build, CONTEXT)
        else:
            path = weights.folder() / name
            yield partial(faster_whisper.Config(model=str(path), language="en").build, CONTEXT)


def speech(build: Build, all_clips: Sequence[Clip]) -> tuple[list[Result], float]:
    """Every clip's result by a recogniser that knows no other, and processor seconds per second of speech."""
    results, spent, heard_seconds = [], 0.0, 0.0
    for clip in all_clips:
        spoken_here, stage = utterances(clip.pcm), build()
        began = time.process_time()
        done = run_inline(stage, spoken_here)
        spent += time.process_time() - began
        heard_seconds += sum(u.span.duration for u in spoken_here)
        words = [u.transcript for u in done if u.transcript is not None]
        heard = plain(" ".join(t.text for t in words))
        sure = [u.transcript.confidence if u.transcript else 0.0 for u in done] or [0.0]
        wrong = jiwer.wer(clip.text, heard)
        results.append(Result(clip.name, wrong, float(np.mean(sure)), max(sure), clip.text, heard))
    return results, spent / max(heard_seconds, 1e-9)


def noise(stage: Transcriber, data: Path, limit: float) -> tuple[list[Invented], int]:
    """What is made of windows of noise, and how many utterances the detector takes noise for."""
    made: list[Invented] = []
    through = 0
    for path in sorted((data / "noise").glob("*.flac")):
        if path.name.startswith("rir"):
            continue
        pcm = sound(path)
        through += len(utterances(pcm))
        for seconds in WINDOWS:
            size = round(seconds * RATE)
            for at in range(0, min(len(pcm), round(limit / 10 * RATE)) - size + 1, size):
                segment = Segment(AudioChunk(pcm[at : at + size], at / RATE))
                (got,) = stage.push(spoken(segment))
                words = got.transcript
                made.append(
                    Invented(
                        path.name, seconds, words.text if words else "", words.confidence if words else 0.0
                    )
                )
    return made, through


def kept(results: Sequence[Result], invented: Sequence[Invented], level: float) -> dict[str, float]:
    """What a threshold does: share of usable and of useless clips kept, and of noise windows."""
    usable = [r for r in results if r.wer <= USABLE]
    useless = [r for r in results if r.wer > USABLE]
    passed = [r for r in results if r.confidence >= level]
    return {
        "threshold": level,
        "usable": _share([r.confidence >= level for r in usable]),
        "useless": _share([r.confidence >= level for r in useless]),
        "without_words": sum(r.surest < level for r in results),
        "noise": _share([i.text != "" and i.confidence >= level for i in invented]),
        "wer_of_kept": jiwer.wer([r.reference for r in passed], [r.heard for r in passed])
        if passed
        else float("nan"),
    }


def choose(rows: Sequence[dict[str, float]]) -> tuple[float, float]:
    """The threshold, and the strict one."""
    speaks = max(row["threshold"] for row in rows if row["without_words"] == rows[0]["without_words"])
    best = max(row["usable"] - row["noise"] for row in rows)
    return speaks, min(row["threshold"] for row in rows if row["usable"] - row["noise"] >= best - 0.01)


def _share(flags: Sequence[bool]) -> float:
    return float(np.mean(flags)) if flags else 0.0


def measure(build: Build, all_clips: Sequence[Clip], data: Path, limit: float) -> dict[str, Any]:
    results, rtf = speech(build, all_clips)
    stage = build()
    invented, through = noise(stage, data, limit)
    rows = [kept(results, invented, level) for level in LEVELS]
    read = [r for r in results if len(r.reference.split()) <= 40]
    return {
        "name": stage.name,
        "wer": jiwer.wer([r.reference for r in results], [r.heard for r in results]),
        "wer_short_clips": jiwer.wer([r.reference for r in read], [r.heard for r in read]),
        "words": sum(len(r.reference.split()) for r in results),
        "cpu_seconds_per_second": rtf,
        "noise_windows": len(invented),
        "noise_windows_with_words": sum(i.text != "" for i in invented),
        "noise_words_kept_at_default": sum(
            i.text != "" and i.confidence >= stage.min_confidence for i in invented
        ),
        "noise_taken_for_speech_by_the_detector": through,
        "correlation_of_confidence_and_wer": float(
            np.corrcoef([r.wer for r in results], [r.confidence for r in results])[0, 1]
        ),
        "threshold": choose(rows)[0],
        "strict_threshold": choose(rows)[1],
        "default": stage.min_confidence,
        "thresholds": rows,
        "clips": [asdict(r) for r in results],
        "noise": [asdict(i) for i in invented if i.text],
    }


def show(report: dict[str, Any], console: Console) -> None:
    console.print(
        f"\n[bold]{report['name']}[/]: {report['wer']:.1%} word errors on {report['words']} words"
        f" ({report['wer_short_clips']:.1%} on clips of up to 40 words),"
        f" {report['cpu_seconds_per_second']:.2f} processor seconds a second;"
        f" correlation of confidence and errors {report['correlation_of_confidence_and_wer']:.2f}"
    )
    console.print(
        f"noise: the detector took {report['noise_taken_for_speech_by_the_detector']} stretches for speech; given"
        f" {report['noise_windows']} windows anyway, words were made of {report['noise_windows_with_words']},"
        f" and kept of {report['noise_words_kept_at_default']} at the default {report['default']}"
    )
    table = Table(
        "threshold", "usable kept", "useless kept", "noise kept", "word errors of kept", "", box=None
    )
    for row in report["thresholds"]:
        marks = {report["strict_threshold"]: "<- strict", report["threshold"]: "<- chosen"}
        table.add_row(
            f"{row['threshold']:.2f}",
            *(f"{row[k]:.0%}" for k in ("usable", "useless", "noise")),
            f"{row['wer_of_kept']:.1%}",
            str(row["without_words"]),
            marks.get(row["threshold"], ""),
        )
        if row["usable"] == 0:
            break
    console.print(table)
    table = Table("clip", "word errors", "confidence", box=None)
    for result in sorted(report["clips"], key=lambda r: r["wer"]):
        table.add_row(result["clip"], f"{result['wer']:.0%}", f"{result['confidence']:.2f}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with asr/ and noise/")
    parser.add_argument("--json", type=Path, help="write everything here")
    parser.add_argument("--only", help="one recogniser, such as pocketsphinx or whisper-base")
    parser.add_argument("--seconds-of-noise", type=float, default=120.0, help="about; all files share it")
    args = parser.parse_args()
    if not (args.data / "asr" / "manifest.csv").is_file():
        raise SystemExit(f"{args.data}: no asr/manifest.csv there")
    console = Console()
    all_clips = list(clips(args.data))
    reports = []
    for build in transcribers(args.only):
        reports.append(measure(build, all_clips, args.data, args.seconds_of_noise))
        show(reports[-1], console)
    if args.json:
        args.json.write_text(json.dumps(reports, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
