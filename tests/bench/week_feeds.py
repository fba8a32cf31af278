"""The feeds of a simulated week, with pauses of its speed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import requests

from ingest.budget import CallBudget
from ingest.clock import Clock
from ingest.providers.fmp import FmpClient
from ingest.providers.massive import MassiveClient
from ingest.runs import http_session
from live.feeds import Feed
from live.feeds.connection import StreamConnection
from live.feeds.failover import FailoverFeed, Named
from live.feeds.massive_socket import MassiveDialogue
from live.feeds.poll import PollFeed
from live.feeds.stream import MassiveFeed
from tests.bench.week_market import Addresses

PATIENCE, BACKOFF = 0.25, 0.002
"""Real seconds that a poll waits for slow answers, and of the first pause after a failed call."""


def make_feed(name: str, at: Addresses, clock: Clock, see: Callable[..., object]) -> Feed:
    """Return the feed that LIVE_FEED would choose, with pauses of the week's speed."""
    feeds = {"poll": _poll_feed, "massive": _massive_feed}
    first, *second = [Named(part, feeds[part](at, clock, see)) for part in name.split(",")]
    return FailoverFeed(first, second[0], timedelta(seconds=90)) if second else first.feed


def _poll_feed(at: Addresses, clock: Clock, see: Callable[..., object]) -> PollFeed:
    budget = CallBudget("ultimate", clock)
    client = FmpClient(
        at.fmp, "demo", budget, clock, _session(at.fmp, see), backoff_seconds=BACKOFF
    )
    return PollFeed(client, clock, patience_seconds=PATIENCE, on_close=budget.stop)


def _massive_feed(at: Addresses, clock: Clock, see: Callable[..., object]) -> MassiveFeed:
    budget = CallBudget("ultimate", clock)
    client = MassiveClient(
        at.massive, "demo", budget, clock, _session(at.massive, see), backoff_seconds=BACKOFF
    )
    connection = StreamConnection(at.massive_socket, MassiveDialogue("demo"), clock)
    return MassiveFeed(client, connection, clock, patience_seconds=PATIENCE, on_close=budget.stop)


def _session(url: str, see: Callable[..., object]) -> requests.Session:
    session = http_session(url, 16)
    session.hooks["response"].append(see)
    return session
