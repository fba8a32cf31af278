"""The call budget of a provider's plan, counted by the clock of the market.

A plan limits calls per minute or per day, and bytes per 30 days. The day and the 30 days are
rolling windows here: when the provider resets its own is not documented, and no reset is later.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path

import duckdb
from pyrate_limiter import Duration, Rate

from ingest.clock import Clock
from ingest.settings import Plan
from ingest.spending import HOUR, Spending

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
    bandwidth_bytes: int | None = None
    """Bytes per 30 days; None: without limit."""
    name: str = ""
    """The setting that chose it, for messages."""
    per_second: int | None = None
    """A second limit, of calls in any second."""
    has_bulk: bool = False
    """Whether files of the whole world come with the plan."""


PLANS: dict[Plan, PlanLimits] = {
    "free": PlanLimits(250, Duration.DAY, 500 * MB, "FMP_PLAN=free"),
    "starter": PlanLimits(300, Duration.MINUTE, 20_000 * MB, "FMP_PLAN=starter"),
    "premium": PlanLimits(750, Duration.MINUTE, 50_000 * MB, "FMP_PLAN=premium"),
    "ultimate": PlanLimits(3000, Duration.MINUTE, 150_000 * MB, "FMP_PLAN=ultimate", has_bulk=True),
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
    """Lets calls through at the pace of a plan; shared by threads, and by processes with `path`.

    `path` is the file in which every process of a data directory counts what it spends. A new file,
    or a budget without one, starts from `history`: the calls that the ledger knows.
    """

    def __init__(
        self,
        plan: Plan | PlanLimits,
        clock: Clock,
        history: Iterable[Spent] = (),
        *,
        path: Path | None = None,
    ) -> None:
        self.limits = plan if isinstance(plan, PlanLimits) else PLANS[plan]
        self._clock = clock
        rates = [Rate(self.limits.calls, _window(self.limits.per, clock))]
        if self.limits.per_second is not None:
            rates.insert(0, Rate(self.limits.per_second, _window(Duration.SECOND, clock)))
        self._spending = Spending(rates, path)
        self._stopped = threading.Event()
        self._take_over(history)

    def _take_over(self, history: Iterable[Spent]) -> None:
        now = self._clock.now()
        known = [spent for spent in history if spent.at <= now]  # not of a market that ran ahead
        since = now - timedelta(milliseconds=int(self.limits.per))
        self._spending.take_over(
            [(_milliseconds(spent.at), spent.calls) for spent in known if spent.at > since],
            [(_milliseconds(spent.at), spent.byte_count) for spent in known],
        )

    def acquire(self) -> None:
        """Wait until the plan allows one call more, and count it.

        Raises BudgetSpentError where that takes longer than LONGEST_WAIT, and StoppedError after
        stop().
        """
        while True:
            if self._stopped.is_set():
                raise StoppedError("stopped while waiting for the call budget")
            self._check_bandwidth()
            room_in = self._spending.take_call(lambda: _milliseconds(self._clock.now()))
            wait, now = timedelta(milliseconds=room_in), self._clock.now()
            if not wait:
                return
            if wait > LONGEST_WAIT:
                raise BudgetSpentError(
                    f"the {self.limits.calls} calls a {self.limits.per.name.lower()} of "
                    f"{self.limits.name} are used up: back at {now + wait:%Y-%m-%d %H:%M} UTC; "
                    "run the command again then"
                )
            self.sleep(wait.total_seconds())

    def _check_bandwidth(self) -> None:
        allowed = self.limits.bandwidth_bytes
        if allowed is None:
            return
        hours = self._spending.bytes_by_hour(self._oldest())
        excess = sum(byte_count for _, byte_count in hours) - allowed
        if excess < 0:
            return
        sums = accumulate(byte_count for _, byte_count in hours)
        last = next(at for (at, _), gone in zip(hours, sums, strict=True) if gone > excess)
        back_at = datetime.fromtimestamp((last + HOUR) / 1000, UTC) + BANDWIDTH_DAYS
        raise BudgetSpentError(
            f"the {allowed // MB:,} MB in 30 days of {self.limits.name} are used up: back at "
            f"{back_at:%Y-%m-%d %H:%M} UTC"
        )

    def _oldest(self) -> int:
        return _milliseconds(self._clock.now() - BANDWIDTH_DAYS)

    def charge(self, byte_count: int) -> None:
        """Count bytes received against the bandwidth."""
        self._spending.add_bytes(_milliseconds(self._clock.now()), byte_count)

    def hold(self, seconds: float) -> None:
        """Let no call of any thread or process through for `seconds` of the clock."""
        now = _milliseconds(self._clock.now())
        self._spending.hold_until(now + int(1000 * (seconds + random.random())), now)

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
        return self._spending.calls_since(_milliseconds(self._clock.now()) - int(self.limits.per))

    @property
    def bytes_used(self) -> int:
        """Bytes received in the last 30 days, to the hour."""
        return sum(byte_count for _, byte_count in self._spending.bytes_by_hour(self._oldest()))


def _window(per: Duration, clock: Clock) -> int:
    """Return the ms in which a limit holds, longer by what a call may take to arrive."""
    return int(per) + int(MARGIN * max(1.0, clock.speed / 4))


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
