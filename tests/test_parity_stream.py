"""Live equals batch over a streamed session too, though the stream is cut again and again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
import requests

from ingest.budget import CallBudget
from ingest.providers.massive import MassiveClient
from ingest.simulator.generated import GeneratedMarket
from ingest.simulator.server import SimulatedServer
from ingest.simulator.socket_faults import SocketFaults
from ingest.simulator.sockets import SimulatedSockets
from live.broadcast import Broadcaster
from live.feeds import Polled
from live.feeds.connection import StreamConnection
from live.feeds.massive_socket import MassiveDialogue
from live.feeds.stream import MassiveFeed
from live.monitor import Monitor
from live.scoring import Scorer
from live.sessions import Session
from live.warehouse import LiveWarehouse, open_live
from tests.live_fixture import HandClock
from tests.test_parity import Recorded, equal_batch, record, ticks

pytestmark = pytest.mark.long

DAY = date(2024, 12, 20)
MINUTE = timedelta(minutes=1)
LONGEST_WAIT = 30.0


@dataclass
class WholeMinutes:
    """Polls a stream until it has told of all minutes that have ended, as time would pass."""

    feed: MassiveFeed
    market: GeneratedMarket
    had: set[tuple[str, datetime]] = field(default_factory=set)

    @property
    def provider(self) -> str:
        return self.feed.provider

    @property
    def notes(self) -> Sequence[str]:
        return self.feed.notes

    def close(self) -> None:
        self.feed.close()

    def poll(self, session: Session, symbols: Sequence[str], now: datetime) -> Polled:
        every = Polled()
        deadline = time.monotonic() + LONGEST_WAIT
        while True:
            polled = self.feed.poll(session, symbols, now)
            every.bars += polled.bars
            for table in polled.bars:
                stamps = zip(table["symbol"].to_pylist(), table["bar_at"].to_pylist(), strict=True)
                self.had |= set(stamps)
            missing = self._ended(session, symbols, now) - self.had
            if not missing:
                return every
            assert time.monotonic() < deadline, f"{len(missing)} bars did not come: {polled}"
            time.sleep(0.02)

    def _ended(
        self, session: Session, symbols: Sequence[str], now: datetime
    ) -> set[tuple[str, datetime]]:
        return {
            (symbol, at.item())
            for symbol in symbols
            for at in self.market.minutes(symbol, session.session_date)["bar_at"]
            if at.item() + MINUTE + timedelta(seconds=2.5) <= now
        }


@contextmanager
def streaming(session: Session) -> Iterator[tuple[WholeMinutes, HandClock, SimulatedSockets]]:
    market, clock = GeneratedMarket(), HandClock(session.pre_open_at)
    faults = SocketFaults(cut=0.05, garbage_frame=0.02)
    with (
        SimulatedServer(market, clock) as server,
        SimulatedSockets(market, clock, faults=faults) as sockets,
    ):
        budget = CallBudget("ultimate", clock)
        client = MassiveClient(server.massive_url, "demo", budget, clock, requests.Session())
        connection = StreamConnection(
            sockets.massive_url, MassiveDialogue("demo"), clock, backoff_seconds=0.02
        )
        feed = MassiveFeed(client, connection, clock, patience_seconds=10)
        try:
            yield WholeMinutes(feed, market), clock, sockets
        finally:
            feed.close()


def play(recorded: Recorded, warehouse: LiveWarehouse) -> set[tuple[str, datetime, str]]:
    """Stream the session through the monitor; return its signals."""
    with streaming(recorded.session) as (feed, clock, sockets):
        monitor = Monitor(
            warehouse,
            feed,
            clock,
            Broadcaster(0, 10),
            Scorer(recorded.live.data_dir, *warehouse.feature_definitions()),
            warehouse_path=recorded.live.warehouse_path,
            tick_seconds=5.0,
        )
        signals = []
        for moment in ticks(recorded.session):
            clock.at = moment + timedelta(seconds=1)
            signals += monitor.tick()
        assert not monitor.problems
        assert sockets.logins > 5
    return {(s.entry.symbol, s.entry.bar_at, s.entry.state) for s in signals}


@pytest.mark.timeout(600)
def test_streamed_session_equals_batch(generated: Path, tmp_path: Path) -> None:
    recorded = record(generated, tmp_path, DAY)
    with open_live(recorded.live.live_path, recorded.live.published_path) as warehouse:
        signals = play(recorded, warehouse)
    with duckdb.connect(recorded.live.live_path) as live:
        providers = live.execute("select distinct provider from raw.bars_1m").fetchall()
    assert providers == [("massive",)]
    assert signals == equal_batch(recorded) != set()
