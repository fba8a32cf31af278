"""The running minute's bars, put together from bars of one second. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from live.feeds.massive_events import Event, bars_table, starts_at, symbol_of
from live.feeds.watch import MINUTE


@dataclass
class FormingBars:
    """Seconds of each symbol's newest minute; once its minute bar has come, that one counts."""

    _seconds: dict[str, dict[datetime, Event]] = field(default_factory=dict)
    _minutes: dict[str, datetime] = field(default_factory=dict)
    """The minute that a symbol's seconds are of."""
    _closed: dict[str, datetime] = field(default_factory=dict)
    """The newest minute whose bar has come."""

    def add(self, second: Event) -> None:
        """Take a bar of one second in; one that is sent again replaces the former."""
        symbol, start = symbol_of(second), starts_at(second)
        if start is None:
            return
        minute = start.replace(second=0, microsecond=0)
        if minute < self._minutes.get(symbol, minute):
            return
        if minute <= self._closed.get(symbol, datetime.min):
            return
        if minute != self._minutes.get(symbol):
            self._minutes[symbol], self._seconds[symbol] = minute, {}
        self._seconds[symbol][start] = second

    def close(self, symbol: str, bar_at: datetime) -> None:
        """Forget a minute whose bar has come."""
        self._closed[symbol] = max(bar_at, self._closed.get(symbol, bar_at))
        if self._minutes.get(symbol, datetime.max) <= bar_at:
            del self._minutes[symbol], self._seconds[symbol]

    def table(self, symbols: Sequence[str], session_date: date, now: datetime) -> pa.Table:
        """Return the bars of minutes that have not ended at `now`, with raw.bars_1m's columns."""
        running = [
            _merged([seconds[at] for at in sorted(seconds)], self._minutes[symbol])
            for symbol in symbols
            if (seconds := self._seconds.get(symbol)) and now < self._minutes[symbol] + MINUTE
        ]
        return bars_table(running, session_date)


def _merged(seconds: Sequence[Event], minute: datetime) -> Event:
    """Return the aggregate of bars of one minute, oldest first."""
    stamp = int((minute - datetime(1970, 1, 1)).total_seconds() * 1000)

    def values(key: str) -> list[Any]:
        return [second[key] for second in seconds if isinstance(second.get(key), int | float)]

    return {
        "sym": seconds[0]["sym"],
        "s": stamp,
        "o": next(iter(values("o")), None),
        "h": max(values("h"), default=None),
        "l": min(values("l"), default=None),
        "c": next(reversed(values("c")), None),
        "v": sum(values("v")),
    }
