"""What a media file holds, found by opening it with PyAV and decoding the first frame of each track."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from ..errors import CaptureError

PROBED = 2_000  # packets searched for the first frame of each track


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a file holds. Times in seconds from its first sound or picture.

    Attributes:
        duration: None where the container does not tell.
        rate: Sampling rate in Hz of the sound, 0 without.
        channels: Number of sound channels, 0 without.
        fps: Mean frame rate, 0.0 where unknown or without pictures.
        size: Width and height in pixels, (0, 0) without pictures.
        skew: How much later the sound begins than the pictures; 0.0 unless there are both.
        origin: Container time of the first sound or picture.
        unreadable: Kinds of track that are there and cannot be decoded.
    """

    duration: float | None
    audio: bool
    video: bool
    rate: int = 0
    channels: int = 0
    fps: float = 0.0
    size: tuple[int, int] = (0, 0)
    skew: float = 0.0
    origin: float = 0.0
    unreadable: tuple[str, ...] = ()


def probe(path: Path) -> MediaInfo:
    """Read the head of ``path``; blocks for some milliseconds.

    Raises:
        CaptureError: missing, unreadable, not a media file, or nothing in it can be decoded.
    """
    with open_media(path) as container:
        streams = tracks(container)
        first = _first_times(container, streams)
        if not first:
            raise CaptureError(
                f"{path}: no sound or picture in it can be decoded: empty, cut off or of an unknown codec"
                f" ({_contents(container)})"
            )
        audio, video = streams.get("audio"), streams.get("video")
        origin = min(first.values())
        return MediaInfo(
            duration=None if container.duration is None else container.duration / av.time_base,
            audio="audio" in first,
            video="video" in first,
            rate=audio.rate or 0 if audio and "audio" in first else 0,
            channels=audio.channels if audio and "audio" in first else 0,
            fps=float(video.average_rate or 0) if video and "video" in first else 0.0,
            size=(video.width, video.height) if video and "video" in first else (0, 0),
            skew=first["audio"] - first["video"] if len(first) == 2 else 0.0,
            origin=origin,
            unreadable=tuple(kind for kind in _kinds(container) if kind not in first),
        )


def open_media(path: Path) -> Any:
    """``path`` as an open PyAV container.

    Raises:
        CaptureError: says why not.
    """
    try:
        return av.open(f"file:{path}")
    except FileNotFoundError:
        raise CaptureError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise CaptureError(f"{path}: is a folder; name a media file") from None
    except PermissionError:
        raise CaptureError(f"{path}: may not be read: check its permissions") from None
    except (av.FFmpegError, OSError) as error:
        raise CaptureError(
            f"{path}: not a media file that can be read: empty, cut off or of an unknown format ({error})"
        ) from error


def tracks(container: Any) -> dict[str, Any]:
    """The sound and picture tracks that have a decoder; a cover picture is not a track."""
    chosen: dict[str, Any] = {}
    for stream in _streams(container):
        if stream.codec_context is not None:
            chosen.setdefault(stream.type, stream)
    return chosen


def _streams(container: Any) -> Iterator[Any]:
    for stream in container.streams:
        cover = stream.type == "video" and stream.disposition & Disposition.attached_pic
        if stream.type in ("audio", "video") and not cover:
            yield stream


def _kinds(container: Any) -> list[str]:
    return sorted({stream.type for stream in _streams(container)})


def _first_times(container: Any, streams: dict[str, Any]) -> dict[str, float]:
    """Container time of the first decoded frame of each track; a track that gives none is left out."""
    first: dict[str, float] = {}
    searched = 0
    try:
        for packet in container.demux(*streams.values()) if streams else ():
            searched += 1
            if searched > PROBED:
                return {k: first.get(k, float((s.start_time or 0) * s.time_base)) for k, s in streams.items()}
            if packet.stream.type not in first:
                for frame in _good_frames(packet)[:1]:
                    first[packet.stream.type] = float(frame.time or 0.0)
            if len(first) == len(streams):
                break
    except (av.FFmpegError, OSError):
        pass  # what was found before the damage counts
    return first


def _good_frames(packet: Any) -> list[Any]:
    try:
        return list(packet.decode())
    except av.FFmpegError:
        return []


def _contents(container: Any) -> str:
    names = [f"{s.type} {s.name if s.codec_context else 'of an unknown codec'}" for s in container.streams]
    return ", ".join(names) if names else "no tracks"
