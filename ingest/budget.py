"""The call budget of a provider's plan, counted by the clock of the market.

A plan limits calls per minute or per day, and bytes per 30 days. The day and the 30 days are
rolling windows here: when the provider resets its own is not documented, and no reset is later.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import duckdb
from pyrate_limiter import Duration, InMemoryBucket, Rate, RateItem

from ingest.clock import Clock
from ingest.settings import Plan

MB = 10**6
BANDWIDTH_DAYS = timedelta(days=30)
LONGEST_WAIT = timedelta(minutes=5)
"""A budget that is back later than this, by the clock, is reported instead of waited for."""
MARGIN = Duration.SECOND
"""Added to the window: calls arrive at the provider a little later than they were counted here."""


@dataclass(frozen=True)
class PlanLimits:
    """What a plan allows. Source: FMP's price list, July 2026."""

    calls: int
    per: Duration
    bandwidth_bytes: int
    """Bytes per 30 days."""


PLANS: dict[Plan, PlanLimits] = {
    "free": PlanLimits(250, Duration.DAY, 500 * MB),
    "starter": PlanLimits(300, Duration.MINUTE, 20_000 * MB),
    "premium": PlanLimits(750, Duration.MINUTE, 50_000 * MB),
    "ultimate": PlanLimits(3000, Duration.MINUTE, 150_000 * MB),
}


@dataclass(frozen=True)
class Spent:
    """Calls made and bytes received at one moment (naive UTC)."""

    at: datetime
    calls: int
    byte_count: int


class BudgetSpentError(RuntimeError):
    """The day's calls or the 30 days' bytes are used up; the message says when they are back."""


class StoppedError(RuntimeError):
    """The budget was stopped while a call waited for its turn."""


class CallBudget:
    """Lets calls through at the pace of a plan; shared by the threads of a process.

    Starts from `history`, the calls that earlier runs and other processes logged.
    """

    def __init__(self, plan: Plan, clock: Clock, history: Iterable[Spent] = ()) -> None:
        self.plan = plan
        self.limits = PLANS[plan]
        self._clock = clock
        self._bucket = InMemoryBucket([Rate(self.limits.calls, self.limits.per + MARGIN)])
        self._received: deque[Spent] = deque()
        self._received_bytes = 0
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        for spent in sorted(history, key=lambda entry: entry.at):
            self._remember(spent)

    def _remember(self, spent: Spent) -> None:
        if spent.at > self._clock.now():
            return  # of a market whose clock ran ahead of this one
        window = timedelta(milliseconds=int(self.limits.per))
        if spent.at > self._clock.now() - window:
            calls = RateItem("call", _milliseconds(spent.at))
            self._bucket.items.extend([calls] * spent.calls)
        self._received.append(spent)
        self._received_bytes += spent.byte_count

    def acquire(self) -> None:
        """Wait until the plan allows one call more, and count it.

        Raises BudgetSpentError where that takes longer than LONGEST_WAIT, and StoppedError after
        stop().
        """
        while True:
            if self._stopped.is_set():
                raise StoppedError("stopped while waiting for the call budget")
            wait = self._try_acquire()
            if wait is None:
                return
            self.sleep(wait.total_seconds())

    def _try_acquire(self) -> timedelta | None:
        with self._lock:
            self._check_bandwidth()
            now = _milliseconds(self._clock.now())
            self._bucket.leak(now)
            call = RateItem("call", now)
            if self._bucket.put(call):
                return None
            waiting = self._bucket.waiting(call)
        assert isinstance(waiting, int)
        wait = timedelta(milliseconds=max(waiting, 1))
        if wait > LONGEST_WAIT:
            raise BudgetSpentError(
                f"the {self.limits.calls} calls a day of FMP_PLAN={self.plan} are used up: back at "
                f"{self._clock.now() + wait:%Y-%m-%d %H:%M} UTC; run the command again then"
            )
        return wait

    def _check_bandwidth(self) -> None:
        oldest = self._clock.now() - BANDWIDTH_DAYS
        while self._received and self._received[0].at <= oldest:
            self._received_bytes -= self._received.popleft().byte_count
        excess = self._received_bytes - self.limits.bandwidth_bytes
        if excess < 0:
            return
        for spent in self._received:
            excess -= spent.byte_count
            if excess < 0:
                break
        raise BudgetSpentError(
            f"the {self.limits.bandwidth_bytes // MB:,} MB in 30 days of FMP_PLAN={self.plan} are "
            f"used up: back at {spent.at + BANDWIDTH_DAYS:%Y-%m-%d %H:%M} UTC"
        )

    def charge(self, byte_count: int) -> None:
        """Count bytes received against the bandwidth."""
        with self._lock:
            self._received.append(Spent(self._clock.now(), 0, byte_count))
            self._received_bytes += byte_count

    def sleep(self, seconds: float) -> None:
        """Sleep `seconds` of the clock. Raises StoppedError as soon as stop() is called."""
        if self._stopped.wait(seconds / self._clock.speed):
            raise StoppedError("stopped while waiting")

    def stop(self) -> None:
        """Wake every waiting call with StoppedError, and refuse further ones."""
        self._stopped.set()

    def resume(self) -> None:
        """Let calls through again after stop()."""
        self._stopped.clear()

    @property
    def calls_used(self) -> int:
        """Calls in the plan's current window."""
        with self._lock:
            self._bucket.leak(_milliseconds(self._clock.now()))
            return self._bucket.count()

    @property
    def bytes_used(self) -> int:
        """Bytes received in the last 30 days."""
        with self._lock:
            return self._received_bytes


def _milliseconds(at: datetime) -> int:
    return int(at.replace(tzinfo=UTC).timestamp() * 1000)


def logged_calls(
    connection: duckdb.DuckDBPyConnection, clock: Clock, provider: str = "fmp"
) -> list[Spent]:
    """Return what raw.fetch_log says was spent with `provider` in the last 30 days."""
    rows = connection.execute(
        """
        select requested_at, coalesce(attempts, 1), coalesce(byte_count, 0)
        from raw.fetch_log
        where provider = $provider and requested_at > $since
        order by requested_at
        """,
        {"provider": provider, "since": clock.now() - BANDWIDTH_DAYS},
    ).fetchall()
    return [Spent(*row) for row in rows]
