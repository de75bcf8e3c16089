"""The streaming voice measures against Praat on RAVDESS, and what they cost on one core.

    OMP_NUM_THREADS=1 python -m benchmarks.prosody [--data DIR] [--every N] [--json FILE]

"whole": both on the clip as it is, digital silence included. "cut": Praat on the clip cut to its speech (50 ms on
either side); ours, as it runs live, on the same with another 0.3 s of the clip's own silence on both sides. "cut +
noise" adds the same to both, 25 dB under the speech, as loud as a background is in a series; "untrimmed" is that,
with ours over the silence, too: the reason for leaving it out. Needs praat-parselmouth and soundfile (the extra
``dev``), which are no part of the program.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from models.encoders.prosody import MEASURES, RATE, USED_MEASURES, ProsodyAccumulator
from models.training.rows import commit, told
from tests import praat

Pcm = NDArray[np.float32]
RAVDESS = Path(__file__).parents[2] / "shared" / "data" / "ravdess"
CHUNK = 512  # samples, what the segmenter passes on
CASES = ("whole", "cut", "cut + noise", "untrimmed")
PADDING, MARGIN, NOISE_DB = 0.3, 0.05, -25.0


@dataclass(frozen=True, slots=True)
class Agreement:
    """Correlation of one measure with Praat's over ``clips`` and the median absolute difference, per case."""

    measure: str
    used: bool
    clips: dict[str, int]
    correlation: dict[str, float]
    difference: dict[str, float]


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor seconds per second of sound, all in all and for the last call after the end of speech (ms)."""

    real_time_factor: float
    end_ms_p50: float
    end_ms_p95: float


def clips(root: Path, every: int) -> Iterator[Pcm]:
    """Every ``every``-th clip of RAVDESS, 16 kHz mono."""
    with (root / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[::every]
    for row in rows:
        with zipfile.ZipFile(root / row["shard"]) as shard:
            yield soundfile.read(io.BytesIO(shard.read(row["path"])), dtype="float32")[0]


def stream(pcm: Pcm) -> tuple[ProsodyAccumulator, float, float]:
    """``pcm`` pushed as it would come live; processor seconds spent in pushing and in the final measures."""
    voice, start = ProsodyAccumulator(), time.process_time()
    for at in range(0, len(pcm), CHUNK):
        voice.push(pcm[at : at + CHUNK])
    pushed = time.process_time()
    voice.measures()
    return voice, pushed - start, time.process_time() - pushed


def ours(pcm: Pcm, *, whole: bool) -> tuple[float, ...]:
    return stream(pcm)[0].measures(whole=whole).values(MEASURES)


def cut(pcm: Pcm) -> tuple[int, int]:
    """First and last sample of the speech with its margin."""
    begin, end = praat.speech_span(pcm)
    return max(0, int((begin - MARGIN) * RATE)), min(len(pcm), int((end + MARGIN) * RATE))


def compare(pcm: Pcm, case: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Our values and Praat's of one clip, in one of `CASES`."""
    if case == "whole":
        return ours(pcm, whole=True), praat.measures(pcm)
    begin, end = cut(pcm)
    padding = int(PADDING * RATE)
    if case != "cut":
        level = np.sqrt(np.mean(np.square(pcm[begin:end]))) * 10 ** (NOISE_DB / 20)
        noise = np.random.default_rng(len(pcm)).normal(size=len(pcm))
        pcm = (pcm + level * noise).astype(np.float32)
    padded = pcm[max(0, begin - padding) : end + padding]
    return ours(padded, whole=case == "untrimmed"), praat.measures(pcm[begin:end])


def agreement(sounds: Sequence[Pcm], cases: Sequence[str] = CASES) -> list[Agreement]:
    """Per measure, over the clips ``sounds``."""
    pairs = {case: np.array([compare(pcm, case) for pcm in sounds]) for case in cases}
    found = []
    for column, measure in enumerate(MEASURES):
        count, correlation, difference = {}, {}, {}
        for case, values in pairs.items():
            mine, theirs = values[:, 0, column], values[:, 1, column]
            both = np.isfinite(mine) & np.isfinite(theirs)
            count[case] = int(both.sum())
            correlation[case] = float(np.corrcoef(mine[both], theirs[both])[0, 1])
            difference[case] = float(np.median(np.abs(mine - theirs)[both]))
        found.append(Agreement(measure, measure in USED_MEASURES, count, correlation, difference))
    return found


def cost(sounds: list[Pcm]) -> Cost:
    """Measured on ``sounds``, each streamed once."""
    spent = [stream(pcm)[1:] for pcm in sounds]
    seconds = sum(len(pcm) for pcm in sounds) / RATE
    ends = [1e3 * end for _, end in spent]
    return Cost(
        sum(map(sum, spent)) / seconds, float(np.percentile(ends, 50)), float(np.percentile(ends, 95))
    )


def show(found: list[Agreement], price: Cost) -> None:
    table = Table(title="correlation with Praat (median absolute difference)")
    for heading in ("measure", "used", *CASES, "clips"):
        table.add_column(heading, justify="left" if heading == "measure" else "right", no_wrap=True)
    for a in found:
        cells = [f"{a.correlation[case]:.3f} ({a.difference[case]:.3g})" for case in CASES]
        table.add_row(a.measure, "yes" if a.used else "no", *cells, str(a.clips["whole"]))
    console = Console(width=120)
    console.print(table)
    console.print(
        f"{100 * price.real_time_factor:.2f} % of real time on one core; at the end of speech "
        f"{price.end_ms_p50:.1f} ms (median), {price.end_ms_p95:.1f} ms (p95)"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=RAVDESS, help="folder of RAVDESS, with manifest.csv")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every N-th clip only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers here")
    args = parser.parse_args()
    if not (args.data / "manifest.csv").exists():
        print(f"no RAVDESS at {args.data}: give its folder, with manifest.csv, as --data", file=sys.stderr)
        return 1
    sounds = list(clips(args.data, args.every))
    found = agreement(sounds)
    price = cost(sounds[:: max(1, len(sounds) // 60)])
    show(found, price)
    if args.json:
        report = {"clips": len(sounds), "measures": [asdict(a) for a in found], "cost": asdict(price)}
        report |= {"commit": commit(), "command": told(["python", "-m", "benchmarks.prosody", *sys.argv[1:]])}
        args.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
