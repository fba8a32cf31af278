"""The jobs that fill the raw tables: calendar, universe, profiles, splits, daily and minute bars.

Each can be killed at any point and run again: what the ledger (raw.fetch_log) has is not bought
a second time. What bars to buy is decided in SQL: marts.daily_requests and marts.minute_requests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from ingest.budget import CallBudget, logged_calls
from ingest.calendar import NEW_YORK, ensure_calendar, known_session, land_calendar
from ingest.clock import Clock
from ingest.download import Request, Summary, download
from ingest.providers.errors import NotInPlanError
from ingest.providers.fmp import PROVIDER, FmpClient
from ingest.settings import Plan
from ingest.transaction import interrupts_held, transaction
from ingest.universe import MasterFileError, listings_table, merge_masters, read_master
from ingest.warehouse import Landing, land, open_warehouse

EXCHANGES = ("AMEX", "NASDAQ", "NYSE")
WORKERS: dict[Plan, int] = {"free": 2, "starter": 4, "premium": 8, "ultimate": 16}

SPLIT_WINDOW_DAYS = 90
"""The longest range that the splits calendar answers in one call."""
SPLIT_LOOKBACK_DAYS = 400
"""Calendar days: past every window over sessions that is computed from the bars bought here."""
SPLIT_DAYS_AHEAD = 7
"""A split holds from the start of its date, so the coming session's must be known before."""


class JobError(RuntimeError):
    """A job that can't start; the message says what to do first."""


ClientMaker = Callable[[CallBudget], FmpClient]
Track = Callable[[str, int | None], Callable[[], None]]
"""Given a title and a number of requests, shows a progress bar; returns what moves it by one."""


def _untracked(title: str, total: int | None) -> Callable[[], None]:
    return lambda: None


@dataclass
class Job:
    """What every job needs, and what it has done so far."""

    data_dir: Path
    warehouse: Path
    clock: Clock
    plan: Plan
    make_client: ClientMaker
    track: Track = _untracked
    summary: Summary = field(default_factory=Summary)

    def client(self) -> FmpClient:
        """Return a client whose budget knows what the ledger says was spent."""
        with open_warehouse(self.warehouse) as connection:
            history = logged_calls(connection, self.clock)
        path = self.data_dir / f"budget_{PROVIDER}.sqlite"
        return self.make_client(CallBudget(self.plan, self.clock, history, path=path))

    def read(self, sql: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of a query on the warehouse, with its calendar in place."""
        with open_warehouse(self.warehouse) as connection:
            _ensure_calendar(connection, self.clock, self.summary)
            return connection.execute(sql, values or {}).fetchall()

    def download(self, client: FmpClient, title: str, requests: Sequence[Request]) -> None:
        """Make the requests and land their rows; nothing to do is said, not an error."""
        if not requests:
            self.summary.notes.append(f"{title}: nothing left to buy")
            return
        download(
            requests,
            warehouse=self.warehouse,
            clock=self.clock,
            budget=client.budget,
            workers=WORKERS[self.plan],
            summary=self.summary,
            advance=self.track(title, len(requests)),
        )

    def note(self, text: str) -> None:
        """Tell the user something at the end of the job."""
        self.summary.notes.append(text)


def _ensure_calendar(connection: duckdb.DuckDBPyConnection, clock: Clock, summary: Summary) -> None:
    landing = ensure_calendar(connection, clock)
    if landing != Landing():
        summary.count_landing("market_calendar", landing)


def land_missing_calendar(warehouse: Path, clock: Clock, summary: Summary) -> None:
    """Land the calendar where the warehouse lacks it."""
    with open_warehouse(warehouse) as connection:
        _ensure_calendar(connection, clock, summary)


def run_calendar(job: Job) -> None:
    """Land the market calendar: from 2015 to a year past the clock's today."""
    with open_warehouse(job.warehouse) as connection:
        job.summary.count_landing("market_calendar", land_calendar(connection, job.clock))


def run_universe(job: Job) -> None:
    """Land the universe from `data/*.txt`, or from the provider's screener where there is none."""
    land_missing_calendar(job.warehouse, job.clock, job.summary)
    masters = []
    for path in sorted(job.data_dir.glob("*.txt")):
        try:
            masters.append(read_master(path))
        except MasterFileError as error:
            job.note(f"{error}; left out")
    if not masters:
        _universe_from_screener(job)
        return
    with open_warehouse(job.warehouse) as connection, interrupts_held(), transaction(connection):
        for source, listings in merge_masters(masters).items():
            landing = land(
                connection,
                "universe",
                listings_table(listings),
                provider=source,
                landed_at=job.clock.now(),
            )
            job.summary.count_landing("universe", landing)
    for master in masters:
        job.note(f"{master.path.name}: {len(master.listings):,} symbols ({master.format})")
        for note in master.notes:
            job.note(note)


def _universe_from_screener(job: Job) -> None:
    job.note(f"no list of symbols in {job.data_dir}/*.txt: the universe is the provider's screener")
    try:
        _download_screener(job, job.client())
    except NotInPlanError as error:
        raise JobError(
            f"put the exchanges' lists of symbols (AMEX.txt, NASDAQ.txt, NYSE.txt) in "
            f"{job.data_dir}: there is none, and the screener can't replace them ({error})"
        ) from error
    with open_warehouse(job.warehouse) as connection:
        listed = connection.sql(
            "select symbol, exchange, company_name as name, is_etf from raw.profiles "
            "where provider = $provider and as_of_date = $as_of",
            params={"provider": PROVIDER, "as_of": known_session(job.clock.now())},
        ).to_arrow_table()
        landing = land(connection, "universe", listed, provider=PROVIDER, landed_at=job.clock.now())
    job.summary.count_landing("universe", landing)


def run_profiles(job: Job) -> None:
    """Land the profiles as of the latest session: by exchange, or by symbol in smaller plans."""
    client = job.client()
    try:
        _download_screener(job, client)
    except NotInPlanError as error:
        job.note(f"profiles are bought symbol by symbol, as the screener is refused: {error}")
        _download_profiles(job, client)


def _download_screener(job: Job, client: FmpClient) -> None:
    bought = job.read(
        "select distinct params ->> '$.exchange' from raw.fetch_log where endpoint = 'screener' "
        "and outcome = 'ok' and provider = $provider and from_date = $as_of",
        {"provider": PROVIDER, "as_of": known_session(job.clock.now())},
    )
    wanted = [exchange for exchange in EXCHANGES if (exchange,) not in bought]
    requests = [Request(e, "profiles", partial(client.screener, e)) for e in wanted]
    job.download(client, "profiles by exchange", requests)


def _download_profiles(job: Job, client: FmpClient) -> None:
    symbols = job.read(
        """
        select symbol
        from raw.universe
        where
            exchange in ('AMEX', 'NASDAQ', 'NYSE')
            and not coalesce(is_etf, false)
            and not coalesce(is_test_issue, false)
            and symbol not like '%$%'
            and symbol not in (
                select symbol from raw.fetch_log
                where
                    endpoint = 'profile'
                    and outcome in ('ok', 'empty')
                    and provider = $provider
                    and from_date = $as_of
            )
        order by symbol
        """,
        {"provider": PROVIDER, "as_of": known_session(job.clock.now())},
    )
    requests = [Request(s, "profiles", partial(client.profile, s)) for (s,) in symbols]
    job.download(client, "profiles", requests)


def run_splits(job: Job) -> None:
    """Land the splits since SPLIT_LOOKBACK_DAYS, and those announced for the coming days."""
    bought = job.read(
        "select from_date, to_date, requested_at from raw.fetch_log "
        "where endpoint = 'splits_calendar' and outcome in ('ok', 'empty') "
        "and provider = $provider",
        {"provider": PROVIDER},
    )
    today = _new_york_date(job.clock.now())
    final = {(first, last) for first, last, at in bought if at.date() > last or at.date() >= today}
    windows = [window for window in split_windows(today) if window not in final]
    client = job.client()
    requests = [
        Request(f"{first} to {last}", "splits", partial(client.splits_calendar, first, last))
        for first, last in windows
    ]
    try:
        job.download(client, "splits", requests)
    except NotInPlanError as error:
        job.note(f"splits are bought symbol by symbol, as the calendar is refused: {error}")
        _download_splits(job, client, today)


def split_windows(today: date) -> list[tuple[date, date]]:
    """Return the (first, last) dates to ask for, at most 90 days each.

    They begin on the same dates whatever day it is, so that a past window is bought once.
    """
    last_date = today + timedelta(days=SPLIT_DAYS_AHEAD)
    number = (today - timedelta(days=SPLIT_LOOKBACK_DAYS)).toordinal() // SPLIT_WINDOW_DAYS
    windows = []
    while (first := date.fromordinal(number * SPLIT_WINDOW_DAYS)) <= last_date:
        last = first + timedelta(days=SPLIT_WINDOW_DAYS - 1)
        windows.append((first, min(last, last_date)))
        number += 1
    return windows


def _new_york_date(at: datetime) -> date:
    return at.replace(tzinfo=UTC).astimezone(NEW_YORK).date()


def _download_splits(job: Job, client: FmpClient, today: date) -> None:
    symbols = _requested(
        job,
        "select distinct symbol from marts.daily_requests where symbol not in ("
        "select symbol from raw.fetch_log where endpoint = 'splits' "
        "and outcome in ('ok', 'empty') and requested_at >= $today) order by symbol",
        {"today": today},
    )
    requests = [Request(s, "splits", partial(client.splits, s)) for (s,) in symbols]
    job.download(client, "splits by symbol", requests)


def run_daily(job: Job) -> None:
    """Land the daily bars that marts.daily_requests lists."""
    wanted = _requested(
        job, "select symbol, from_date, to_date from marts.daily_requests order by symbol"
    )
    client = job.client()
    requests = [
        Request(symbol, "bars_1d", partial(client.daily_bars, symbol, from_date, to_date))
        for symbol, from_date, to_date in wanted
    ]
    job.download(client, "daily bars", requests)


def run_minute(job: Job) -> None:
    """Land the minute bars that marts.minute_requests lists, newest sessions first."""
    wanted = _requested(
        job,
        "select symbol, session_date from marts.minute_requests order by session_date desc, symbol",
    )
    client = job.client()
    requests = [
        Request(f"{symbol} {session}", "bars_1m", partial(client.session_bars, symbol, session))
        for symbol, session in wanted
    ]
    job.download(client, "minute bars", requests)


def _requested(job: Job, sql: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    try:
        return job.read(sql, values)
    except duckdb.CatalogException as error:
        view = "minute_requests" if "minute_requests" in sql else "daily_requests"
        raise JobError(f"marts.{view} is missing: run `dbt run --select +{view}` first") from error
