"""Speech endpointing: sound in, segments of speech and audio progress out.

Works on blocks of 512 samples (32 ms) whatever the size of the chunks that come, and decides by counting
samples only, so the same sound gives the same segments at any speed and in any slicing.

End of speech. After speech, the segmenter waits for ``end_silence`` seconds of silence::

    end_silence = max_silence - (max_silence - min_silence) * length * fall

``length`` rises from 0 to 1 while the utterance's speech grows from 0.5 s to 3 s; ``fall`` rises from 0 to 1
while its last 0.2 s of speech are 2 dB to 8 dB softer than all its speech. So a short utterance, or one that
stops while the voice is still up (a pause within a phrase), is given more time (measured in docs/speech.md).

Quality. ``quality = snr * (1 - clip)``: ``snr`` is the ratio of speech to noise power, 0 at 0 dB and 1 at
20 dB; the noise is the running mean power of blocks without speech (or the softest tenth of the segment
while none was heard); ``clip`` is the share of speech samples at full scale, 1 at 5 %.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Protocol

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from .types import RATE, AudioChunk, Cut, Floats, Progress, Segment

if TYPE_CHECKING:
    from models.encoders.prosody import Measures

BLOCK = 512
TOLERANCE = 0.005  # seconds by which a chunk may miss the end of the one before without being a gap
LOST = 5.0  # a channel this many seconds behind the leading one no longer holds back the progress
NOISE_BLOCKS = 60  # about 2 s: memory of the noise floor
LAST_BLOCKS = 6  # about 0.2 s: the end of speech whose level is compared
FULL_SCALE = 0.985
DIGITAL_SILENCE = 1e-9  # power below the rounding of 16 bits

Vad = Callable[[Floats], float]


class VoiceMeter(Protocol):
    """Measures a voice while it speaks (`models.encoders.prosody`)."""

    def push(self, pcm: Floats) -> None: ...
    def measures(self) -> Measures: ...


def _off(value: object) -> object:
    return None if value is False or value == 0 else value


class Config(BaseModel):
    """How speech is cut into utterances; all durations in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(0.5, gt=0, lt=1, description="speech begins at this probability")
    release: float = Field(0.35, gt=0, lt=1, description="speech goes on down to this probability")
    min_speech: float = Field(0.25, ge=0, description="less speech than this is no utterance")
    min_silence: float = Field(0.25, gt=0, description="shortest silence that can end an utterance")
    max_silence: float = Field(0.5, gt=0, description="a silence of this length always ends it")
    pre_roll: float = Field(0.25, ge=0, le=2, description="sound kept from before the onset")
    post_roll: float = Field(0.1, ge=0, description="sound kept after the last speech")
    max_speech: float = Field(15.0, ge=1, description="a longer utterance is split")
    split_within: float = Field(4.0, gt=0, description="where before max_speech the quietest point is sought")
    partial_every: Annotated[float | None, BeforeValidator(_off)] = Field(
        0.5, gt=0, description="new speech after which a provisional segment is given; false: never"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Config:
        for low, high in (
            ("release", "threshold"),
            ("min_silence", "max_silence"),
            ("post_roll", "min_silence"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(
                    f"{low} ({getattr(self, low)}) must not exceed {high} ({getattr(self, high)})"
                )
        if self.split_within > self.max_speech / 2:
            raise ValueError(f"split_within ({self.split_within}) must be at most half of max_speech")
        return self


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    pcm: Floats
    speech: bool
    power: float  # mean square

    @classmethod
    def of(cls, pcm: Floats, speech: bool) -> _Block:
        return cls(pcm, speech, float(np.mean(np.square(pcm))))


class Segmenter:
    """Stage: ``AudioChunk | Cut`` in, ``Segment | Progress`` out; keeps nothing older than one utterance.

    Args:
        vad: Makes a detector for one channel: float32 ``[512]`` to the probability of speech.
        config: See `Config`.
        voice: Makes a meter for one utterance; it is fed while the person speaks.
        channels: How many sound channels will come; progress waits until all have been heard.
    """

    def __init__(
        self,
        vad: Callable[[], Vad],
        config: Config | None = None,
        voice: Callable[[], VoiceMeter] | None = None,
        channels: int = 1,
    ) -> None:
        self._config, self._vad, self._voice = config or Config(), vad, voice
        self._ears = {channel: self._ear(channel) for channel in range(channels)}
        self._first: float | None = None  # where the stream begins, on whichever channel
        self._told = Progress("audio", -math.inf)

    def push(self, item: AudioChunk | Cut) -> Iterator[Segment | Progress]:
        if isinstance(item, Cut):
            for channel, ear in self._ears.items():
                if item.channel in (None, channel):
                    yield from ear.close(item.time)
            yield from self._progress()
            return
        if item.channel not in self._ears:
            self._ears[item.channel] = self._ear(item.channel)
        if self._first is None:
            self._first = item.start
        for segments in self._ears[item.channel].hear(item):
            yield from segments
            yield from self._progress()

    def flush(self) -> Iterator[Segment | Progress]:
        for ear in self._ears.values():
            yield from ear.close()
        yield Progress("audio", math.inf, math.inf)

    def _ear(self, channel: int) -> _Ear:
        return _Ear(channel, self._config, self._vad, self._voice)

    def _progress(self) -> Iterator[Progress]:
        first = -math.inf if self._first is None else self._first
        late = max(ear.now for ear in self._ears.values()) - LOST
        ears = [ear for ear in self._ears.values() if max(ear.now, first) >= late]
        now = Progress("audio", min(ear.now for ear in ears), min(ear.quiet for ear in ears))
        if now != self._told:
            self._told = now
            yield now


class _Ear:
    """One channel: finds where speech begins and ends in an unbroken stretch of sound.

    Moments inside a stretch are sample counts from its beginning at ``_base`` seconds.
    """

    def __init__(
        self,
        channel: int,
        config: Config,
        vad: Callable[[], Vad],
        voice: Callable[[], VoiceMeter] | None,
    ) -> None:
        self._channel, self._config, self._vad_factory, self._voice = channel, config, vad, voice
        self._base: float | None = None
        self._noise: float | None = None  # mean power; a property of the room, so it outlives a gap
        self._rest: Floats = np.zeros(0, np.float32)  # less than a block, not judged yet
        self._at = 0  # samples judged
        self._before: deque[_Block] = deque()
        self._speaking = False
        self._reset()

    @property
    def now(self) -> float:
        """All sound before this moment has been judged."""
        return -math.inf if self._base is None else self._base + self._at / RATE

    @property
    def quiet(self) -> float:
        """No segment that is still to come begins before this moment."""
        if self._base is None:
            return -math.inf
        kept = self._length + sum(len(b.pcm) for b in self._before)
        return self._base + (self._at - kept) / RATE

    def hear(self, chunk: AudioChunk) -> Iterator[list[Segment]]:
        """The segments that each block completed by ``chunk`` brings (mostly none)."""
        end = None if self._base is None else self._base + (self._at + len(self._rest)) / RATE
        if end is None or abs(chunk.start - end) > TOLERANCE:
            yield list(self.close())
            self._base = chunk.start
        pcm = np.nan_to_num(np.asarray(chunk.pcm, np.float32), posinf=1.0, neginf=-1.0)
        pcm = np.concatenate([self._rest, pcm])
        whole = len(pcm) // BLOCK * BLOCK
        self._rest = pcm[whole:].copy()
        for at in range(0, whole, BLOCK):
            yield list(self._judge(pcm[at : at + BLOCK]))

    def close(self, until: float = -math.inf) -> Iterator[Segment]:
        """End the stretch: finish what is held, forget the sound before; the next chunk starts anew.

        Up to ``until`` nothing more will come.
        """
        if len(self._rest):
            rest, self._rest = self._rest, self._rest[:0]
            yield from self._judge(rest)
        yield from self._finish()
        end = max(self.now, until)
        self._base = end if math.isfinite(end) else None
        self._reset()

    def _reset(self) -> None:
        self._vad = self._vad_factory()
        self._rest = np.zeros(0, np.float32)
        self._at = 0
        self._before.clear()
        self._speaking = False
        self._begin([])

    def _begin(self, held: list[_Block]) -> None:
        """Start an utterance (or none) with what is already ``held``."""
        self._held = held
        self._length = sum(len(b.pcm) for b in held)
        self._voiced = sum(len(b.pcm) for b in held if b.speech)
        self._new_speech = self._voiced
        self._speech_end = _speech_end(held)  # samples from the utterance's start
        self._revision = 0
        self._quietest: tuple[float, int, int] | None = None  # power, block, samples before that block
        self._meter = self._voice() if self._voice and held else None
        self._unfed = deque(b.pcm for b in held)
        self._fed = 0

    def _judge(self, pcm: Floats) -> Iterator[Segment]:
        whole = pcm if len(pcm) == BLOCK else np.pad(pcm, (0, BLOCK - len(pcm)))
        wanted = self._config.release if self._speaking else self._config.threshold
        self._speaking = self._vad(whole) >= wanted
        block = _Block.of(pcm, self._speaking)
        self._at += len(pcm)
        if not block.speech:
            self._noise = _smooth(self._noise, block.power)
        if self._held:
            self._take(block)
            yield from self._decide(block)
        elif block.speech:
            before, self._before = self._before, deque()
            self._begin([*before, block])
            self._feed(self._speech_end)
            yield from self._decide(block)
        else:
            self._before.append(block)
            self._trim()

    def _take(self, block: _Block) -> None:
        self._look_for_split(block)
        self._held.append(block)
        self._length += len(block.pcm)
        if block.speech:
            self._voiced += len(block.pcm)
            self._new_speech += len(block.pcm)
            self._speech_end = self._length
        if self._meter is not None:
            self._unfed.append(block.pcm)
            upto = self._end()
            self._feed(upto if self._quietest is None else min(upto, self._quietest[2]))

    def _decide(self, block: _Block) -> Iterator[Segment]:
        c = self._config
        silence = (self._length - self._speech_end) / RATE
        if silence >= c.max_silence or (silence >= c.min_silence and silence >= self._end_silence()):
            yield from self._finish()
        elif self._length >= c.max_speech * RATE:
            yield from self._split()
        elif (
            block.speech
            and c.partial_every is not None
            and self._new_speech >= c.partial_every * RATE
            and self._voiced >= c.min_speech * RATE
        ):
            self._new_speech = 0
            yield self._segment(self._end(), final=False)
            self._revision += 1

    def _end(self) -> int:
        """Where the utterance ends if no more speech comes, in samples from its start."""
        return min(self._length, self._speech_end + round(self._config.post_roll * RATE))

    def _end_silence(self) -> float:
        c = self._config
        length = _ramp(self._voiced / RATE, 0.5, 3.0)
        if length == 0.0:
            return c.max_silence
        powers = [b.power for b in self._held if b.speech]
        fall = _ramp(_decibel(float(np.mean(powers)), float(np.mean(powers[-LAST_BLOCKS:]))), 2.0, 8.0)
        return c.max_silence - (c.max_silence - c.min_silence) * length * fall

    def _finish(self) -> Iterator[Segment]:
        """Give out what is held, if it is an utterance; what follows its end may begin the next one."""
        end, held = 0, self._held
        if self._is_utterance():
            end = self._end()
            self._feed(end)
            yield self._segment(end, final=True)
        self._begin([])
        if held:
            self._before = deque(_from(held, end))
            self._trim()

    def _is_utterance(self) -> bool:
        return bool(self._held) and (
            self._voiced >= self._config.min_speech * RATE or self._revision > 0
        )  # a partial that was given out always gets its final

    def _look_for_split(self, block: _Block) -> None:
        """Note the quietest boundary between two blocks near the end of the longest utterance."""
        begin = (self._config.max_speech - self._config.split_within) * RATE
        if self._length >= begin:
            power = self._held[-1].power + block.power
            if self._quietest is None or power <= self._quietest[0]:
                self._quietest = (power, len(self._held), self._length)

    def _split(self) -> Iterator[Segment]:
        """Too long: end at the quietest point; what comes after it is the beginning of the next."""
        assert self._quietest is not None
        _, blocks, samples = self._quietest
        after = self._held[blocks:]
        if not any(b.speech for b in after):  # the speaker has just stopped
            yield from self._finish()
            return
        self._held = self._held[:blocks]
        self._feed(samples)
        yield self._segment(samples, final=True)
        self._begin(after)
        self._feed(self._end())

    def _segment(self, end: int, *, final: bool) -> Segment:
        assert self._base is not None
        pcm = np.concatenate([b.pcm for b in self._held])[:end]
        start = self._base + (self._at - self._length) / RATE
        return Segment(
            AudioChunk(pcm, start, self._channel),
            final=final,
            revision=self._revision,
            noticed=self.now,
            voice=self._meter.measures() if self._meter is not None else None,
            quality=quality(self._held, self._noise),
        )

    def _feed(self, upto: int) -> None:
        """Let the meter hear the utterance up to ``upto`` samples from its start, each sample once."""
        while self._meter is not None and self._fed < upto and self._unfed:
            pcm = self._unfed.popleft()
            if self._fed + len(pcm) > upto:
                self._unfed.appendleft(pcm[upto - self._fed :])
                pcm = pcm[: upto - self._fed]
            self._meter.push(pcm)
            self._fed += len(pcm)

    def _trim(self) -> None:
        excess = sum(len(b.pcm) for b in self._before) - round(self._config.pre_roll * RATE)
        while excess > 0:
            block = self._before.popleft()
            if len(block.pcm) > excess:
                self._before.appendleft(_Block.of(block.pcm[excess:], block.speech))
            excess -= len(block.pcm)


def quality(blocks: list[_Block], noise: float | None) -> float:
    """How usable the speech in ``blocks`` is, 0..1 (formula at the top of this file)."""
    speech = [b for b in blocks if b.speech]
    if not speech:
        return 0.0
    if noise is None:
        noise = float(np.quantile([b.power for b in blocks], 0.1))
    power = float(np.mean([b.power for b in speech]))
    snr = _ramp(_decibel(max(power - noise, 0.0), noise), 0.0, 20.0)
    samples = sum(len(b.pcm) for b in speech)
    clipped = sum(int(np.count_nonzero(np.abs(b.pcm) >= FULL_SCALE)) for b in speech) / samples
    return snr * (1.0 - _ramp(clipped, 0.0, 0.05))


def _smooth(mean: float | None, value: float) -> float:
    return value if mean is None else mean + (value - mean) / NOISE_BLOCKS


def _ramp(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _decibel(power: float, reference: float) -> float:
    return 10 * math.log10(max(power, DIGITAL_SILENCE) / max(reference, DIGITAL_SILENCE))


def _speech_end(blocks: list[_Block]) -> int:
    end = at = 0
    for block in blocks:
        at += len(block.pcm)
        end = at if block.speech else end
    return end


def _from(blocks: list[_Block], sample: int) -> Iterator[_Block]:
    """What of ``blocks`` comes at or after ``sample``."""
    at = 0
    for block in blocks:
        if at + len(block.pcm) > sample:
            yield _Block.of(block.pcm[max(0, sample - at) :], block.speech)
        at += len(block.pcm)
