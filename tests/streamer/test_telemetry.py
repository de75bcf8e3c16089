"""What is measured about keeping up."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.channel import Channel
from streamer.clock import ManualClock
from streamer.context import Context, Session
from streamer.payloads import HealthV1
from streamer.telemetry import Telemetry


class Measured:
    """A source that measures what it is made with."""

    def __init__(self, **values: float | None) -> None:
        self.__dict__.update(values)


def health(
    *sources: object, heard: float = 0.0, live: bool = True, clock: ManualClock | None = None
) -> HealthV1:
    context = Context(session=Session(conversation="c", purpose="demo", live=live), state_dir=Path("unused"))
    edges: list[Channel[int]] = [Channel("audio", 4), Channel("video", 1)]
    return Telemetry(
        context,
        clock or ManualClock(),
        edges,
        heard=lambda: heard,
        skew=lambda: None,
        paused=lambda: False,
        sources=sources,
    ).health()


@pytest.mark.parametrize(
    ("sources", "drift", "file_skew"),
    [
        ([], None, None),
        ([object()], None, None),
        ([Measured(drift=0.0412345)], 0.041, None),
        ([Measured(drift=0.02), Measured(drift=-0.5), object()], -0.5, None),
        ([Measured(skew=0.08), Measured(drift=0.0)], 0.0, 0.08),
        ([Measured(skew=None)], None, None),
    ],
)
def test_drift_of_microphones_and_skew_of_files_are_told(
    sources: list[object], drift: float | None, file_skew: float | None
) -> None:
    h = health(*sources)
    assert (h.drift, h.file_skew) == (drift, file_skew)


async def test_lag_is_told_live_only_and_two_seconds_of_it_are_behind() -> None:
    clock = ManualClock()
    await clock.advance(10.0)
    assert (health(heard=9.0, clock=clock).lag, health(heard=9.0, clock=clock).behind) == (1.0, False)
    assert (health(heard=7.5, clock=clock).lag, health(heard=7.5, clock=clock).behind) == (2.5, True)
    assert (health(heard=7.5, live=False, clock=clock).lag, health(heard=float("inf"), clock=clock).lag) == (
        0,
        0,
    )
