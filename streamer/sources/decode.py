"""Decoding of media files with PyAV: both tracks from one demuxer, in the order of time."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from ..types import AudioChunk, Floats, VideoFrame
from .beat import Beat
from .probe import MediaInfo, open_media, probe, tracks
from .sound import Channels, Chunker, pick, to_float

__all__ = ["Item", "MediaInfo", "Options", "Reader", "moment", "probe"]

Item = AudioChunk | VideoFrame

THREADS = 2  # for each decoder; a fixed number, since each one more delays the pictures by one
APART = 3.0  # seconds that one track waits for the other; beyond, their common order is given up
REWIND = 1.0  # seconds backwards that mean "the clock of the recording was set anew"
SHORT = 0.5  # seconds before the stated end that mean "truncated"
GUESSED = {"mp3", "aac", "ac3", "eac3", "dts", "h264", "hevc", "mpegvideo"}  # state no duration: bit rate


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to decode: which tracks, which sound channels, seconds of sound a chunk, pictures a second."""

    audio: bool = True
    video: bool = True
    channels: Channels = "mix"
    chunk: float = 0.1
    fps: float | None = 12.0
    max_width: int | None = 640


class Reader:
    """Decodes ``path`` from the beginning. Blocking, for one thread.

    ``damage`` says in words what could not be read; None while all is well. ``position`` is how far
    (seconds) it got.
    """

    def __init__(self, path: Path, info: MediaInfo, options: Options) -> None:
        self._path, self._info = path, info
        self.damage: str | None = None
        self.position = 0.0
        self._container = open_media(path)
        self._streams = {
            kind: stream
            for kind, stream in tracks(self._container).items()
            if (kind == "audio" and info.audio and options.audio)
            or (kind == "video" and info.video and options.video)
        }
        for stream in self._streams.values():
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = THREADS
        self._sound = _Sound(info.origin, options)
        self._pictures = _Pictures(info, options)
        self._left_out = 0
        self._items = self._ordered()

    def take(self, count: int) -> list[Item]:
        """The next ``count`` items, fewer at the end of the file, then none."""
        return list(islice(self._items, count))

    def close(self) -> None:
        self._container.close()

    def _ordered(self) -> Iterator[Item]:
        """Sound by its end and pictures by their time, merged."""
        waiting: dict[str, deque[Item]] = {kind: deque() for kind in self._streams}
        for item in self._decoded():
            waiting["audio" if isinstance(item, AudioChunk) else "video"].append(item)
            newest = moment(item)
            while True:
                heads = [queue[0] for queue in waiting.values() if queue]
                oldest = min(heads, key=moment, default=item)
                if len(heads) < len(waiting) and newest - moment(oldest) < APART:
                    break
                yield waiting["audio" if isinstance(oldest, AudioChunk) else "video"].popleft()
        yield from heapq.merge(*waiting.values(), key=moment)

    def _decoded(self) -> Iterator[Item]:
        for kind, frame in self._frames():
            items = self._sound.push(frame) if kind == "audio" else self._pictures.push(frame)
            yield from items
            self.position = max(self._sound.position, self._pictures.position)
        yield from self._sound.flush()
        self._judge()

    def _frames(self) -> Iterator[tuple[str, Any]]:
        packets = self._container.demux(*self._streams.values())
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except IndexError:  # PyAV has no name for a track that turns up in the middle; read on
                packets = self._container.demux(*self._streams.values())
                self._left_out += 1
                continue
            except (av.FFmpegError, OSError):
                break
            for frame in self._decode(packet):
                yield packet.stream.type, frame
        self.damage = f"{self._path}: damaged after {self.position:.1f} s"
        for kind, stream in self._streams.items():  # what the decoders still hold is good
            try:
                frames = stream.codec_context.decode(None)
            except av.FFmpegError:
                continue
            for frame in frames:
                yield kind, frame

    def _decode(self, packet: Any) -> list[Any]:
        try:
            return list(packet.decode())
        except av.FFmpegError:  # the time stamp of the next good frame shows the gap
            self._left_out += 1
            return []

    def _judge(self) -> None:
        stated = self._info.duration
        reliable = self._container.format.name not in GUESSED
        if self.damage is None and stated is not None and reliable and self.position < stated - SHORT:
            self.damage = f"{self._path}: ends after {self.position:.1f} of {stated:.1f} s: cut off?"
        if self._left_out:
            packets = f"{self._left_out} damaged packets left out"
            self.damage = f"{self.damage}; {packets}" if self.damage else f"{self._path}: {packets}"


def moment(item: Item) -> float:
    """When ``item`` is complete: the end of a chunk of sound, the time of a picture."""
    return item.span.end if isinstance(item, AudioChunk) else item.time


class _Sound:
    """Audio frames to chunks; a time stamp that runs ahead of the count of samples is a gap."""

    def __init__(self, origin: float, options: Options) -> None:
        self._shift = -origin
        self._options = options
        self._chunker: Chunker | None = None

    @property
    def position(self) -> float:
        return self._chunker.next if self._chunker else 0.0

    def push(self, frame: Any) -> Iterator[AudioChunk]:
        pcm_KN = pick(_planes(frame), self._options.channels)
        length = frame.samples / frame.rate
        chunker = self._chunker
        time = self._time(frame)
        if chunker is None:
            chunker = self._chunker = Chunker(frame.rate, len(pcm_KN), self._options.chunk, time)
        elif (chunker.rate, chunker.width) != (frame.rate, len(pcm_KN)):
            yield from chunker.flush()
            begin = max(time, chunker.next)
            chunker = self._chunker = Chunker(frame.rate, len(pcm_KN), self._options.chunk, begin)
        elif time > chunker.next + min(max(length / 2, 0.01), 0.1):
            yield from chunker.restart(time)
        elif time < chunker.next - REWIND:
            self._shift += chunker.next - time
        yield from chunker.push(pcm_KN)

    def flush(self) -> Iterator[AudioChunk]:
        return self._chunker.flush() if self._chunker else iter(())

    def _time(self, frame: Any) -> float:
        if frame.time is None:
            return self._chunker.next if self._chunker else 0.0
        return float(frame.time) + self._shift


class _Pictures:
    """Video frames to upright bgr24 pictures of at most ``max_width``, at most ``fps`` of them a second."""

    def __init__(self, info: MediaInfo, options: Options) -> None:
        self._shift = -info.origin
        self._step = 1 / info.fps if info.fps > 0 else 0.04
        self._beat = Beat(options.fps)
        self._max_width = options.max_width
        self._scaler = VideoReformatter()  # kept: setting one up costs more than a picture
        self._last = -math.inf
        self.position = 0.0

    def push(self, frame: Any) -> Iterator[VideoFrame]:
        time = self._last + self._step if frame.time is None else float(frame.time) + self._shift
        if math.isinf(time):
            time = 0.0
        if time < self._last - REWIND:
            self._shift += self._last + self._step - time
            time = self._last + self._step
        if time < self._last:
            return
        self._last = time
        length = float(frame.duration * frame.time_base) if frame.duration else self._step
        self.position = max(self.position, time + length)
        if self._beat.due(time):
            yield VideoFrame(self._picture(frame), time)

    def _picture(self, frame: Any) -> Any:
        width, height = frame.width, frame.height
        if self._max_width is not None and width > self._max_width:
            width, height = self._max_width, max(1, round(height * self._max_width / width))
        bgr = self._scaler.reformat(
            frame, width, height, "bgr24", interpolation="BILINEAR", threads=1
        ).to_ndarray()
        turns = round(frame.rotation / 90) % 4  # telephones store portrait pictures lying down
        return np.ascontiguousarray(np.rot90(bgr, turns)) if turns else bgr


def _planes(frame: Any) -> Floats:
    """Samples of a PyAV audio frame, float32 ``[channels, n]``."""
    sound = frame.to_ndarray()
    if not frame.format.is_planar:
        sound = sound.reshape(-1, frame.layout.nb_channels).T
    return to_float(sound)
