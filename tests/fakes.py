"""Stand-ins for what tests do not want to run for real."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator

import numpy as np

from streamer.types import RATE, AudioChunk, VideoFrame

BLOCK = 512


def speech_script(script: str, seconds_per_char: float = 0.256) -> Iterator[AudioChunk]:
    """'#' is speech, '.' silence: ``'..####...##..'``."""
    per = round(seconds_per_char * RATE / BLOCK)
    for i, char in enumerate(c for c in script for _ in range(per)):
        pcm = np.full(BLOCK, 0.5 if char == "#" else 0.0, np.float32)
        yield AudioChunk(pcm, i * BLOCK / RATE)


def loudness(pcm: np.ndarray) -> float:
    """A voice activity detector that hears the speech of `speech_script`."""
    return float(np.abs(pcm).mean() > 0.1)


def frames(seconds: float, fps: float = 5.0) -> Iterator[VideoFrame]:
    for i in range(int(seconds * fps)):
        yield VideoFrame(np.full((2, 2, 3), i % 255, np.uint8), i / fps)


class Caught:
    """An `streamer.seams.Out` that keeps what a source sends."""

    def __init__(self) -> None:
        self.items: list[AudioChunk | VideoFrame] = []

    async def send(self, item: AudioChunk | VideoFrame) -> None:
        self.items.append(item)

    def offer(self, item: AudioChunk | VideoFrame) -> bool:
        self.items.append(item)
        return True

    @property
    def audio(self) -> list[AudioChunk]:
        return [i for i in self.items if isinstance(i, AudioChunk)]

    @property
    def video(self) -> list[VideoFrame]:
        return [i for i in self.items if isinstance(i, VideoFrame)]


class Inbox:
    """Feeds a sink a fixed list."""

    def __init__(self, items: Iterable[object]) -> None:
        self._items = list(items)

    async def __aiter__(self) -> AsyncIterator[object]:
        for item in self._items:
            yield item
