"""What every job needs: the warehouse, the clock, a client within its budget, the ledger's memory.

A job can be killed at any point and run again: what the ledger (raw.fetch_log) has is not bought
a second time, and what the plan refused is not asked again for a day.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import structlog

from ingest.batches import Summary
from ingest.budget import PLANS, CallBudget, PlanLimits, logged_calls
from ingest.calendar import ensure_calendar
from ingest.clock import Clock
from ingest.download import Request, download
from ingest.plan import USUAL_BYTES, cost_text, usual_bytes
from ingest.providers.errors import NotInPlanError
from ingest.providers.fmp import PROVIDER, Answer, FmpClient
from ingest.settings import Plan
from ingest.warehouse import Landing, open_warehouse

log = structlog.get_logger("ingest")

WORKERS: dict[Plan, int] = {"free": 2, "starter": 8, "premium": 16, "ultimate": 48}
"""Threads: enough for the plan's pace where an answer takes a second."""
REMEMBERED = timedelta(days=1)
"""How long what the plan refused is not asked again."""


class JobError(RuntimeError):
    """A job that can't start; the message says what to do first."""


class BarSource(Protocol):
    """A provider of bars, prices and volume as traded."""

    budget: CallBudget

    def daily_bars(self, symbol: str, from_date: date, to_date: date) -> Answer:
        """Return raw.bars_1d rows, both dates included."""

    def session_bars(self, symbol: str, session_date: date) -> Answer:
        """Return raw.bars_1m rows of one session, extended hours included."""


@dataclass(frozen=True)
class Source:
    """Another provider than FMP, to buy bars from: its name in the tables, its limits."""

    provider: str
    limits: PlanLimits
    workers: int
    make_client: Callable[[CallBudget], BarSource]


ClientMaker = Callable[[CallBudget], FmpClient]
Track = Callable[[str, int | None, Callable[[], str]], Callable[[], None]]
"""Given a title, a number of requests and what tells the budget used, shows a progress bar; returns
what moves it by one."""


def _untracked(title: str, total: int | None, tell_budget: Callable[[], str]) -> Callable[[], None]:
    return lambda: None


@dataclass
class Job:
    """What every job needs, and what it has done so far."""

    data_dir: Path
    warehouse: Path
    clock: Clock
    plan: Plan
    make_client: ClientMaker
    source: Source | None = None
    track: Track = _untracked
    tell: Callable[[str], None] = lambda line: None
    """Shows a line before a download begins."""
    summary: Summary = field(default_factory=Summary)

    @property
    def provider(self) -> str:
        """Whose bars are bought."""
        return self.source.provider if self.source else PROVIDER

    def client(self) -> FmpClient:
        """Return a client of FMP whose budget knows what was spent."""
        return self.make_client(self._budget(PROVIDER, PLANS[self.plan]))

    def bar_source(self) -> BarSource:
        """Return the client that bars are bought from."""
        if self.source is None:
            return self.client()
        return self.source.make_client(self._budget(self.source.provider, self.source.limits))

    def _budget(self, provider: str, limits: PlanLimits) -> CallBudget:
        with open_warehouse(self.warehouse) as connection:
            history = logged_calls(connection, self.clock, provider)
        return CallBudget(limits, self.clock, history, path=budget_path(self.data_dir, provider))

    def read(self, sql: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of a query on the warehouse, with its calendar in place."""
        with open_warehouse(self.warehouse) as connection:
            land_calendar_if_missing(connection, self.clock, self.summary)
            return connection.execute(sql, values or {}).fetchall()

    def download(self, client: BarSource, title: str, requests: Sequence[Request]) -> None:
        """Make the requests and land their rows; nothing to do is said, not an error.

        Raises NotInPlanError without a call where the plan refused the endpoint in the last day.
        """
        wanted = self._not_refused(client.budget, requests)
        if not wanted:
            self.note(f"{title}: nothing left to buy")
            return
        self.tell(f"{title}: {self._cost(client.budget, wanted)}")
        log.info("download begins", title=title, requests=len(wanted), provider=self.provider)
        workers = self.source.workers if self.source else WORKERS[self.plan]
        download(
            wanted,
            warehouse=self.warehouse,
            clock=self.clock,
            budget=client.budget,
            workers=workers,
            summary=self.summary,
            provider=self.provider,
            advance=self.track(title, len(wanted), partial(_budget_used, client.budget)),
        )

    def _cost(self, budget: CallBudget, requests: Sequence[Request]) -> str:
        with open_warehouse(self.warehouse) as connection:
            usual = usual_bytes(connection, self.provider)
        byte_count = sum(
            request.calls * usual.get(request.endpoint, USUAL_BYTES.get(request.endpoint, 10_000))
            for request in requests
        )
        return cost_text(sum(r.calls for r in requests), byte_count, budget.limits)

    def _not_refused(self, budget: CallBudget, requests: Sequence[Request]) -> list[Request]:
        refused = {
            (endpoint, symbol): at
            for endpoint, symbol, at in self.read(
                """
                select endpoint, case when params ->> '$._refused' = 'symbol' then symbol end,
                    max(requested_at)
                from raw.fetch_log
                where provider = $provider and params ->> '$._plan' = $plan
                    and requested_at > $since
                group by all
                """,
                {
                    "provider": self.provider,
                    "plan": budget.limits.name,
                    "since": self.clock.now() - REMEMBERED,
                },
            )
        }
        for request in requests[:1]:
            at: datetime | None = refused.get((request.endpoint, None))
            if at is not None:
                raise NotInPlanError(
                    f"{request.endpoint}: {budget.limits.name} was refused it at "
                    f"{at:%Y-%m-%d %H:%M} UTC, and it is not asked again for a day"
                )
        wanted = [r for r in requests if (r.endpoint, r.symbol) not in refused]
        if len(wanted) < len(requests):
            self.note(
                f"{len(requests) - len(wanted):,} symbols are skipped for a day, as "
                f"{budget.limits.name} does not have them"
            )
        return wanted

    def note(self, text: str) -> None:
        """Tell the user something at the end of the job."""
        self.summary.notes.append(text)


def _budget_used(budget: CallBudget) -> str:
    limits = budget.limits
    return f"{budget.calls_used:,}/{limits.calls:,} a {limits.per.name.lower()}"


def budget_path(data_dir: Path, provider: str) -> Path:
    """Return the file in which the processes of `data_dir` count what they spend."""
    return data_dir / f"budget_{provider}.sqlite"


def land_calendar_if_missing(connection: Any, clock: Clock, summary: Summary) -> None:
    """Land the calendar where the warehouse that is open lacks it."""
    landing = ensure_calendar(connection, clock)
    if landing != Landing():
        summary.count_landing("market_calendar", landing)


def land_missing_calendar(warehouse: Path, clock: Clock, summary: Summary) -> None:
    """Land the calendar where the warehouse lacks it."""
    with open_warehouse(warehouse) as connection:
        land_calendar_if_missing(connection, clock, summary)
