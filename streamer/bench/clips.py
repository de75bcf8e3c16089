"""The live graph over one clip at a time, each a conversation of its own: what a run would publish of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..assemble import build, load_networks
from ..channel import Channel
from ..clock import Clock
from ..config import RunConfig
from ..context import Context, Session
from ..payloads import EstimateV1, Event
from ..pipeline import run
from ..seams import Out
from ..segmenter import Config as SegmenterConfig
from ..types import RATE, AudioChunk, Floats, Transcript, Utterance, VideoFrame

CHUNK = 1600  # samples that a source hands over at a time


@dataclass(frozen=True, slots=True)
class Clip:
    """``pcm``: mono at `RATE`, None without sound; ``pictures`` in order; ``words``: what is said."""

    pcm: Floats | None = None
    pictures: Sequence[VideoFrame] = ()
    words: str = ""


class Graph:
    """All stages of a run with the weights in ``weights`` (None: those that ship), lossless.

    Speech is not recognised: the words of a clip are those it came with. Voices are not told apart.

    Raises:
        EncodeError: a weight file is missing or damaged.
    """

    def __init__(self, weights: Path | None = None) -> None:
        self._config = RunConfig(
            purpose="research",
            weights=weights,
            transcriber={"kind": "none"},
            speakers={"kind": "none"},
            segmenter=SegmenterConfig(partial_every=None),
        )
        self._networks = load_networks(weights, "cpu")

    def read(self, clip: Clip) -> list[EstimateV1]:
        """The final estimates in order.

        Raises:
            StreamerError: a stage failed.
        """
        context = Context(session=Session(conversation="clip", purpose="research"), state_dir=Path())
        finals = _Finals()
        pipeline = build(self._config, context, self._networks, [_Played(clip)], [finals])
        pipeline = replace(pipeline, transcriber=_Told(clip.words))
        outcome = asyncio.run(run(pipeline, context, lossless=True))
        if outcome.failures:
            raise outcome.failures[0]
        return finals.kept


class _Played:
    """A source: the clip, sound and pictures in the order of their times."""

    def __init__(self, clip: Clip) -> None:
        self.tracks = frozenset(
            track for track, here in (("audio", clip.pcm is not None), ("video", clip.pictures)) if here
        )
        pcm = clip.pcm if clip.pcm is not None else np.zeros(0, np.float32)
        sound = [AudioChunk(pcm[at : at + CHUNK], at / RATE) for at in range(0, len(pcm), CHUNK)]
        self._items: list[AudioChunk | VideoFrame] = sorted([*sound, *clip.pictures], key=_time)

    async def run(self, out: Out, clock: Clock) -> None:
        for item in self._items:
            await out.send(item)


def _time(item: AudioChunk | VideoFrame) -> float:
    return item.time if isinstance(item, VideoFrame) else item.span.end


class _Told:
    """A transcriber that was told the words."""

    name, min_confidence = "told", 0.0

    def __init__(self, words: str) -> None:
        self._words = words

    def push(self, u: Utterance) -> Iterator[Utterance]:
        heard = Transcript(self._words, "en", 1.0, self.name) if self._words and u.segment else None
        yield replace(u, transcript=heard)

    def flush(self) -> Iterator[Utterance]:
        return iter(())

    def cancel(self) -> None:
        pass


class _Finals:
    """A sink that keeps final estimates."""

    def __init__(self) -> None:
        self.kept: list[EstimateV1] = []

    async def run(self, inbox: Channel[Event], clock: Clock) -> None:
        async for event in inbox:
            if isinstance(event, EstimateV1) and event.final:
                self.kept.append(event)
