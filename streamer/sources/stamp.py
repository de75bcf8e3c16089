"""Times for sound from a device: a count of samples, watched against the stream clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from ..types import AudioChunk, Floats
from .sound import Chunker

GAP = 0.02  # seconds: the shortest gap, so that sound which does not continue never looks as if it did
OFF = 0.1  # seconds between count and clock that are put right
WINDOW = 2.0  # seconds: the earliest arrival in it is the one that nothing delayed


class Stamper:
    """Gives blocks their start. Where sound was lost the next chunk starts later: nothing is spliced.

    Arrival times jitter (a busy machine), the count does not, but a sound card's clock runs up to some
    0.01 % beside the computer's, and lost sound is not always reported. So the count rules until the
    earliest arrival of two seconds is off by more than `OFF`; then a gap puts it right. The recording times
    that PortAudio reports are not used: behind a sound server they were seen to be wrong by 0.2-0.6 s.
    """

    def __init__(self, seconds: float | None = None, first_channel: int = 0) -> None:
        self._seconds, self._first_channel = seconds, first_channel
        self._chunker: Chunker | None = None
        self._lags: deque[tuple[float, float]] = deque()
        self._skip = 0
        self._flushed = False
        self._corrected = 0.0

    @property
    def drift(self) -> float:
        """Seconds by which the clock has run ahead of the count of samples, lost sound included."""
        return self._corrected + (self._lag() if self._lags else 0.0)

    @property
    def end(self) -> float | None:
        """Where the sound ends by count; None before any."""
        return self._chunker.next if self._chunker else None

    def push(self, pcm_KN: Floats, rate: int, begin: float, lost: bool = False) -> Iterator[AudioChunk]:
        """Chunks of a block that began at stream time ``begin`` as far as its arrival tells.

        Args:
            lost: The device says that sound before this block is missing.
        """
        chunker = self._chunker
        if chunker is None:
            chunker = self._chunker = Chunker(
                rate, len(pcm_KN), self._seconds, begin, first_channel=self._first_channel
            )
        elif lost:
            yield from self._restart(max(begin, chunker.next + GAP))
        else:
            yield from self._put_right(chunker, begin)
        if self._skip:
            cut = min(self._skip, pcm_KN.shape[1])
            self._skip -= cut
            pcm_KN = pcm_KN[:, cut:]
        yield from chunker.push(pcm_KN)

    def interrupt(self) -> Iterator[AudioChunk]:
        """The device is gone: what it gave is complete, and what comes next does not continue it."""
        if self._chunker is not None and not self._flushed:
            self._flushed = True
            yield from self._chunker.flush()

    def resume(self, rate: int, width: int, begin: float) -> None:
        """After `interrupt`: sound starts anew at ``begin``, perhaps at another rate."""
        if self._chunker is None:
            return
        begin = max(begin, self._chunker.next + GAP)
        self._chunker = Chunker(rate, width, self._seconds, begin, first_channel=self._first_channel)
        self._lags.clear()
        self._skip, self._flushed = 0, False

    def _put_right(self, chunker: Chunker, begin: float) -> Iterator[AudioChunk]:
        self._lags.append((begin, begin - chunker.next))
        while self._lags[-1][0] - self._lags[0][0] > WINDOW:
            self._lags.popleft()
        lag = self._lag()
        full = self._lags[-1][0] - self._lags[0][0] > 0.9 * WINDOW
        if not full or abs(lag) <= OFF:
            return
        if lag < 0:  # time never goes back: leave out what would overlap
            self._skip = round((GAP - lag) * chunker.rate)
        yield from self._restart(chunker.next + max(lag, GAP), lag)

    def _restart(self, time: float, lag: float | None = None) -> Iterator[AudioChunk]:
        assert self._chunker is not None
        self._corrected += time - self._chunker.next if lag is None else lag
        self._lags.clear()
        yield from self._chunker.restart(time)

    def _lag(self) -> float:
        return min(lag for _, lag in self._lags)
