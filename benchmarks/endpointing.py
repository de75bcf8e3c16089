"""How long the segmenter waits at the end of speech, and how often it cuts somebody off.

    python benchmarks/endpointing.py --data ../shared/data [--json FILE]

Dialogue: ``diarization/*.flac`` with the speaker turns of their ``.rttm``. A cut is an end inside a turn that
goes on for at least 0.3 s after it was noticed; the reference bridges many breaths, so this counts pauses
within a turn too. The wait is from the last speech the detector heard until the end was noticed, with the mean
over the ends that were no cuts beside it. Sentences: the clips of ``asr/`` of up to 8 s, each a read sentence,
with a second of silence after it: the wait at its last end. Fixed waits are there to compare with. Needs the
extra ``dev``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile  # type: ignore[import-untyped]
from rich.console import Console
from rich.table import Table

from streamer.context import Context, Session
from streamer.segmenter import BLOCK, Config, Segmenter
from streamer.stage import run_inline
from streamer.types import AudioChunk, Floats, Segment
from streamer.vad import silero

RULES = {
    "adaptive": Config(partial_every=None),
    **{
        f"fixed {wait:.2f} s": Config(min_silence=wait, max_silence=wait, partial_every=None)
        for wait in (0.25, 0.3, 0.35, 0.4, 0.5)
    },
}
Turns = Sequence[tuple[float, float]]


def judged(pcm: Floats) -> tuple[Floats, list[float]]:
    """Sound in whole blocks, and the probability of speech of each."""
    context = Context(session=Session(conversation="e", purpose="research"), state_dir=Path())
    vad = silero.Config().build(context)()
    whole = pcm[: len(pcm) // BLOCK * BLOCK]
    return whole, [vad(block) for block in whole.reshape(-1, BLOCK)]


def sentences(data: Path) -> Iterator[tuple[Floats, list[float]]]:
    for path in sorted((data / "asr").glob("*.flac")):
        pcm, rate = soundfile.read(path, dtype="float32", always_2d=True)
        if pcm.shape[1] == 1 and len(pcm) <= 8 * rate:
            yield judged(np.concatenate([pcm[:, 0], np.zeros(rate, np.float32)]))


def recordings(data: Path) -> Iterator[tuple[Floats, list[float], Turns]]:
    """Sound in whole blocks, the probability of speech of each, and the turns."""
    for path in sorted((data / "diarization").glob("*.flac")):
        pcm, _ = soundfile.read(path, dtype="float32", always_2d=True)
        lines = path.with_suffix(".rttm").read_text(encoding="utf-8").splitlines()
        fields = [line.split() for line in lines if line.startswith("SPEAKER")]
        turns = [(float(f[3]), float(f[3]) + float(f[4])) for f in fields]
        yield *judged(np.asarray(pcm.mean(1), np.float32)), turns


def ends(config: Config, pcm: Floats, probabilities: Sequence[float]) -> Iterator[tuple[float, float]]:
    """When speech ended and when that was noticed; splits of long speech are no ends."""
    heard = iter(probabilities)
    for item in run_inline(Segmenter(lambda: lambda block: next(heard), config), [AudioChunk(pcm, 0.0)]):
        if isinstance(item, Segment) and item.noticed - item.span.end < 1.0:
            yield item.span.end - config.post_roll, item.noticed


def measure(
    config: Config,
    all_of_them: Sequence[tuple[Floats, list[float], Turns]],
    read: Sequence[tuple[Floats, list[float]]],
) -> dict[str, Any]:
    waits, kind = [], []
    for pcm, probabilities, turns in all_of_them:
        for end, noticed in ends(config, pcm, probabilities):
            waits.append(noticed - end)
            kind.append(any(a + 0.1 < end and b > noticed + 0.3 for a, b in turns))
    cut = np.array(kind)
    return {
        "ends": len(waits),
        "cuts": int(cut.sum()),
        "wait": float(np.mean(waits)),
        "wait_without_cuts": float(np.array(waits)[~cut].mean()),
        "wait_after_sentence": float(np.mean([_last_wait(config, *clip) for clip in read])),
    }


def _last_wait(config: Config, pcm: Floats, probabilities: Sequence[float]) -> float:
    *_, (end, noticed) = ends(config, pcm, probabilities)
    return noticed - end


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with diarization/ and asr/")
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    all_of_them = list(recordings(args.data))
    if not all_of_them:
        raise SystemExit(f"{args.data}: no diarization/*.flac there")
    read = list(sentences(args.data))
    report = {name: measure(config, all_of_them, read) for name, config in RULES.items()}
    table = Table(
        "end of speech after", "ends", "cuts in a turn", "mean wait", "without cuts", "sentences", box=None
    )
    for name, r in report.items():
        table.add_row(
            name,
            str(r["ends"]),
            str(r["cuts"]),
            *(f"{r[key]:.3f} s" for key in ("wait", "wait_without_cuts", "wait_after_sentence")),
        )
    Console().print(table)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
