"""``lmam data extract``: features of recorded clips by the encoders that run live, in parallel, resumable.

Every clip of MELD.Raw is decoded as a live recording is (`streamer.sources.decode`): its words through the
text encoder with the speaker's letter, its sound through the voice measures, its pictures through the face
encoder and its pooling; big encoders may be named in the place of each. A conversation is one file, written
whole; what is there already is not made again.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import sys
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

from models.checkpoint import CheckpointError
from models.data import extracted, meld_raw
from models.data.corpus import Corpus, DataError
from models.dialogue import MODALITIES
from models.encoders.hub.spec import Spec, parse
from models.encoders.prosody import USED_MEASURES, ProsodyAccumulator

from ..errors import CaptureError, ConfigError, EncodeError
from ..weights import find

if TYPE_CHECKING:
    from models.data.features import Encoder
    from models.encoders.hub.face import HubFace
    from models.encoders.hub.voice import HubVoice

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
class Choice:
    """The detector of faces, and the names of big encoders (`models.encoders.hub.spec`) in place of ours."""

    detector: str
    text: str = ""
    audio: str = ""
    visual: str = ""

    def named(self) -> dict[str, Spec]:
        """Big encoders by modality.

        Raises:
            ValueError: a name that is none.
        """
        return {m: parse(name, m) for m in MODALITIES if (name := getattr(self, m))}


@dataclass(frozen=True, slots=True)
class Encoders:
    """What one process loads once."""

    text: Encoder
    voice: HubVoice | None  # None: the voice measures
    face: Config
    colour: HubFace | None  # embeds faces in the place of ours
    widths: tuple[int, int]  # of a voice's and a face's features


@dataclass(frozen=True, slots=True)
class Clip:
    """What a clip gives: its ``sound`` at 16 kHz where a network is to hear it; NaN for what it has not."""

    voice: NDArray[Any]
    sound: Floats
    face: NDArray[Any]
    damage: str | None = None


def run(
    folder: Path, out: Path, jobs: int | None = None, *, text: str = "", voice: str = "", face: str = ""
) -> None:
    """Extract MELD.Raw in ``folder`` into ``out`` with ``jobs`` processes (None: one for each core, on a GPU
    at most four), by our encoders or by the big ones that are named.

    Raises:
        ConfigError: not such a folder or encoder, a split has no clip, or ``out`` holds features made
            otherwise.
        CheckpointError: an encoder's weights are damaged. EncodeError: a process was ended.
    """
    choice = Choice("yunet" if find("yunet") else "haar", text, voice, face)
    try:
        named = choice.named()
    except ValueError as error:
        raise ConfigError(str(error)) from error
    try:
        found = meld_raw.recorded(folder)
        corpus = replace(
            meld_raw.bare({s: tuple(r.conversation for r in rs) for s, rs in found.items()}),
            measures={} if voice else {"audio": USED_MEASURES},
        )
        for spec in named.values():
            corpus = replace(corpus, licence=f"{corpus.licence}; features by {spec.short}, its publisher's")
        for split, rows in found.items():
            if not any(clip for r in rows for clip in r.clips):
                raise DataError(f"{folder}: labels of {split}, but none of its clips; {meld_raw.LAYOUT}")
        _begin(out, corpus, settings(choice))
    except (DataError, CheckpointError) as error:
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
    _work(tasks, out, jobs or _usual_jobs(choice), choice)


def _usual_jobs(choice: Choice) -> int:
    """Every process holds its own big encoders."""
    from models.encoders.hub.files import device_of

    on_gpu = any(device_of(spec).type == "cuda" for spec in choice.named().values())
    return min(os.cpu_count() or 1, 4 if on_gpu else sys.maxsize)


def settings(choice: Choice) -> dict[str, Any]:
    """What the features depend on: digests of the weights, the detector of faces, the measures.

    Raises:
        CheckpointError: no such big encoder.
    """
    from models.checkpoint import WEIGHTS
    from models.encoders.hub import files, voice

    digests = {
        name: hashlib.sha256((WEIGHTS / f"{name}.safetensors").read_bytes()).hexdigest()[:16]
        for name in ("text", "face")
    }
    out = {**digests, "detector": choice.detector, "measures": [] if choice.audio else list(USED_MEASURES)}
    for modality, spec in choice.named().items():
        digest = voice.name(spec) if modality == "audio" else files.digest(spec, files.find(spec))
        out[{"audio": "voice", "visual": "face"}.get(modality, modality)] = f"{spec.short} {digest}"
    return out


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


def _work(tasks: Sequence[Task], out: Path, jobs: int, choice: Choice) -> None:
    left = [t for t in tasks if not _done(t)]
    console = Console(stderr=True)
    if len(left) < len(tasks):
        console.print(f"{len(tasks) - len(left)} of {len(tasks)} conversations are there already")
    problems = 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress, (out / PROBLEMS).open("a", encoding="utf-8") as log:
        bar = progress.add_task("conversations", total=len(tasks), completed=len(tasks) - len(left))
        for said in _results(left, min(jobs, max(1, len(left))), choice):
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


def _results(tasks: Sequence[Task], jobs: int, choice: Choice) -> Iterator[list[str]]:
    """What was wrong with the clips of each conversation, as conversations are done."""
    if jobs == 1:
        for task in tasks:
            yield extract(task, _encoders(choice))
        return
    context = multiprocessing.get_context("spawn")  # torch's and OpenCV's threads survive no fork
    pool = ProcessPoolExecutor(jobs, context, _start)
    try:
        futures: list[Future[list[str]]] = [pool.submit(_extract, task, choice) for task in tasks]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise EncodeError(
            "a process was ended from outside, perhaps for want of memory; run again with fewer --jobs: what"
            " is done stays"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start() -> None:
    """In each process: Ctrl-C is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _extract(task: Task, choice: Choice) -> list[str]:
    return extract(task, _encoders(choice))


@cache
def _encoders(choice: Choice) -> Encoders:
    import torch

    from models.encoders.face import FaceNet
    from models.encoders.hub.face import HubFace
    from models.encoders.hub.text import HubText
    from models.encoders.hub.voice import HubVoice
    from models.encoders.text import TextEncoder

    from ..encoders.face import Config

    torch.set_num_threads(1)  # the processes are what runs in parallel
    named = choice.named()
    text = HubText(named["text"]) if "text" in named else TextEncoder.load()
    voice = HubVoice(named["audio"]) if "audio" in named else None
    colour = HubFace(named["visual"]) if "visual" in named else None
    widths = (
        voice.dim if voice else len(USED_MEASURES),
        colour.dim if colour else FaceNet.load().config.embedding,
    )
    return Encoders(text, voice, Config.model_validate({"detector": choice.detector}), colour, widths)


def extract(task: Task, encoders: Encoders) -> list[str]:
    """Write the features of a conversation; returns a line for each clip that is missing or damaged.

    ``text`` ``[N, T]``, ``audio`` ``[N, A]`` (raw measures, or features of a network), ``visual`` ``[N, V]``:
    NaN where a clip has no words, sound or face.
    """
    from models.data.features import encoded

    clips, said = [], []
    for name, path in zip(task.utterances, task.clips, strict=True):
        try:
            if path is None:
                raise CaptureError(f"{name}: no clip")
            clip = _clip(path, encoders)
        except CaptureError as error:
            clip = replace(_nothing(encoders), damage=str(error))
        clips.append(clip)
        said += [clip.damage] if clip.damage else []
    if encoders.voice is None:
        audio = np.stack([c.voice for c in clips]).astype(np.float32)
    else:
        audio = encoders.voice.encode([c.sound for c in clips])
    features = {
        "text": encoded(encoders.text, [list(zip(task.texts, task.speakers, strict=True))]),
        "audio": audio,
        "visual": np.stack([c.face for c in clips]).astype(np.float32),
    }
    extracted.save(task.shard, features)
    return said


def _nothing(encoders: Encoders) -> Clip:
    voice, face = (np.full(width, np.nan) for width in encoders.widths)
    return Clip(voice, np.zeros(0, dtype=np.float32), face)


def _clip(path: Path, encoders: Encoders) -> Clip:
    """What the clip in ``path`` gives, and what is wrong with it.

    Raises:
        CaptureError: it cannot be read at all.
    """
    from ..faces.pool import pool
    from ..sources.decode import Options, Reader, probe
    from ..types import AudioChunk, FaceSample

    reader = Reader(path, probe(path), Options())
    meter = ProsodyAccumulator()
    stage = encoders.face.build(colour=encoders.colour)  # a new one: it follows the faces of a clip
    seen: list[FaceSample] = []
    clip = _nothing(encoders)
    sound = [clip.sound]
    try:
        while items := reader.take(16):
            for item in items:
                if not isinstance(item, AudioChunk):
                    seen += [s for s in stage.push(item) if isinstance(s, FaceSample)]
                elif encoders.voice is None:
                    meter.push(item.pcm)
                else:
                    sound.append(item.pcm)
    finally:
        reader.close()
    found = pool(seen)
    return Clip(
        np.array(meter.measures().values()) if meter.seconds else clip.voice,
        np.concatenate(sound),
        clip.face if found is None else found.embedding,
        reader.damage,
    )
