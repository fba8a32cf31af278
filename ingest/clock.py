"""The time: real, or a market's own that starts anywhere and runs at any speed.

Every `_at` in this project is a naive datetime in UTC, as DuckDB's TIMESTAMP is.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What programs ask for the time, so that a simulated market can set it."""

    @property
    def speed(self) -> float:
        """Seconds of this clock per real second."""

    def now(self) -> datetime:
        """Return the time, naive, UTC."""


@dataclass(frozen=True)
class SystemClock:
    """The machine's clock."""

    speed: float = 1.0

    def now(self) -> datetime:
        """Return the machine's time, naive, UTC."""
        return datetime.now(UTC).replace(tzinfo=None)


@dataclass(frozen=True)
class SimulatedClock:
    """A clock that read `start_at` when the machine's read `anchor`; `speed` times as fast.

    A pure function of the machine's clock: processes that share its text agree on the time.
    """

    start_at: datetime
    speed: float
    anchor: float

    @classmethod
    def starting(cls, start_at: datetime, speed: float) -> SimulatedClock:
        """Return a clock that reads `start_at` (naive, UTC) now."""
        return cls(start_at, speed, time.time())

    def now(self) -> datetime:
        """Return the simulated time, naive, UTC."""
        return self.start_at + timedelta(seconds=(time.time() - self.anchor) * self.speed)

    def __str__(self) -> str:
        return f"{self.start_at.isoformat()}/{self.speed:g}/{self.anchor!r}"


def parse_clock(text: str | None) -> Clock:
    """Return the clock that `text` (setting SIMULATED_CLOCK) describes; the machine's for None."""
    if text is None:
        return SystemClock()
    try:
        start, speed, anchor = text.split("/")
        return SimulatedClock(
            datetime.fromisoformat(start.removesuffix("Z")), float(speed), float(anchor)
        )
    except ValueError as error:
        raise ValueError(
            f"SIMULATED_CLOCK is {text!r}: expected <start, UTC>/<speed>/<anchor, unix seconds>"
        ) from error
