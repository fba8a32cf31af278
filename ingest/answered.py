"""What another provider than FMP has answered already, by the ledger: none of it is bought twice.

What FMP is still to be asked is for marts.minute_requests and marts.daily_requests to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from ingest.jobs import Job

UNANSWERED_SESSIONS = """
select symbol, session_date
from (
    select unnest($symbols::varchar[]) as symbol, unnest($sessions::date[]) as session_date
) as wanted
anti join (
    select symbol, from_date as session_date from raw.fetch_log
    where endpoint = 'bars_1m' and provider = $provider and outcome in ('ok', 'empty')
) as answered using (symbol, session_date)
order by symbol, session_date desc
"""

UNANSWERED_DAYS = """
with wanted as (
    select
        unnest($symbols::varchar[]) as symbol,
        unnest($firsts::date[]) as first_date,
        unnest($lasts::date[]) as last_date
)
select wanted.symbol, min(calendar.session_date), max(calendar.session_date)
from wanted inner join raw.market_calendar as calendar
    on calendar.session_date between wanted.first_date and wanted.last_date
anti join (
    from raw.fetch_log
    where endpoint = 'bars_1d' and provider = $provider and outcome in ('ok', 'empty')
) as answered
    on wanted.symbol = answered.symbol
    and calendar.session_date between answered.from_date and answered.to_date
group by wanted.symbol
order by wanted.symbol
"""


def unanswered_sessions(job: Job, wanted: Sequence[tuple[str, date]]) -> list[tuple[str, date]]:
    """Return the (symbol, session) pairs that the job's provider has not answered.

    Symbol by symbol, newest sessions first: an answer of Alpha Vantage holds a symbol's month.
    """
    values = {
        "symbols": [symbol for symbol, _ in wanted],
        "sessions": [session for _, session in wanted],
        "provider": job.provider,
    }
    return [(symbol, session) for symbol, session in job.read(UNANSWERED_SESSIONS, values)]


def unanswered_days(
    job: Job, wanted: Sequence[tuple[str, date, date]]
) -> list[tuple[str, date, date]]:
    """Return what is left of the (symbol, from, to) ranges of daily bars, a range a symbol."""
    values = {
        "symbols": [symbol for symbol, _, _ in wanted],
        "firsts": [first for _, first, _ in wanted],
        "lasts": [last for _, _, last in wanted],
        "provider": job.provider,
    }
    return [(symbol, first, last) for symbol, first, last in job.read(UNANSWERED_DAYS, values)]
