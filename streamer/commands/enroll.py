"""``lmam enroll``: store what a voice is like, so that its owner is known again; show and remove that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import typer

from ..context import Context, Session
from ..errors import ConfigError, EncodeError
from ..segmenter import Config as SegmenterConfig
from ..segmenter import Segmenter
from ..sources.decode import Options, Reader, probe
from ..speakers.enrolled import FOLDER, Voice, remove, store, voices
from ..speakers.voice import Encoder, listen
from ..types import AudioChunk, Floats, Segment
from ..vad import silero
from .common import fail_if_missing, usual_state_dir

LEAST = 5.0  # seconds of speech that say what a voice is like


def show(state_dir: Path | None) -> None:
    """Who is enrolled."""
    folder = state_dir or usual_state_dir()
    names = [v.name for v in voices(folder)]
    typer.echo("\n".join(names) if names else f"nobody is enrolled in {folder / FOLDER}")


def forget(name: str, state_dir: Path | None) -> None:
    """Delete what is kept of ``name``."""
    folder = state_dir or usual_state_dir()
    remove(folder, name)
    typer.echo(f"removed  {name} from {folder / FOLDER}")


def enroll(name: str, file: Path, weights: Path | None, state_dir: Path | None) -> None:
    """Store the voice in ``file`` under ``name``.

    Raises:
        ConfigError: there is too little speech in the file, or the voice cannot be stored.
        EncodeError: the speaker encoder is missing or damaged. StreamerError: the file cannot be read.
    """
    from models.checkpoint import CheckpointError
    from models.encoders.speaker import SpeakerNet

    fail_if_missing(file, "sound or video file")
    folder = state_dir or usual_state_dir()
    try:
        net = SpeakerNet.load(weights)
    except CheckpointError as error:
        raise EncodeError(str(error)) from error
    embedding, seconds = voice_in(file, net.embed, folder)
    path = store(folder, Voice(name, embedding))
    typer.echo(
        f"{name}: {seconds:.1f} s of speech, stored as {path}\n"
        "This is biometric data: keep it only while its owner agrees.\n"
        "Used where the configuration says speakers.enrolled = true;"
        f" removed by: lmam enroll {name!r} --remove"
    )


def voice_in(file: Path, encode: Encoder, state_dir: Path) -> tuple[Floats, float]:
    """The mean embedding ``[D]`` of the speech in ``file``, of unit length, and the seconds of it.

    Raises:
        ConfigError: there is too little of it.
    """
    context = Context(session=Session(conversation="enroll", purpose="other"), state_dir=state_dir)
    segmenter = Segmenter(silero.Config().build(context), SegmenterConfig(partial_every=None))
    rows, seconds = [], 0.0
    for segment in _segments(file, segmenter):
        rows.append(listen(segment.audio.pcm, encode))
        seconds += segment.span.duration
    if seconds < LEAST:
        raise ConfigError(
            f"{file}: {seconds:.1f} s of speech; {LEAST:.0f} s or more of one person alone are needed"
        )
    mean = np.concatenate(rows).mean(0)
    return np.asarray(mean / np.linalg.norm(mean), np.float32), seconds


def _segments(file: Path, segmenter: Segmenter) -> list[Segment]:
    info = probe(file)
    if not info.audio:
        raise ConfigError(f"{file}: there is no sound in it")
    reader = Reader(file, info, Options(video=False))
    try:
        found: list[Segment] = []
        while items := reader.take(64):
            heard = (s for item in items if isinstance(item, AudioChunk) for s in segmenter.push(item))
            found += [s for s in heard if isinstance(s, Segment)]
        return found + [s for s in segmenter.flush() if isinstance(s, Segment)]
    finally:
        reader.close()
