"""One bounded queue per client: a slow one is told of its gap and never delays the rest."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

from live.messages import Gap, Heartbeat, to_text

QUEUE_SIZE = 256
MAX_CLIENTS = 2_000
WAITING_REPLIES = 32


class Message(NamedTuple):
    """A signal as clients get it, or what else is told of a symbol: `text` is its payload."""

    seq: int
    """Of a signal. What is none has that of the newest signal before it."""

    symbol: str
    state: str
    text: str
    is_signal: bool = True


ReadSince = Callable[[int], list[Message]]
"""Return the next stored signals after a seq, oldest first: a page of them, or none. Blocks."""


class FullError(RuntimeError):
    """There are as many clients as there may be."""


@dataclass(frozen=True)
class Interest:
    """Which signals a client wants; None is all."""

    symbols: frozenset[str] | None = None
    states: frozenset[str] | None = None

    @classmethod
    def of(cls, symbols: Collection[str] | None, states: Collection[str] | None) -> Interest:
        """Return the interest in symbols of any spelling (brk.b is BRK-B), and in states."""
        canonical = symbols and frozenset(s.strip().upper().replace(".", "-") for s in symbols)
        return cls(
            None if canonical is None else frozenset(canonical),
            None if states is None else frozenset(states),
        )

    def wants(self, message: Message) -> bool:
        """Return whether a signal is wanted."""
        return (self.symbols is None or message.symbol in self.symbols) and (
            self.states is None or message.state in self.states
        )


class Missed(NamedTuple):
    """Signals up to `to_seq` found the queue full."""

    to_seq: int


class Subscription:
    """What one client has still to get. Belongs to the event loop's thread."""

    def __init__(self, start: int, size: int, interest: Interest) -> None:
        self.start = start
        """The newest signal that had been published when it began."""
        self.interest = interest
        self._size = size
        self._queue: deque[tuple[Message, float]] = deque()
        self._replies: deque[str] = deque()
        self._missed_to: int | None = None
        self._heartbeat: Heartbeat | None = None
        self._ready = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Signals in the queue."""
        return len(self._queue)

    def put(self, message: Message, published: float) -> None:
        """Queue a signal if it is wanted; where the queue is full, drop it all and remember."""
        if not self.interest.wants(message):
            return
        if self._missed_to is not None or len(self._queue) >= self._size:
            self._queue.clear()
            self._missed_to = message.seq
        else:
            self._queue.append((message, published))
        self._ready.set()

    def reply(self, text: str) -> bool:
        """Queue an answer, which goes before signals; return whether there was room for it."""
        if len(self._replies) >= WAITING_REPLIES:
            return False
        self._replies.append(text)
        self._ready.set()
        return True

    def take_replies(self) -> Iterator[str]:
        """Yield the answers that wait."""
        while self._replies:
            yield self._replies.popleft()

    def beat(self, heartbeat: Heartbeat) -> None:
        """Have a heartbeat sent once no signal waits; it takes the place of one not yet sent."""
        self._heartbeat = heartbeat
        self._ready.set()

    async def next(self) -> str | Missed | tuple[Message, float] | Heartbeat:
        """Wait for what is to be sent next: an answer, a gap, a signal, or a heartbeat."""
        while True:
            await self._ready.wait()
            if self._replies:
                return self._replies.popleft()
            if self._missed_to is not None:
                missed, self._missed_to = Missed(self._missed_to), None
                return missed
            if self._queue:
                return self._queue.popleft()
            if self._heartbeat is not None:
                heartbeat, self._heartbeat = self._heartbeat, None
                return heartbeat
            self._ready.clear()


class Broadcaster:
    """Hands every signal to every client's queue. Belongs to the event loop's thread.

    `on_sent` is told, per signal and client, the seconds from publishing to the socket's taking it.
    """

    def __init__(
        self,
        last_seq: int,
        queue_size: int = QUEUE_SIZE,
        *,
        max_clients: int = MAX_CLIENTS,
        on_sent: Callable[[float], object] = lambda _: None,
    ) -> None:
        self.last_seq = last_seq
        """The newest signal that was published, now or in an earlier run."""
        self._queue_size = queue_size
        self._max_clients = max_clients
        self._on_sent = on_sent
        self._subscriptions: set[Subscription] = set()
        self.gaps = 0
        """How often a client was too slow."""

    @property
    def clients(self) -> int:
        """Clients connected now."""
        return len(self._subscriptions)

    @property
    def waiting(self) -> list[int]:
        """Signals in each client's queue."""
        return [subscription.waiting for subscription in self._subscriptions]

    def publish(self, message: Message) -> None:
        """Hand a signal to every client's queue; never waits."""
        self.last_seq = message.seq
        self._hand_out(message)

    def tell(self, symbol: str, state: str, text: str) -> None:
        """Hand what is no signal to every client's queue, behind the signals so far.

        It is sent once: nobody can resume it, and a client whose queue is full does without.
        """
        self._hand_out(Message(self.last_seq, symbol, state, text, is_signal=False))

    def _hand_out(self, message: Message) -> None:
        published = perf_counter()
        for subscription in self._subscriptions:
            subscription.put(message, published)

    def beat(self, heartbeat: Heartbeat) -> None:
        """Have a heartbeat sent to every client."""
        for subscription in self._subscriptions:
            subscription.beat(heartbeat)

    @contextmanager
    def subscribe(self, interest: Interest | None = None) -> Iterator[Subscription]:
        """Collect what is published from now on. Raises FullError."""
        if len(self._subscriptions) >= self._max_clients:
            raise FullError(f"{self._max_clients} clients are connected, no more may be: try later")
        subscription = Subscription(self.last_seq, self._queue_size, interest or Interest())
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
                for message in page:
                    for reply in subscription.take_replies():
                        yield reply
                    if subscription.interest.wants(message):
                        yield message.text
                    sent_to = message.seq
                behind = bool(page)
            match await subscription.next():
                case str() as reply:
                    yield reply
                case Missed(to_seq) if to_seq > sent_to:
                    self.gaps += 1
                    yield to_text(Gap(sent_to + 1, to_seq))
                    behind = True
                case (Message() as message, float() as published) if (
                    message.seq > sent_to or not message.is_signal
                ):
                    if subscription.interest.wants(message):
                        yield message.text
                        self._on_sent(perf_counter() - published)
                    sent_to = max(sent_to, message.seq)
                case Heartbeat() as heartbeat:
                    sent_to = max(sent_to, self.last_seq)
                    yield to_text(Heartbeat(heartbeat.t, sent_to, heartbeat.status))
