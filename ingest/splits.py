"""The job for splits: of the past, and of the coming days, complete before the open."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import partial

import duckdb

from ingest.bars import requested
from ingest.calendar import day_began_at, new_york_date
from ingest.clock import Clock
from ingest.download import Request
from ingest.jobs import Job, land_missing_calendar
from ingest.providers.errors import NotInPlanError
from ingest.providers.fmp import PROVIDER, FmpClient
from ingest.warehouse import open_warehouse

SPLIT_WINDOW_DAYS = 90
"""The longest range that the splits calendar answers in one call."""
SPLIT_LOOKBACK_DAYS = 400
"""Calendar days: past every window over sessions that is computed from the bars bought here."""
SPLIT_DAYS_AHEAD = 7
"""A split holds from the start of its date, so the coming session's must be known before."""


def run_splits(job: Job) -> None:
    """Land the splits since SPLIT_LOOKBACK_DAYS, and those announced for the coming days."""
    today = new_york_date(job.clock.now())
    land_missing_calendar(job.warehouse, job.clock, job.summary)
    with open_warehouse(job.warehouse) as connection:
        windows = windows_left(connection, job.clock.now())
    client = job.client()
    requests = [
        Request(
            f"{first} to {last}",
            "splits",
            partial(client.splits_calendar, first, last),
            "splits_calendar",
        )
        for first, last in windows
    ]
    try:
        job.download(client, "splits", requests)
    except NotInPlanError as error:
        job.note(f"splits are bought symbol by symbol, as the calendar is refused: {error}")
        _download_splits(job, client, today)


def windows_left(connection: duckdb.DuckDBPyConnection, now: datetime) -> list[tuple[date, date]]:
    """Return the (first, last) dates that are still to be asked for at `now`.

    What has not passed is asked again each morning, once the exchange's day has begun: splits are
    announced, and moved, until then.
    """
    bought = connection.execute(
        "select from_date, to_date, requested_at from raw.fetch_log "
        "where endpoint = 'splits_calendar' and outcome in ('ok', 'empty') "
        "and provider = $provider",
        {"provider": PROVIDER},
    ).fetchall()
    morning = day_began_at(now)
    final = {
        (first, last)
        for first, last, at in bought
        if at >= morning or new_york_date(at) > last + timedelta(days=1)
    }
    return [window for window in split_windows(new_york_date(now)) if window not in final]


def calls_left(connection: duckdb.DuckDBPyConnection, clock: Clock) -> dict[str, int]:
    """Return the calls still to make for splits, by endpoint."""
    return {"splits_calendar": len(windows_left(connection, clock.now()))}


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


def _download_splits(job: Job, client: FmpClient, today: date) -> None:
    symbols = requested(
        job,
        "select distinct symbol from marts.daily_requests where symbol not in ("
        "select symbol from raw.fetch_log where endpoint = 'splits' "
        "and outcome in ('ok', 'empty') and requested_at >= $today) order by symbol",
        {"today": today},
    )
    requests = [Request(s, "splits", partial(client.splits, s), "splits", s) for (s,) in symbols]
    job.download(client, "splits by symbol", requests)
