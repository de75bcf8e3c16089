"""From sound at any rate, sample format and number of channels to chunks at `RATE`, by counting samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..types import RATE, AudioChunk, Floats

Channels = Literal["mix", "split"] | int  # the mean of all, one `AudioChunk.channel` each, or that one
RATES = (8_000, 192_000)  # Hz, lowest and highest that is resampled


def to_float(sound_CN: NDArray[Any]) -> Floats:
    """Integer or float samples as float32 in [-1, 1]; unsigned 8 bit is centred on 128."""
    if sound_CN.dtype.kind == "f":
        return sound_CN.astype(np.float32, copy=False)
    if sound_CN.dtype == np.uint8:
        return (sound_CN.astype(np.float32) - 128.0) / 128.0
    return (sound_CN / -float(np.iinfo(sound_CN.dtype).min)).astype(np.float32)


def pick(pcm_CN: Floats, channels: Channels) -> Floats:
    """The channels that are wanted, float32 ``[K, n]``.

    Raises:
        IndexError: there is no channel of that number.
    """
    if channels == "mix":
        mean_1N: Floats = pcm_CN.mean(axis=0, keepdims=True, dtype=np.float32)
        return mean_1N
    return pcm_CN if channels == "split" else pcm_CN[[channels]]


class Resampler:
    """Mono float32 at ``rate`` Hz to `RATE`, continuous across blocks of any size.

    The first sample out is the first sample in: the filter's delay is taken off again.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._swr = _swr() if rate != RATE else None

    def push(self, pcm: Floats) -> Floats:
        if self._swr is None or not len(pcm):
            return pcm
        from av import AudioFrame

        frame = AudioFrame.from_ndarray(np.ascontiguousarray(pcm[None]), format="flt", layout="mono")
        frame.sample_rate = self._rate
        return _joined(self._swr.resample(frame))

    def flush(self) -> Floats:
        """The last samples, which the filter held back; start a new `Resampler` after it."""
        return _joined(self._swr.resample(None)) if self._swr is not None else np.empty(0, np.float32)


class Chunker:
    """Cuts blocks ``[K, n]`` at ``rate`` Hz into `AudioChunk`s of ``seconds`` (None: as they come).

    Time is ``begin`` plus a count of samples; call ``restart`` where the sound does not continue.
    """

    def __init__(
        self, rate: int, width: int, seconds: float | None, begin: float = 0.0, *, first_channel: int = 0
    ) -> None:
        self.rate, self.width, self._first_channel = rate, width, first_channel
        self._size = None if seconds is None else max(1, round(seconds * RATE))
        self._begin(begin)

    @property
    def next(self) -> float:
        """When the next sample to come in is due, by the count alone."""
        return self._start + self._taken / self.rate

    def push(self, pcm_KN: Floats) -> Iterator[AudioChunk]:
        self._taken += pcm_KN.shape[1]
        yield from self._add([r.push(pcm) for r, pcm in zip(self._resamplers, pcm_KN, strict=True)])

    def restart(self, time: float) -> Iterator[AudioChunk]:
        """Finish what came before and go on at ``time``."""
        yield from self.flush()
        self._begin(time)

    def flush(self) -> Iterator[AudioChunk]:
        yield from self._add([r.flush() for r in self._resamplers])
        if self._held.shape[1]:
            yield from self._chunks(self._held.shape[1])

    def _begin(self, time: float) -> None:
        self._start, self._taken, self._given = time, 0, 0
        self._resamplers = [Resampler(self.rate) for _ in range(self.width)]
        self._held = np.empty((self.width, 0), np.float32)

    def _add(self, pcm: list[Floats]) -> Iterator[AudioChunk]:
        self._held = np.concatenate([self._held, np.stack(pcm)], axis=1)
        if self._size is None:
            if self._held.shape[1]:
                yield from self._chunks(self._held.shape[1])
            return
        while self._held.shape[1] >= self._size:
            yield from self._chunks(self._size)

    def _chunks(self, size: int) -> Iterator[AudioChunk]:
        start = self._start + self._given / RATE
        for channel, pcm in enumerate(self._held, self._first_channel):
            yield AudioChunk(pcm[:size].copy(), start, channel)
        self._given += size
        self._held = self._held[:, size:]


def _swr() -> Any:
    from av import AudioResampler

    return AudioResampler(format="flt", layout="mono", rate=RATE)


def _joined(frames: list[Any]) -> Floats:
    parts = [f.to_ndarray()[0] for f in frames]
    return np.concatenate(parts).astype(np.float32, copy=False) if parts else np.empty(0, np.float32)
