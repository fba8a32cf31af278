"""Replaying a recorded day: its bars come as they came then, as fast as the loop takes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

import pyarrow as pa

from live.feeds import Polled
from live.sessions import Session


@dataclass
class ReplayClock:
    """A clock that stands until it is set."""

    at: datetime
    speed: float = 1.0

    def now(self) -> datetime:
        """Return the moment that is replayed, naive, UTC."""
        return self.at


@dataclass(frozen=True)
class Step:
    """What came at one moment."""

    at: datetime
    provider: str
    bars: pa.Table


@dataclass
class ReplayFeed:
    """Hands out what is recorded up to the clock's time, once."""

    steps: Sequence[Step]
    """In order of time."""
    quotes: pa.Table
    """raw.quotes rows, in order of quoted_at."""
    notes: Sequence[str] = ("a recorded day",)
    provider: str = "replay"
    """Of the step that was handed out last."""
    _next: int = field(default=0, init=False)
    _quoted: int = field(default=0, init=False)
    _quoted_at: list[datetime] = field(init=False)

    def __post_init__(self) -> None:
        self._quoted_at = self.quotes["quoted_at"].to_pylist()

    def poll(self, session: Session, symbols: Sequence[str], now: datetime) -> Polled:
        """Return the bars of the next step, if its time has come, and the quotes up to now."""
        polled = Polled()
        if self._next < len(self.steps) and self.steps[self._next].at <= now:
            step = self.steps[self._next]
            self._next += 1
            self.provider = step.provider
            polled.bars.append(step.bars)
        first = self._quoted
        while self._quoted < len(self._quoted_at) and self._quoted_at[self._quoted] <= now:
            self._quoted += 1
        polled.quotes.append(self.quotes.slice(first, self._quoted - first))
        return polled

    def close(self) -> None:
        """Do nothing: there is nothing to stop."""


def steps_of(bars: pa.Table) -> Iterator[Step]:
    """Yield the steps of recorded bars, sorted by their columns `came_at` and `provider`.

    Steps have moments of their own: of two providers at one, the second comes a microsecond later.
    """
    rows = bars.drop_columns(["came_at", "provider"])
    keys = zip(bars["came_at"].to_pylist(), bars["provider"].to_pylist(), strict=True)
    at, start = datetime.min, 0
    for (came_at, provider), group in groupby(keys):
        count = sum(1 for _ in group)
        at = max(came_at, at + datetime.resolution)
        yield Step(at, provider, rows.slice(start, count))
        start += count
