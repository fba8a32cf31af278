"""Broadcasting: order, resumption without gap or duplicate, and slow clients."""

from __future__ import annotations

import asyncio
import json

from live.broadcast import Broadcaster, Message


async def take(texts: object, count: int) -> list[str]:
    return [await asyncio.wait_for(anext(texts), 5) for _ in range(count)]  # type: ignore[call-overload]


def store_of(stored: list[Message], page: int = 2):
    return lambda seq: [message for message in stored if message[0] > seq][:page]


def numbered(first: int, last: int) -> list[Message]:
    return [(seq, f"signal {seq}") for seq in range(first, last + 1)]


def test_without_since_only_new_signals_come() -> None:
    async def run() -> list[str]:
        broadcaster = Broadcaster(last_seq=2)
        with broadcaster.subscribe() as subscription:
            texts = broadcaster.texts(subscription, None, store_of(numbered(1, 2)))
            broadcaster.publish((3, "signal 3"))
            return await take(texts, 1)

    assert asyncio.run(run()) == ["signal 3"]


def test_since_replays_then_goes_on_without_duplicate() -> None:
    async def run() -> list[str]:
        broadcaster = Broadcaster(last_seq=4)
        with broadcaster.subscribe() as subscription:
            broadcaster.publish((5, "signal 5"))  # stored, and published while it replays
            texts = broadcaster.texts(subscription, 1, store_of(numbered(1, 5)))
            replayed = await take(texts, 4)
            broadcaster.publish((6, "signal 6"))
            return replayed + await take(texts, 1)

    assert asyncio.run(run()) == [text for _, text in numbered(2, 6)]


def test_slow_client_is_told_its_gap_then_caught_up() -> None:
    async def run() -> list[str]:
        stored: list[Message] = []
        broadcaster = Broadcaster(last_seq=0, queue_size=2)
        with broadcaster.subscribe() as subscription:
            texts = broadcaster.texts(subscription, None, store_of(stored))
            for message in numbered(1, 4):
                stored.append(message)
                broadcaster.publish(message)
            caught_up = await take(texts, 5)
            broadcaster.publish((5, "signal 5"))
            return caught_up + await take(texts, 1)

    gap, *rest = asyncio.run(run())
    assert json.loads(gap) == {"type": "gap", "from_seq": 1, "to_seq": 4}
    assert rest == [text for _, text in numbered(1, 5)]


def test_slow_client_does_not_delay_others() -> None:
    async def run() -> list[str]:
        broadcaster = Broadcaster(last_seq=0, queue_size=100)
        with broadcaster.subscribe(), broadcaster.subscribe() as quick:
            texts = broadcaster.texts(quick, None, store_of([]))
            for message in numbered(1, 50):
                broadcaster.publish(message)
            return await take(texts, 50)

    assert asyncio.run(run()) == [text for _, text in numbered(1, 50)]


def test_since_of_the_future_counts_as_now() -> None:
    async def run() -> list[str]:
        broadcaster = Broadcaster(last_seq=3)
        with broadcaster.subscribe() as subscription:
            texts = broadcaster.texts(subscription, 99, store_of(numbered(1, 3)))
            broadcaster.publish((4, "signal 4"))
            return await take(texts, 1)

    assert asyncio.run(run()) == ["signal 4"]


def test_client_that_left_is_forgotten() -> None:
    async def run() -> tuple[int, int]:
        broadcaster = Broadcaster(last_seq=0)
        with broadcaster.subscribe():
            during = broadcaster.clients
        return during, broadcaster.clients

    assert asyncio.run(run()) == (1, 0)
