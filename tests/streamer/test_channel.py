"""A channel is bounded, says what it dropped, and never drops what must be kept."""

from __future__ import annotations

import asyncio

import pytest

from streamer.channel import Channel, Overflow
from streamer.clock import settle


async def drain(channel: Channel[int]) -> list[int]:
    return [item async for item in channel]


async def test_a_blocking_channel_makes_the_producer_wait() -> None:
    channel: Channel[int] = Channel("c", 1)
    await channel.send(1)
    waiting = asyncio.create_task(channel.send(2))
    await settle()
    assert not waiting.done()
    assert await anext(aiter(channel)) == 1
    await waiting
    channel.close()
    assert await drain(channel) == [2]


async def test_the_oldest_goes_first_and_is_counted() -> None:
    channel: Channel[int] = Channel("c", 2, Overflow.DROP_OLDEST)
    for item in range(5):
        await channel.send(item)
    channel.close()
    assert await drain(channel) == [3, 4]
    assert channel.stats().dropped == 3


async def test_kept_items_are_never_evicted() -> None:
    channel: Channel[int] = Channel("c", 2, Overflow.DROP_OLDEST, keep=lambda x: x >= 100)
    for item in (1, 2, 100, 3, 4):
        await channel.send(item)
    channel.close()
    assert await drain(channel) == [100, 4]


async def test_with_only_kept_items_held_the_producer_waits() -> None:
    channel: Channel[int] = Channel("c", 1, Overflow.DROP_OLDEST, keep=lambda x: x >= 100)
    await channel.send(100)
    waiting = asyncio.create_task(channel.send(101))
    await settle()
    assert not waiting.done()
    assert await anext(aiter(channel)) == 100
    await waiting


def test_an_offer_that_cannot_be_held_is_refused_and_counted() -> None:
    channel: Channel[int] = Channel("c", 1)
    assert channel.offer(1)
    assert not channel.offer(2)
    assert channel.stats().dropped == 1


async def test_a_cancelled_sender_passes_its_turn_on() -> None:
    channel: Channel[int] = Channel("c", 1)
    await channel.send(0)
    first, second = asyncio.create_task(channel.send(1)), asyncio.create_task(channel.send(2))
    await settle()
    assert await anext(aiter(channel)) == 0
    first.cancel()
    await asyncio.wait([first, second], timeout=1)
    channel.close()
    assert await drain(channel) == [2]


async def test_it_ends_when_the_last_producer_has_closed() -> None:
    channel: Channel[int] = Channel("c", 4, producers=2)
    reader = asyncio.create_task(drain(channel))
    channel.close()
    await channel.send(7)
    await settle()
    assert not reader.done()
    channel.close()
    assert await reader == [7]


async def test_a_channel_that_nobody_feeds_is_closed_from_the_start() -> None:
    assert await drain(Channel("c", 1, producers=0)) == []


def test_a_capacity_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Channel("c", 0)
