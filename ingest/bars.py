"""The jobs for bars: what SQL asks for, in marts.daily_requests and marts.minute_requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

import duckdb

from ingest.answered import unanswered_days, unanswered_sessions
from ingest.budget import PLANS
from ingest.daily_files import download_daily_files
from ingest.download import Request
from ingest.jobs import Job, JobError
from ingest.providers.fmp import Answer

REREAD = timedelta(days=7)
"""Daily bars of so many days before the asked ones come along: volumes are revised overnight."""
SETTLING = timedelta(minutes=15)
"""A session is read again until it was read this long after its end. Measured: a fresh bar is
revised within 7 minutes."""


def run_daily(job: Job) -> None:
    """Land the daily bars that marts.daily_requests lists, and the latest ones before once more."""
    read_wanted = partial(
        requested,
        job,
        "select symbol, from_date, to_date from marts.daily_requests order by symbol",
    )
    if job.source is None and PLANS[job.plan].has_bulk:
        download_daily_files(job, job.client(), read_wanted)
    download_daily(job, "daily bars", read_wanted())


def download_daily(job: Job, title: str, wanted: Sequence[tuple[str, date, date]]) -> None:
    """Land the daily bars of (symbol, from, to) ranges."""
    if job.source is not None:
        wanted = unanswered_days(job, wanted)
    client = job.bar_source()
    known = {
        symbol
        for (symbol,) in job.read(
            "select distinct symbol from raw.bars_1d where provider = $provider",
            {"provider": job.provider},
        )
    }
    requests = [
        Request(
            symbol,
            "bars_1d",
            partial(
                client.daily_bars,
                symbol,
                from_date - (REREAD if symbol in known else timedelta(0)),
                to_date,
            ),
            "bars_1d",
            symbol,
        )
        for symbol, from_date, to_date in wanted
    ]
    job.download(client, title, requests)


def run_minute(job: Job) -> None:
    """Land the minute bars that marts.minute_requests lists, newest sessions first."""
    wanted = requested(
        job,
        "select symbol, session_date from marts.minute_requests order by session_date desc, symbol",
    )
    download_sessions(job, "minute bars", wanted)


def download_sessions(job: Job, title: str, wanted: Sequence[tuple[str, date]]) -> None:
    """Land the minute bars of (symbol, session) pairs; a session that may change stays wanted."""
    if job.source is not None:
        wanted = unanswered_sessions(job, wanted)
    client = job.bar_source()
    settled = {
        session: end + SETTLING
        for session, end in job.read("select session_date, post_close_at from raw.market_calendar")
    }
    requests = [
        Request(
            f"{symbol} {session}",
            "bars_1m",
            _marked(partial(client.session_bars, symbol, session), settled.get(session)),
            "bars_1m",
            symbol,
        )
        for symbol, session in wanted
    ]
    job.download(client, title, requests)
    fresh = [at for _, session in wanted if (at := settled.get(session)) and at > job.clock.now()]
    if fresh:
        job.note(
            f"{len(fresh):,} sessions have only just ended and may still be revised: run it again "
            f"after {max(fresh):%Y-%m-%d %H:%M} UTC"
        )


def _marked(fetch: Callable[[], Answer], settled_at: datetime | None) -> Callable[[], Answer]:
    """Return `fetch` with outcome 'fresh' in its line for what is read before `settled_at`."""

    def marked() -> Answer:
        answer = fetch()
        if settled_at is not None and answer.request.requested_at < settled_at:
            answer.request.outcome = "fresh"
        return answer

    return marked


def requested(job: Job, sql: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    """Return the rows of a view of requests. Raises JobError where it has not been built."""
    try:
        return job.read(sql, values)
    except duckdb.CatalogException as error:
        view = "minute_requests" if "minute_requests" in sql else "daily_requests"
        raise JobError(f"marts.{view} is missing: run `dbt run --select +{view}` first") from error
