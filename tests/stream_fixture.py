"""Streams for tests: the simulated providers with their clock set by hand, and feeds on them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from ingest.budget import CallBudget
from ingest.providers.fmp import FmpClient
from ingest.providers.massive import MassiveClient
from ingest.simulator.generated import GeneratedMarket
from ingest.simulator.server import SimulatedServer
from ingest.simulator.socket_faults import SocketFaults
from ingest.simulator.sockets import SimulatedSockets
from live.feeds import Feed, Polled
from live.feeds.connection import StreamConnection
from live.feeds.fmp_socket import FmpDialogue
from live.feeds.fmp_stream import FmpStreamFeed
from live.feeds.massive_socket import MassiveDialogue
from live.feeds.stream import MassiveFeed
from tests.live_fixture import DAY, MINUTE, SESSION, HandClock

MARKET = GeneratedMarket(seed=7, symbol_count=40)
SYMBOLS = MARKET.watchlist_grade()[:3]
LONGEST_WAIT = 20.0
"""Real seconds until a test gives up."""


@dataclass
class Market:
    """Simulated providers, over REST and over sockets, and the clock of both."""

    clock: HandClock
    server: SimulatedServer
    sockets: SimulatedSockets
    budget: CallBudget

    def massive_feed(
        self, *, key: str = "demo", backoff_seconds: float = 0.01, has_seconds: bool = False
    ) -> MassiveFeed:
        client = MassiveClient(
            self.server.massive_url,
            "demo",
            self.budget,
            self.clock,
            requests.Session(),
            backoff_seconds=0.001,
        )
        connection = StreamConnection(
            self.sockets.massive_url,
            MassiveDialogue(key),
            self.clock,
            backoff_seconds=backoff_seconds,
        )
        return MassiveFeed(
            client, connection, self.clock, has_seconds=has_seconds, patience_seconds=10
        )

    def fmp_stream_feed(self, *, key: str = "demo", url: str | None = None) -> FmpStreamFeed:
        client = FmpClient(
            self.server.base_url, "demo", self.budget, self.clock, requests.Session()
        )
        connection = StreamConnection(
            url or self.sockets.fmp_url, FmpDialogue(key), self.clock, backoff_seconds=0.01
        )
        return FmpStreamFeed(
            client, connection, self.clock, self.budget.charge, patience_seconds=10
        )

    def reads(self) -> int:
        """How often minute bars were asked for over REST."""
        paths = ("/v2/aggs", "/stable/historical-chart")
        return sum(request.path.startswith(paths) for request in self.server.requests)


@contextmanager
def simulated_market(at: datetime, **faults: float) -> Iterator[Market]:
    """Serve MARKET with its clock standing at `at`."""
    clock = HandClock(at)
    with (
        SimulatedServer(MARKET, clock) as server,
        SimulatedSockets(MARKET, clock, faults=SocketFaults(**faults)) as sockets,  # type: ignore[arg-type]
    ):
        yield Market(clock, server, sockets, CallBudget("ultimate", clock))


@dataclass
class Polling:
    """A feed that is polled, and all that it has brought."""

    feed: Feed
    clock: HandClock
    symbols: Sequence[str] = tuple(SYMBOLS)
    versions: dict[tuple[str, datetime], list[float]] = field(default_factory=dict)
    """Symbol and bar_at to the volumes of the bar's versions, as they came."""
    last: Polled = field(default_factory=Polled)

    def poll(self) -> Polled:
        self.last = self.feed.poll(SESSION, self.symbols, self.clock.at)
        for part in (self.last, *self.last.others.values()):
            for table in part.bars:
                for row in table.to_pylist():
                    key = (row["symbol"], row["bar_at"])
                    self.versions.setdefault(key, []).append(row["volume"])
        return self.last

    def until(self, is_so: Callable[[], bool]) -> None:
        """Poll, the clock standing, until something is so; fail where it does not become so."""
        deadline = time.monotonic() + LONGEST_WAIT
        while True:
            self.poll()
            if is_so():
                return
            assert time.monotonic() < deadline, f"not within {LONGEST_WAIT} s: {self.last}"
            time.sleep(0.01)

    def has_bars_to(self, end: datetime) -> bool:
        """Return whether the newest versions are the market's bars, all of them before `end`."""
        newest = {key: volumes[-1] for key, volumes in self.versions.items() if key[1] < end}
        return newest == market_volumes(self.symbols, end)


def market_volumes(symbols: Sequence[str], end: datetime) -> dict[tuple[str, datetime], float]:
    """Return symbol and bar_at to volume of the market's bars before `end`."""
    return {
        (symbol, bar["bar_at"].item()): float(bar["volume"])
        for symbol in symbols
        for bar in MARKET.minutes(symbol, DAY)
        if bar["bar_at"].item() < end
    }


@contextmanager
def polling(feed: Any, clock: HandClock, symbols: Sequence[str] = SYMBOLS) -> Iterator[Polling]:
    """Poll a feed, and close it at the end."""
    try:
        yield Polling(feed, clock, list(symbols))
    finally:
        feed.close()


@contextmanager
def scripted_socket(*steps: str | None) -> Iterator[tuple[str, list[str], list[ServerConnection]]]:
    """Serve a socket that sends the texts of `steps` and reads one message at each None.

    Yields its address, what it was told, and its connections; then it stays silent.
    """
    told: list[str] = []
    open_now: list[ServerConnection] = []

    def handle(socket: ServerConnection) -> None:
        open_now.append(socket)
        try:
            for step in steps:
                if step is None:
                    told.append(str(socket.recv(timeout=LONGEST_WAIT)))
                else:
                    socket.send(step)
            while True:
                told.append(str(socket.recv()))
        except (ConnectionClosed, TimeoutError):
            return

    with serve(handle, "127.0.0.1", 0, close_timeout=1) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}", told, open_now
        server.shutdown()
        thread.join(timeout=5)


def minutes_from(start: datetime, count: int) -> list[datetime]:
    """Return moments three seconds after the ends of `count` minutes."""
    return [start + n * MINUTE + timedelta(seconds=3) for n in range(1, count + 1)]
