"""The job that fills from another provider what FMP does not have, or the sessions it is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from ingest.bars import download_daily, download_sessions
from ingest.jobs import Job

SESSIONS_WITHOUT_BARS = """
with asked as (
    select symbol, from_date as session_date, arg_max(outcome, requested_at) as outcome
    from raw.fetch_log
    where endpoint = 'bars_1m' and provider = 'fmp'
    group by all
)
select symbol, session_date
from asked
anti join raw.bars_1m using (symbol, session_date)
where outcome in ('empty', 'error')
"""

DAYS_WITHOUT_BARS = """
with known as (
    select symbol, min(session_date) as first_date, max(session_date) as last_date
    from raw.bars_1d where provider = 'fmp' group by symbol
),
missing as (
    select known.symbol, calendar.session_date
    from known inner join raw.market_calendar as calendar
        on calendar.session_date between known.first_date and known.last_date
    anti join raw.bars_1d as bars
        on known.symbol = bars.symbol and calendar.session_date = bars.session_date
    union all
    select log.symbol, calendar.session_date
    from raw.fetch_log as log inner join raw.market_calendar as calendar
        on calendar.session_date between log.from_date and log.to_date
    where log.endpoint = 'bars_1d' and log.provider = 'fmp' and log.outcome in ('empty', 'error')
        and calendar.post_close_at < $now
        and log.symbol not in (select symbol from known)
)
select symbol, min(session_date), max(session_date)
from missing
where not exists (
    select 1 from raw.fetch_log as filled
    where filled.endpoint = 'bars_1d' and filled.provider = $provider
        and filled.outcome in ('ok', 'empty') and filled.symbol = missing.symbol
        and missing.session_date between filled.from_date and filled.to_date
)
group by symbol
order by symbol
"""
"""FMP's gaps: sessions in a symbol's history without a daily bar, and symbols it has none of."""


def run_fill(job: Job, symbols: Sequence[str] = (), sessions: Sequence[date] = ()) -> None:
    """Land, marked by the provider, bars for FMP's gaps; or those of `symbols` on `sessions`."""
    chosen = [(symbol, session) for session in sessions for symbol in symbols]
    if chosen:
        download_sessions(job, f"minute bars of {job.provider}", chosen)
        days = [(symbol, min(sessions), max(sessions)) for symbol in symbols]
        download_daily(job, f"daily bars of {job.provider}", days)
        return
    values = {"provider": job.provider, "now": job.clock.now()}
    ranges = job.read(DAYS_WITHOUT_BARS, values)
    download_daily(job, f"daily gaps from {job.provider}", [(s, a, b) for s, a, b in ranges])
    missing = job.read(SESSIONS_WITHOUT_BARS)
    download_sessions(job, f"minute gaps from {job.provider}", [(s, day) for s, day in missing])
