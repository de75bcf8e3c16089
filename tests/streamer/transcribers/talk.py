"""Utterances and recordings for the tests of the recognisers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile

from streamer.context import Context, Session
from streamer.types import RATE, AudioChunk, Floats, Segment, Span, Speaker, Utterance
from tests.data import shared_data


def context() -> Context:
    return Context(session=Session(conversation="c", purpose="research"), state_dir=Path())


def said(
    start: float,
    end: float,
    *,
    final: bool = True,
    revision: int = 0,
    channel: int = 0,
    pcm: Floats | None = None,
) -> Utterance:
    """An utterance from ``start`` to ``end``; ``pcm`` (silence if None) is cut to its length."""
    count = round((end - start) * RATE)
    sound = np.zeros(count, np.float32) if pcm is None else pcm[:count]
    segment = Segment(AudioChunk(sound, start, channel), final=final, revision=revision, noticed=end)
    return Utterance(segment.span, segment, (), Speaker("s0"))


def unheard(start: float, end: float) -> Utterance:
    """A face seen in silence."""
    return Utterance(Span(start, end), None, (), Speaker("unheard"))


def growing(pcm: Floats, step: float, start: float = 0.0, channel: int = 0) -> list[Utterance]:
    """``pcm`` as partials of every ``step`` seconds and a final."""
    ends = [*np.arange(step, len(pcm) / RATE, step), len(pcm) / RATE]
    return [
        said(start, start + e, final=i == len(ends) - 1, revision=i, channel=channel, pcm=pcm)
        for i, e in enumerate(ends)
    ]


def recording(*parts: str) -> Floats:
    pcm, rate = soundfile.read(shared_data(*parts), dtype="float32")
    assert rate == RATE
    return np.asarray(pcm, np.float32)


def texts(utterances: Iterable[Utterance]) -> list[str | None]:
    return [u.transcript.text if u.transcript else None for u in utterances]
