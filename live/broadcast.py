"""One bounded queue per client: a slow one is told of its gap and never delays the rest."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

Message = tuple[int, str]
"""A signal's seq and its payload as JSON text."""

ReadSince = Callable[[int], list[Message]]
"""Return the next stored signals after a seq, oldest first: a page of them, or none. Blocks."""

QUEUE_SIZE = 256


class Subscription:
    """What one client has still to get. Belongs to the event loop's thread."""

    def __init__(self, start: int, size: int) -> None:
        self.start = start
        """The newest signal that had been published when it began."""
        self._size = size
        self._queue: deque[Message] = deque()
        self._ready = asyncio.Event()
        self.missed_to: int | None = None
        """The newest seq that found the queue full; None while nothing was missed."""

    def put(self, message: Message) -> None:
        """Queue `message`; where the queue is full, drop it all and remember up to where."""
        if self.missed_to is not None or len(self._queue) >= self._size:
            self._queue.clear()
            self.missed_to = message[0]
        else:
            self._queue.append(message)
        self._ready.set()

    async def next(self) -> Message | None:
        """Wait for the next message. None: some were missed, `take_missed` says which."""
        await self._ready.wait()
        if self.missed_to is not None:
            return None
        message = self._queue.popleft()
        if not self._queue:
            self._ready.clear()
        return message

    def take_missed(self) -> int:
        """Return the newest seq that was missed, and queue again from now on."""
        missed_to, self.missed_to = self.missed_to, None
        self._ready.clear()
        assert missed_to is not None
        return missed_to


class Broadcaster:
    """Hands every signal to every client's queue. Belongs to the event loop's thread."""

    def __init__(self, last_seq: int, queue_size: int = QUEUE_SIZE) -> None:
        self.last_seq = last_seq
        """The newest signal that was published, now or in an earlier run."""
        self._queue_size = queue_size
        self._subscriptions: set[Subscription] = set()
        self.gaps = 0
        """How often a client was too slow."""

    @property
    def clients(self) -> int:
        """Clients connected now."""
        return len(self._subscriptions)

    def publish(self, message: Message) -> None:
        """Hand `message` to every client's queue; never waits."""
        self.last_seq = message[0]
        for subscription in self._subscriptions:
            subscription.put(message)

    @contextmanager
    def subscribe(self) -> Iterator[Subscription]:
        """Collect what is published from now on."""
        subscription = Subscription(self.last_seq, self._queue_size)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    async def texts(
        self, subscription: Subscription, since: int | None, read_since: ReadSince
    ) -> AsyncIterator[str]:
        """Yield all that a client is sent, each signal once, in order, without end.

        With `since` it starts with the stored signals after that seq. After a gap, the gap is told
        and what was missed is read from the store. A `since` of the future counts as now.
        """
        sent_to = subscription.start if since is None else min(since, subscription.start)
        behind = since is not None
        while True:
            while behind:
                page = await asyncio.to_thread(read_since, sent_to)
                for seq, text in page:
                    yield text
                    sent_to = seq
                behind = bool(page)
            message = await subscription.next()
            if message is None:
                missed_to = subscription.take_missed()
                if missed_to > sent_to:
                    self.gaps += 1
                    yield gap_text(sent_to + 1, missed_to)
                    behind = True
            elif message[0] > sent_to:
                yield message[1]
                sent_to = message[0]


def gap_text(from_seq: int, to_seq: int) -> str:
    """Return the message that tells a client which signals it was too slow for."""
    return json.dumps({"type": "gap", "from_seq": from_seq, "to_seq": to_seq})
