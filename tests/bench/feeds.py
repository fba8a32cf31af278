"""What the polled feed costs: calls a minute for 50 symbols, beside the plain way.

`python -m tests.bench.feeds` polls a simulated market every 5 seconds of its clock, for half an
hour before the open and half an hour after it, and counts the requests that arrive. The plain way
asks for every symbol's bars at every look: 600 calls a minute.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

import requests
import typer

from ingest.budget import CallBudget
from ingest.providers.fmp import FmpClient
from ingest.simulator.generated import GeneratedMarket
from ingest.simulator.server import SimulatedServer
from live.feeds.poll import PollFeed
from tests.live_fixture import DAY, OPEN, SESSION, HandClock

PLAN = "premium"
LOOK = timedelta(seconds=5)
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Cost:
    """Calls by minute, and how soon the bars came."""

    calls: list[int]
    bars: int
    missing: int
    """Closed bars of the market that were not there when the next minute ended."""

    @property
    def most(self) -> int:
        """The busiest minute's calls."""
        return max(self.calls)

    @property
    def mean(self) -> float:
        """Calls a minute."""
        return sum(self.calls) / len(self.calls)


def poll_market(market: GeneratedMarket, symbols: list[str], start: datetime, minutes: int) -> Cost:
    """Poll every LOOK from `start` on; the first minute reads the day so far."""
    clock = HandClock(start)
    had: set[tuple[str, datetime]] = set()
    missing = 0
    with SimulatedServer(market, clock, plan=PLAN) as server, requests.Session() as http:
        http.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=16))
        client = FmpClient(server.base_url, "demo", CallBudget(PLAN, clock), clock, http)
        feed = PollFeed(client, clock, patience_seconds=30)
        for look in range(int(minutes * MINUTE / LOOK)):
            clock.at = start + look * LOOK
            if look and clock.at.second == 0:
                missing += len(closed(market, symbols, clock.at - MINUTE) - had)
            for table in feed.poll(SESSION, symbols, clock.at).bars:
                had |= set(
                    zip(table["symbol"].to_pylist(), table["bar_at"].to_pylist(), strict=True)
                )
        feed.close()
        made = Counter(int((asked.asked_at - start) / MINUTE) for asked in server.requests)
    return Cost([made[minute] for minute in range(minutes)], len(had), missing)


def closed(
    market: GeneratedMarket, symbols: list[str], until: datetime
) -> set[tuple[str, datetime]]:
    """Return symbol and bar_at of the session's bars that have ended at `until`."""
    return {
        (symbol, bar_at.item())
        for symbol in symbols
        for bar_at in market.minutes(symbol, DAY)["bar_at"]
        if bar_at.item() + MINUTE <= until
    }


def watched(market: GeneratedMarket, count: int) -> list[str]:
    """Return `count` symbols, those that run first."""
    trading = market.symbols(DAY)
    return list(dict.fromkeys([*market.watchlist_grade(), *trading]))[:count]


def main(symbols: int = 50, minutes: int = 30) -> None:
    """Print calls a minute of each segment, and the ratio to the plain way."""
    market = GeneratedMarket()
    names = watched(market, symbols)
    plain = symbols * int(MINUTE / LOOK)
    starts = {"PRE": OPEN - timedelta(minutes=minutes + 5), "RTH": OPEN}
    for segment, start in starts.items():
        cost = poll_market(market, names, start, minutes)
        print(
            f"{segment}: {symbols} symbols, {minutes} minutes: {cost.mean:.0f} calls a minute "
            f"(the busiest {cost.most}), the plain way {plain}: {cost.mean / plain:.0%}; "
            f"{cost.bars:,} bars, {cost.missing} later than a minute"
        )


if __name__ == "__main__":
    typer.run(main)
