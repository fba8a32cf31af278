"""Counting what a key has used of its plan, by the market's clock."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

from ingest.simulator.plans import Plan

BULK_PAUSE = timedelta(seconds=20)
"""Market time between two calls of one bulk path. FMP does not say how long; clients use 30 s."""

BANDWIDTH_DAYS = 30


@dataclass
class Meter:
    """One key's use. A minute and a day are the clock's own, in UTC; refused calls don't count."""

    plan: Plan
    _calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _bytes: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    _bulk: dict[str, datetime] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def take(self, now: datetime) -> bool:
        """Count a call at `now`; False where the plan's calls are used up."""
        minute, day = f"{now:%Y-%m-%dT%H:%M}", f"{now:%Y-%m-%d}"
        limits = ((minute, self.plan.per_minute), (day, self.plan.per_day))
        with self._lock:
            if any(most is not None and self._calls[period] >= most for period, most in limits):
                return False
            self._calls = defaultdict(int, {key: self._calls[key] + 1 for key in (minute, day)})
            return True

    def has_bandwidth(self, now: datetime) -> bool:
        """Return whether fewer bytes were sent in the last 30 days than the plan allows."""
        today = now.toordinal()
        with self._lock:
            sent = sum(n for day, n in self._bytes.items() if day > today - BANDWIDTH_DAYS)
        return sent < self.plan.bandwidth

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
