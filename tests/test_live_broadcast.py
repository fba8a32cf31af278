"""Broadcasting: order, resumption without gap or duplicate, and slow clients."""

from __future__ import annotations

import asyncio
import json

import pytest

from live.broadcast import WAITING_REPLIES, Broadcaster, FullError, Interest, Message
from live.messages import Heartbeat


async def take(texts: object, count: int) -> list[str]:
    return [await asyncio.wait_for(anext(texts), 5) for _ in range(count)]  # type: ignore[call-overload]


def store_of(stored: list[Message], page: int = 2):
    return lambda seq: [message for message in stored if message.seq > seq][:page]


def signal(seq: int, symbol: str = "AAA", state: str = "RePump") -> Message:
    return Message(seq, symbol, state, f"signal {seq}")


def numbered(first: int, last: int) -> list[Message]:
    return [signal(seq) for seq in range(first, last + 1)]


def test_without_since_only_new_signals_come() -> None:
    async def run() -> list[str]:
        broadcaster = Broadcaster(last_seq=2)
        with broadcaster.subscribe() as subscription:
            texts = broadcaster.texts(subscription, None, store_of(numbered(1, 2)))
            broadcaster.publish(signal(3))
            return await take(texts, 1)

    assert asyncio.run(run()) == ["signal 3"]


def test_since_replays_then_goes_on_without_duplicate() -> None:
    async def run() -> list[str]:
        broadcaster = Broadcaster(last_seq=4)
        with broadcaster.subscribe() as subscription:
            broadcaster.publish(signal(5))  # stored, and published while it replays
            texts = broadcaster.texts(subscription, 1, store_of(numbered(1, 5)))
            replayed = await take(texts, 4)
            broadcaster.publish(signal(6))
            return replayed + await take(texts, 1)

    assert asyncio.run(run()) == [message.text for message in numbered(2, 6)]


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
            broadcaster.publish(signal(5))
            return caught_up + await take(texts, 1)

    gap, *rest = asyncio.run(run())
    assert json.loads(gap) == {"type": "gap", "from_seq": 1, "to_seq": 4}
    assert rest == [message.text for message in numbered(1, 5)]


def test_slow_client_does_not_delay_others() -> None:
    async def run() -> list[str]:
        broadcaster = Broadcaster(last_seq=0, queue_size=100)
        with broadcaster.subscribe(), broadcaster.subscribe() as quick:
            texts = broadcaster.texts(quick, None, store_of([]))
            for message in numbered(1, 50):
                broadcaster.publish(message)
            return await take(texts, 50)

    assert asyncio.run(run()) == [message.text for message in numbered(1, 50)]


def test_since_of_the_future_counts_as_now() -> None:
    async def run() -> list[str]:
        broadcaster = Broadcaster(last_seq=3)
        with broadcaster.subscribe() as subscription:
            texts = broadcaster.texts(subscription, 99, store_of(numbered(1, 3)))
            broadcaster.publish(signal(4))
            return await take(texts, 1)

    assert asyncio.run(run()) == ["signal 4"]


def test_client_that_left_is_forgotten() -> None:
    async def run() -> tuple[int, int]:
        broadcaster = Broadcaster(last_seq=0)
        with broadcaster.subscribe():
            during = broadcaster.clients
        return during, broadcaster.clients

    assert asyncio.run(run()) == (1, 0)


def test_heartbeat_waits_for_signals_and_tells_them_sent() -> None:
    async def run() -> list[str]:
        broadcaster = Broadcaster(last_seq=0)
        with broadcaster.subscribe(Interest.of(["AAA"], None)) as subscription:
            texts = broadcaster.texts(subscription, None, store_of([]))
            broadcaster.beat(Heartbeat("1", 0, "ok"))
            broadcaster.beat(Heartbeat("2", 0, "ok"))
            broadcaster.publish(signal(1))
            broadcaster.publish(signal(2, "BBB"))
            return await take(texts, 2)

    first, second = asyncio.run(run())
    assert first == "signal 1"
    assert json.loads(second) == {"type": "heartbeat", "t": "2", "last_seq": 2, "status": "ok"}


def test_answers_go_before_signals_and_are_bounded() -> None:
    async def run() -> tuple[list[str], list[bool]]:
        broadcaster = Broadcaster(last_seq=0)
        with broadcaster.subscribe() as subscription:
            texts = broadcaster.texts(subscription, None, store_of([]))
            broadcaster.publish(signal(1))
            room = [subscription.reply("answer") for _ in range(WAITING_REPLIES + 1)]
            return await take(texts, WAITING_REPLIES + 1), room

    texts, room = asyncio.run(run())
    assert texts == ["answer"] * WAITING_REPLIES + ["signal 1"]
    assert room == [True] * WAITING_REPLIES + [False]


def test_unwanted_signals_fill_no_queue() -> None:
    async def run() -> list[str]:
        broadcaster = Broadcaster(last_seq=0, queue_size=2)
        with broadcaster.subscribe(Interest.of(None, ["FirstPump"])) as subscription:
            texts = broadcaster.texts(subscription, None, store_of([]))
            for seq in range(1, 10):
                broadcaster.publish(signal(seq))
            broadcaster.publish(signal(10, state="FirstPump"))
            return await take(texts, 1)

    assert asyncio.run(run()) == ["signal 10"]


def test_narrowed_interest_counts_for_what_waits() -> None:
    async def run() -> list[str]:
        broadcaster = Broadcaster(last_seq=0)
        with broadcaster.subscribe() as subscription:
            texts = broadcaster.texts(subscription, None, store_of([]))
            broadcaster.publish(signal(1))
            broadcaster.publish(signal(2, "BBB"))
            subscription.interest = Interest.of(["bbb"], None)
            return await take(texts, 1)

    assert asyncio.run(run()) == ["signal 2"]


def test_one_client_too_many_is_refused() -> None:
    broadcaster = Broadcaster(last_seq=0, max_clients=1)
    with broadcaster.subscribe(), pytest.raises(FullError), broadcaster.subscribe():
        pass


def test_what_is_no_signal_keeps_its_place_and_leaves_seq_alone() -> None:
    async def run() -> tuple[list[str], int]:
        broadcaster = Broadcaster(last_seq=0)
        with broadcaster.subscribe() as subscription:
            texts = broadcaster.texts(subscription, None, store_of([]))
            broadcaster.tell("AAA", "RePump", "raised")
            broadcaster.publish(signal(1))
            broadcaster.tell("AAA", "RePump", "confirmed")
            broadcaster.publish(signal(2))
            return await take(texts, 4), broadcaster.last_seq

    assert asyncio.run(run()) == (["raised", "signal 1", "confirmed", "signal 2"], 2)


def test_what_is_no_signal_goes_to_those_who_want_the_symbol_and_state() -> None:
    async def run() -> list[str]:
        broadcaster = Broadcaster(last_seq=0)
        with broadcaster.subscribe(Interest.of(["AAA"], ["RePump"])) as subscription:
            texts = broadcaster.texts(subscription, None, store_of([]))
            broadcaster.tell("BBB", "RePump", "other symbol")
            broadcaster.tell("AAA", "FirstPump", "other state")
            broadcaster.tell("AAA", "RePump", "wanted")
            return await take(texts, 1)

    assert asyncio.run(run()) == ["wanted"]


def test_full_queue_loses_what_is_no_signal_but_no_signal() -> None:
    async def run() -> list[str]:
        broadcaster = Broadcaster(last_seq=0, queue_size=2)
        with broadcaster.subscribe() as subscription:
            texts = broadcaster.texts(subscription, None, store_of(numbered(1, 2)))
            broadcaster.publish(signal(1))
            for _ in range(3):
                broadcaster.tell("AAA", "RePump", "told")
            broadcaster.publish(signal(2))
            gap, *rest = await take(texts, 3)
            broadcaster.tell("AAA", "RePump", "told again")
            return [json.loads(gap)["type"], *rest, *await take(texts, 1)]

    assert asyncio.run(run()) == ["gap", "signal 1", "signal 2", "told again"]
