"""``lmam watch``: what any running node publishes, in the view of the node's own console."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from ..channel import Channel, Overflow
from ..clock import StreamClock
from ..config import parse
from ..mqtt.options import Options
from ..mqtt.subscribe import Heard, watch
from ..payloads import EstimateV1, Event, HealthV1, InfoV1, SessionV1, StateV1, kept
from ..sinks.console import Config, ConsoleSink


def run(url: str, prefix: str) -> None:
    options = parse(Options, {"url": url}, "lmam watch")
    asyncio.run(_watch(options, f"{prefix}/+/+"))


async def _watch(options: Options, base: str) -> None:
    clock = StreamClock()
    events: Channel[Event] = Channel("watch", 256, Overflow.DROP_OLDEST, keep=kept)
    console = ConsoleSink(Config())

    def hear(heard: Heard) -> None:
        for event in _events(heard):
            events.offer(event)
        if line := _line(heard):
            console.say(line, "dim")

    tell = teller(str(options.address), console.say)
    listening = asyncio.create_task(watch(options, hear, clock, tell, base))
    showing = asyncio.create_task(console.run(events, clock))
    for sign in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sign, listening.cancel)
    try:
        await listening
    except asyncio.CancelledError:
        pass
    finally:
        events.close()
        await showing


def teller(address: str, say: Callable[[str], None]) -> Callable[[str | None], None]:
    """Says how the connection to ``address`` stands whenever that changes, not with each attempt."""
    said: list[str] = [""]

    def tell(problem: str | None) -> None:
        line = f"watching {address}" if problem is None else f"{address}: {problem}; trying again"
        if line != said[0]:
            said[0] = line
            say(line)

    return tell


def _events(heard: Heard) -> list[Event]:
    """What the view can show; of retained state the latest estimate, so that a newcomer sees something."""
    match heard.message:
        case EstimateV1() | HealthV1() | SessionV1():
            return [heard.message]
        case StateV1(latest=latest) if heard.retained:
            return [latest]
    return []


def _line(heard: Heard) -> str | None:
    where = f"{heard.site}/{heard.node}"
    if heard.problem:
        return f"{where} {heard.kind}: {heard.problem}"
    match heard.message:
        case str(word):
            return f"{where} is {word}"
        case InfoV1(model=model, purpose=purpose):
            return f"{where}: {model.name} {model.version}, words by {model.transcriber}, purpose {purpose}"
    return None
