"""Provisional signals end to end: Massive's bars of one second in, a WebSocket client out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import requests
from websockets.sync.client import ClientConnection, connect

from ingest.budget import CallBudget
from ingest.providers.massive import MassiveClient
from ingest.settings import Settings
from ingest.simulator.files import FileMarket
from ingest.simulator.server import SimulatedServer
from ingest.simulator.sockets import SimulatedSockets
from live.feeds.connection import StreamConnection
from live.feeds.massive_socket import MassiveDialogue
from live.feeds.stream import MassiveFeed
from tests.live_fixture import OPEN, HandClock, bar, publish
from tests.live_server import Running, serving, wait_until

T = OPEN + timedelta(minutes=30)
MINUTES = 6
RISES, FALLS = 3, 3
"""The minutes in which AAA rises and stays up, and BRK-B rises and falls back."""


def market(folder: Path) -> FileMarket:
    """Two symbols that stand still, but for the one minute of each."""
    rows = []
    for symbol, price in (("AAA", 5.0), ("BRK-B", 7.0)):
        for number in range(MINUTES):
            has_risen = symbol == "AAA" and number >= RISES
            row = bar(symbol, T + timedelta(minutes=number), 5.2 if has_risen else price)
            if symbol == "BRK-B" and number == FALLS:
                row["high"] = 8.0
            rows.append(row)
    pq.write_table(pa.Table.from_pylist(rows).drop(["session_date"]), folder / "minute.parquet")
    return FileMarket(folder / "minute.parquet")


@contextmanager
def streaming(settings: Settings, folder: Path) -> Iterator[Running]:
    """The service on Massive's simulated stream, its clock a little before the rises."""
    clock = HandClock(T + timedelta(minutes=RISES - 1, seconds=50), speed=100)
    with (
        SimulatedServer(market(folder), clock) as server,
        SimulatedSockets(market(folder), clock) as sockets,
    ):
        budget = CallBudget("ultimate", clock)
        client = MassiveClient(server.massive_url, "demo", budget, clock, requests.Session())
        connection = StreamConnection(sockets.massive_url, MassiveDialogue("demo"), clock)
        feed = MassiveFeed(client, connection, clock, has_seconds=True, patience_seconds=10)
        with serving(settings, clock=clock, feed=feed) as running:
            monitor = running.service.monitor
            wait_until(lambda: monitor.newest_bar_at == T + timedelta(minutes=1))
            yield running


def told(running: Running, client: ClientConnection) -> list[dict[str, Any]]:
    """Let the rises pass, three ticks for every three seconds; return what a client is sent."""
    monitor = running.service.monitor
    while running.clock.at < T + timedelta(minutes=RISES + 1, seconds=10):
        running.clock.at += timedelta(seconds=3)
        ticks = monitor.counts.ticks + 3
        wait_until(lambda: monitor.counts.ticks >= ticks)  # noqa: B023
    messages = []
    with suppress(TimeoutError):
        while True:
            messages.append(json.loads(client.recv(timeout=0.5)))
    return [message for message in messages if "symbol" in message]


def test_rises_are_told_while_they_form_and_settled(settings: Settings, tmp_path: Path) -> None:
    publish(settings.data_dir, 2, "update marts.signal_rules set provisional_signals = true")
    with streaming(settings, tmp_path) as running, connect(running.ws) as client:
        messages = told(running, client)
    kinds = [(message["symbol"], message.get("type", "signal")) for message in messages]
    assert [kind for symbol, kind in kinds if symbol == "AAA"] == [
        "provisional", "signal", "confirmed",
    ]  # fmt: skip
    assert [kind for symbol, kind in kinds if symbol == "BRK-B"] == ["provisional", "retracted"]


def test_signals_alone_are_told_by_default(settings: Settings, tmp_path: Path) -> None:
    with streaming(settings, tmp_path) as running, connect(running.ws) as client:
        assert [message.get("type", "signal") for message in told(running, client)] == ["signal"]
