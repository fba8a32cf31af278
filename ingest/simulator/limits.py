"""Counting what a key has used of its plan, by the market's clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Literal

BULK_PAUSE = timedelta(seconds=20)
"""Market time between two calls of one bulk path. FMP does not say how long; clients use 30 s."""

BANDWIDTH_DAYS = 30

Period = Literal["second", "minute", "day"]
PERIOD_STAMPS: dict[Period, str] = {
    "second": "%Y-%m-%dT%H:%M:%S",
    "minute": "%Y-%m-%dT%H:%M",
    "day": "%Y-%m-%d",
}


@dataclass
class CallMeter:
    """One key's calls. A period is the clock's own, in UTC; refused calls don't count."""

    limits: Mapping[Period, int | None]
    """Most calls in each period; None: without limit."""
    _calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _lock: Lock = field(default_factory=Lock)

    def take(self, now: datetime) -> Period | None:
        """Count a call at `now`; or return the period whose calls are used up."""
        current = {period: now.strftime(PERIOD_STAMPS[period]) for period in self.limits}
        with self._lock:
            for period, most in self.limits.items():
                if most is not None and self._calls[current[period]] >= most:
                    return period
            calls = {stamp: self._calls[stamp] + 1 for stamp in current.values()}
            self._calls = defaultdict(int, calls)
            return None


@dataclass
class ByteMeter:
    """One key's bytes and bulk calls."""

    bandwidth: int
    """Bytes of answers in 30 days."""
    _bytes: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    _bulk: dict[str, datetime] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def has_bandwidth(self, now: datetime) -> bool:
        """Return whether fewer bytes were sent in the last 30 days than the plan allows."""
        today = now.toordinal()
        with self._lock:
            sent = sum(n for day, n in self._bytes.items() if day > today - BANDWIDTH_DAYS)
        return sent < self.bandwidth

    def count_bytes(self, now: datetime, byte_count: int) -> None:
        """Count bytes that go over the wire."""
        with self._lock:
            self._bytes[now.toordinal()] += byte_count

    def take_bulk(self, endpoint: str, now: datetime) -> bool:
        """Count a bulk call; False where the last of this path was moments ago."""
        with self._lock:
            last = self._bulk.get(endpoint)
            if last is not None and abs(now - last) < BULK_PAUSE:
                return False
            self._bulk[endpoint] = now
            return True
