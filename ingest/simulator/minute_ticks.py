"""What happens in one minute of a simulated symbol, second by second. Pure, from its minute bar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from ingest.simulator.market import Bars, Market, to_tick
from ingest.simulator.sessions import new_york_time, session_on

SHARES_OF_A_SECOND = 100
MOST_SECONDS = 8


@dataclass(frozen=True)
class Tick:
    """Something that a stream sends at a moment of the market's clock."""

    due_at: datetime
    make: Callable[[], Any] | None
    """Returns what is sent: an event, or text as it is. None: the connection is cut."""


@dataclass(frozen=True)
class MinuteBar:
    """One bar, and its session's bars up to and including it."""

    symbol: str
    bar: Any
    so_far: Bars
    session_open_at: datetime

    @property
    def volume(self) -> int:
        """Shares, 0 where they are unknown."""
        return int(np.nan_to_num(self.bar["volume"]))

    @property
    def volume_so_far(self) -> int:
        """Shares of the session, this bar's included."""
        return int(np.nansum(self.so_far["volume"]))


def find_bar(market: Market, symbol: str, minute: datetime) -> MinuteBar | None:
    """Return the symbol's bar of the minute that begins at `minute`; None without a trade."""
    session = session_on(new_york_time(minute).date())
    if session is None:
        return None
    bars = market.minutes(symbol, session.session_date)
    row = int(np.searchsorted(bars["bar_at"], np.datetime64(minute, "us")))
    if row >= len(bars) or bars["bar_at"][row].item() != minute:
        return None
    return MinuteBar(symbol, bars[row], bars[: row + 1], session.open_at)


def split_into_seconds(
    found: MinuteBar, rng: np.random.Generator
) -> list[tuple[int, dict[str, float]]]:
    """Return (second of the minute, its prices and volume); together they are the minute's bar."""
    bar = found.bar
    count = int(np.clip(found.volume // SHARES_OF_A_SECOND, 1, MOST_SECONDS))
    seconds = sorted(rng.choice(60, size=count, replace=False).tolist())
    inner = rng.uniform(bar["low"], bar["high"], size=count - 1)
    inner = np.clip(to_tick(inner), bar["low"], bar["high"])
    path = [float(price) for price in (bar["open"], *inner, bar["close"])]
    highest, lowest = (int(number) for number in rng.integers(count, size=2))
    share = found.volume // count
    parts = []
    for number, second in enumerate(seconds):
        first, last = path[number], path[number + 1]
        part = {
            "open": first,
            "high": float(bar["high"]) if number == highest else max(first, last),
            "low": float(bar["low"]) if number == lowest else min(first, last),
            "close": last,
            "volume": share if number < count - 1 else found.volume - share * (count - 1),
        }
        parts.append((second, part))
    return parts


def name_number(symbol: str) -> int:
    """Return a number that stands for a symbol in a seed."""
    return int.from_bytes(symbol.encode()[:6], "big")


def seconds(count: float) -> timedelta:
    """Return a number of seconds as a span of time."""
    return timedelta(seconds=float(count))
