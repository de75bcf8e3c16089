"""Conversations of several people joined from clips, with the truth of who speaks when.

The data sets are those of ../shared/data (docs/benchmarks.md); nothing made of them is kept.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile  # type: ignore[import-untyped]
from scipy.signal import fftconvolve  # type: ignore[import-untyped]

from streamer.bench.recordings import Turn
from streamer.types import RATE, Floats

LOUD = 0.05  # root mean square of every voice in a conversation
TURN = 3.0  # seconds, median
LONGEST, SHORTEST = 6.0, 2.0  # seconds of a piece of a clip


def people(data: Path, corpus: str, emotions: Collection[str] = ()) -> dict[str, list[Floats]]:
    """The speech of everybody in ``corpus``: clips without the silence at both ends, long ones cut at a pause.

    ``emotions``: clips of these only.
    """
    root = data / corpus
    with (root / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.get("channels", "1") == "1" and row["speaker"]]
    found: dict[str, list[Floats]] = {}
    for row in (row for row in rows if not emotions or row["emotion"] in emotions):
        found.setdefault(f"{corpus} {row['speaker']}", []).extend(_pieces(_speech(_read(root, row))))
    return found


def seconds(clips: Sequence[Floats]) -> float:
    return sum(map(len, clips)) / RATE


def conversation(
    voices: Mapping[str, list[Floats]],
    length: float,
    rng: np.random.Generator,
    overlap: float = 0.0,
    shares: Sequence[float] | None = None,
) -> tuple[Floats, list[Turn]]:
    """``voices``, all equally loud, in turns of about 3 s until ``length`` seconds are full.

    Pauses of 0.05 to 0.25 s between the clips of a turn, 0.1 to 0.8 s more between turns. When all clips of
    somebody were said, they come again. ``overlap``: share of the turns that begin 0.3 to 1.2 s too early, while
    the one before goes on. ``shares``: how often each has the next turn, also after their own; without it everybody else
    is as likely.
    """
    gain = {n: LOUD / np.sqrt(np.mean(np.square(np.concatenate(c)))) for n, c in voices.items()}
    waiting: dict[str, list[int]] = {name: [] for name in voices}
    placed: list[tuple[int, Floats]] = []
    turns: list[Turn] = []
    at, last = 0, ""
    while at < length * RATE:
        others = [n for n in voices if n != last or shares is not None] or list(voices)
        last = str(rng.choice(others, p=shares))
        left = float(np.clip(rng.lognormal(np.log(TURN), 0.6), 0.8, 15.0))
        while left > 0:
            waiting[last] = waiting[last] or list(rng.permutation(len(voices[last])))
            clip = voices[last][waiting[last].pop()] * gain[last]
            turns.append((at / RATE, (at + len(clip)) / RATE, last))
            placed.append((at, clip))
            at, left = at + len(clip) + _samples(0.05, 0.25, rng), left - len(clip) / RATE
        at += _samples(0.1, 0.8, rng)
        if overlap and rng.random() < overlap:
            at = max(placed[-1][0], placed[-1][0] + len(placed[-1][1]) - _samples(0.3, 1.2, rng))
    pcm = np.zeros(max(at, *(begin + len(clip) for begin, clip in placed)), np.float32)
    for begin, clip in placed:
        pcm[begin : begin + len(clip)] += clip
    return np.asarray(pcm + rng.normal(0, 1e-4, len(pcm)), np.float32), turns


def in_a_room(pcm: Floats, data: Path, decibel: float, rng: np.random.Generator) -> Floats:
    """``pcm`` in one of four rooms, with the noise of an office ``decibel`` below it."""
    room = _first_channel(data / "noise" / f"rir{rng.integers(1, 5)}.flac")
    room = room[np.abs(room).argmax() :]
    heard = fftconvolve(pcm, room / np.sqrt(np.square(room).sum()))[: len(pcm)]
    noise = np.resize(_first_channel(data / "noise" / "office_ambience.flac"), len(pcm))
    gain = np.sqrt(np.mean(np.square(heard)) / np.mean(np.square(noise))) * 10 ** (-decibel / 20)
    return np.asarray(heard + gain * noise, np.float32)


def _first_channel(path: Path) -> Floats:
    pcm, _ = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(pcm[:, 0], np.float32)


def _read(root: Path, row: Mapping[str, str]) -> Floats:
    if "shard" not in row:
        return _first_channel(root / row["path"])
    with zipfile.ZipFile(root / row["shard"]) as shard:
        return np.asarray(soundfile.read(io.BytesIO(shard.read(row["path"])), dtype="float32")[0], np.float32)


def _speech(pcm: Floats) -> Floats:
    power = np.square(pcm[: len(pcm) // 320 * 320].reshape(-1, 320)).mean(1)
    loud = np.flatnonzero(power > power.max() * 1e-3)
    return pcm[loud[0] * 320 : (loud[-1] + 1) * 320]


def _pieces(pcm: Floats) -> list[Floats]:
    if len(pcm) < LONGEST * RATE:
        return [pcm]
    first = round(SHORTEST * RATE)
    part = pcm[first : round(LONGEST * RATE)]
    at = first + int(np.square(part[: len(part) // 800 * 800].reshape(-1, 800)).mean(1).argmin()) * 800
    return [pcm[:at], *_pieces(pcm[at:])]


def _samples(shortest: float, longest: float, rng: np.random.Generator) -> int:
    return round(rng.uniform(shortest, longest) * RATE)
