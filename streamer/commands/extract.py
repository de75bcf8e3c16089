"""``lmam data extract``: features of recorded clips by the encoders that run live, in parallel, resumable.

Every clip of MELD.Raw is decoded as a live recording is (`streamer.sources.decode`): its words through the
text encoder with the speaker's letter, its sound through the voice measures, its pictures through the face
encoder and its pooling. A conversation is one file, written whole; what is there already is not made again.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.data import extracted, meld_raw
from models.data.corpus import Corpus, DataError
from models.encoders.prosody import USED_MEASURES, ProsodyAccumulator

from ..errors import CaptureError, ConfigError, EncodeError
from ..weights import find

if TYPE_CHECKING:
    from models.encoders.text import TextEncoder

    from ..encoders.face import Config

Floats = NDArray[np.float32]
PROBLEMS = "problems.txt"


@dataclass(frozen=True, slots=True)
class Task:
    """One conversation: where its features go, its utterances, words, speakers (0, 1, ...) and clips."""

    shard: Path
    utterances: tuple[str, ...]
    texts: tuple[str, ...]
    speakers: tuple[int, ...]
    clips: tuple[Path | None, ...]


@dataclass(frozen=True, slots=True)
class Encoders:
    """What one process loads once."""

    text: TextEncoder
    face: Config
    embedding: int  # width of a face's features


def run(folder: Path, out: Path, jobs: int | None = None) -> None:
    """Extract MELD.Raw in ``folder`` into ``out`` with ``jobs`` processes (None: one for each core).

    Raises:
        ConfigError: not such a folder, a split has no clip, or ``out`` holds features made otherwise.
        EncodeError: an encoder's weights are missing, or a process was ended.
    """
    detector = "yunet" if find("yunet") else "haar"
    try:
        found = meld_raw.recorded(folder)
        corpus = replace(
            meld_raw.bare({s: tuple(r.conversation for r in rs) for s, rs in found.items()}),
            measures={"audio": USED_MEASURES},
        )
        for split, rows in found.items():
            if not any(clip for r in rows for clip in r.clips):
                raise DataError(f"{folder}: labels of {split}, but none of its clips; {meld_raw.LAYOUT}")
        _begin(out, corpus, settings(detector))
    except DataError as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        raise ConfigError(
            f"{out}: cannot be written ({error.strerror}); name another folder with --out"
        ) from error
    tasks = [
        Task(
            extracted.shard(out, split, r.conversation.id),
            r.conversation.utterances,
            r.conversation.texts,
            r.conversation.order_of_appearance(),
            r.clips,
        )
        for split, rows in found.items()
        for r in rows
    ]
    _work(tasks, out, jobs or os.cpu_count() or 1, detector)


def settings(detector: str) -> dict[str, Any]:
    """What the features depend on: digests of the weights, the detector of faces, the measures."""
    from models.checkpoint import WEIGHTS

    digests = {
        name: hashlib.sha256((WEIGHTS / f"{name}.safetensors").read_bytes()).hexdigest()[:16]
        for name in ("text", "face")
    }
    return {**digests, "detector": detector, "measures": list(USED_MEASURES)}


def _begin(out: Path, corpus: Corpus, made_with: dict[str, Any]) -> None:
    """Write what ``out`` holds, unless it holds features made otherwise."""
    before = extracted.described(out)
    if before is not None and before["settings"] != made_with:
        other = [k for k in made_with if before["settings"].get(k) != made_with[k]]
        raise DataError(
            f"{out}: holds features made with another {' and '.join(other)}; name another folder with --out"
        )
    if before is None and out.is_dir() and any(out.iterdir()):
        raise DataError(
            f"{out}: is not empty and not a folder of extracted features; name another with --out"
        )
    extracted.describe(out, corpus, made_with)


def _work(tasks: Sequence[Task], out: Path, jobs: int, detector: str) -> None:
    left = [t for t in tasks if not _done(t)]
    console = Console(stderr=True)
    if len(left) < len(tasks):
        console.print(f"{len(tasks) - len(left)} of {len(tasks)} conversations are there already")
    problems = 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress, (out / PROBLEMS).open("a", encoding="utf-8") as log:
        bar = progress.add_task("conversations", total=len(tasks), completed=len(tasks) - len(left))
        for said in _results(left, min(jobs, max(1, len(left))), detector):
            log.writelines(f"{line}\n" for line in said)
            problems += len(said)
            progress.update(bar, advance=1, description=f"conversations, {problems} clips not whole")
    console.print(f"{out}: {len(tasks)} conversations")
    if problems:
        console.print(f"{problems} clips are missing or damaged; {out / PROBLEMS} names them")


def _done(task: Task) -> bool:
    try:
        extracted.load(task.shard, len(task.texts))
    except DataError:
        return False
    return True


def _results(tasks: Sequence[Task], jobs: int, detector: str) -> Iterator[list[str]]:
    """What was wrong with the clips of each conversation, as conversations are done."""
    if jobs == 1:
        for task in tasks:
            yield extract(task, _encoders(detector))
        return
    context = multiprocessing.get_context("spawn")  # torch's and OpenCV's threads survive no fork
    pool = ProcessPoolExecutor(jobs, context, _start, (detector,))
    try:
        futures: list[Future[list[str]]] = [pool.submit(_extract, task, detector) for task in tasks]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise EncodeError(
            "a process was ended from outside, perhaps for want of memory; run again with fewer --jobs: what"
            " is done stays"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start(detector: str) -> None:
    """In each process: Ctrl-C is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _encoders(detector)


def _extract(task: Task, detector: str) -> list[str]:
    return extract(task, _encoders(detector))


@cache
def _encoders(detector: str) -> Encoders:
    import torch

    from models.encoders.face import FaceNet
    from models.encoders.text import TextEncoder

    from ..encoders.face import Config

    torch.set_num_threads(1)  # the processes are what runs in parallel
    face = Config.model_validate({"detector": detector})
    return Encoders(TextEncoder.load(), face, FaceNet.load().config.embedding)


def extract(task: Task, encoders: Encoders) -> list[str]:
    """Write the features of a conversation; returns a line for each clip that is missing or damaged.

    ``text`` ``[N, 384]``, ``audio`` ``[N, 7]`` raw measures, ``visual`` ``[N, 64]``: NaN where a clip has no
    words, sound or face.
    """
    from models.data.features import encoded

    audio, visual, said = [], [], []
    for name, clip in zip(task.utterances, task.clips, strict=True):
        voice, face = np.full(len(USED_MEASURES), np.nan), np.full(encoders.embedding, np.nan)
        try:
            if clip is None:
                raise CaptureError(f"{name}: no clip")
            voice, face, damage = _clip(clip, encoders, voice, face)
            said += [damage] if damage else []
        except CaptureError as error:
            said.append(str(error))
        audio.append(voice)
        visual.append(face)
    features = {
        "text": encoded(encoders.text, list(zip(task.texts, task.speakers, strict=True))),
        "audio": np.stack(audio).astype(np.float32),
        "visual": np.stack(visual).astype(np.float32),
    }
    extracted.save(task.shard, features)
    return said


def _clip(
    path: Path, encoders: Encoders, voice: NDArray[Any], face: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], str | None]:
    """Voice measures and the pooled face of a clip, as given where it has none, and what is wrong with it.

    Raises:
        CaptureError: it cannot be read at all.
    """
    from ..faces.pool import pool
    from ..sources.decode import Options, Reader, probe
    from ..types import AudioChunk, FaceSample

    reader = Reader(path, probe(path), Options())
    meter = ProsodyAccumulator()
    stage = encoders.face.build()  # a new one: it follows the faces of a clip
    seen: list[FaceSample] = []
    try:
        while items := reader.take(16):
            for item in items:
                if isinstance(item, AudioChunk):
                    meter.push(item.pcm)
                else:
                    seen += [s for s in stage.push(item) if isinstance(s, FaceSample)]
    finally:
        reader.close()
    if meter.seconds:
        voice = np.array(meter.measures().values())
    if (found := pool(seen)) is not None:
        face = found.embedding
    return voice, face, reader.damage
