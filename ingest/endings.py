"""Ends of histories: symbols that were delisted, or trade under another name now.

A symbol that the provider no longer lists would keep its last profile, and be asked for, for ever.
So it gets one more: the same company, not trading any more, known the day before its end.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import partial

from ingest.calendar import day_began_at, new_york_date
from ingest.download import Request
from ingest.jobs import Job
from ingest.providers.errors import BadAnswerError, NotInPlanError, UnreachableError
from ingest.providers.fmp import PROVIDER, Answer, FmpClient
from ingest.transaction import interrupts_held, transaction
from ingest.warehouse import land, open_warehouse

TRADING = """
    select * exclude (landed_at)
    from raw.profiles
    where provider = $provider
    qualify row_number() over (partition by symbol order by as_of_date desc) = 1
        and coalesce(is_actively_trading, true)
"""
"""The latest profiles of symbols that traded when they were last seen."""

ENDED = f"""
with trading as ({TRADING}),
ends as (
    select symbol, delisted_date as ended_on from raw.delistings
    union all
    select old_symbol, change_date from raw.symbol_changes
),
last_ends as (
    select ends.symbol, max(ends.ended_on) as ended_on
    from ends inner join trading using (symbol)
    where ends.ended_on <= $day and ends.ended_on > trading.as_of_date
    group by ends.symbol
)
select trading.* exclude (provider)
    replace (last_ends.ended_on - 1 as as_of_date, false as is_actively_trading)
from trading inner join last_ends using (symbol)
"""


def end_histories(job: Job, client: FmpClient) -> None:
    """Land what the provider says of delistings and changed symbols, and end those histories."""
    now = job.clock.now()
    since = job.read(f"select min(as_of_date) from ({TRADING})", {"provider": PROVIDER})[0][0]
    bought = {
        endpoint
        for (endpoint,) in job.read(
            "select endpoint from raw.fetch_log where endpoint in ('symbol_changes', 'delistings')"
            " and outcome in ('ok', 'empty') and provider = $provider and requested_at >= $began",
            {"provider": PROVIDER, "began": day_began_at(now)},
        )
    }
    wanted: dict[str, Callable[[], Answer]] = {
        "delistings": partial(client.delistings, since or new_york_date(now)),
        "symbol_changes": client.symbol_changes,
    }
    for endpoint, fetch in wanted.items():
        if endpoint not in bought:
            try:
                job.download(client, endpoint, [Request(endpoint, endpoint, fetch, endpoint)])
            except (NotInPlanError, BadAnswerError, UnreachableError) as error:
                job.note(f"{endpoint.replace('_', ' ')} stay unknown: {error}")
    _land_ends(job, new_york_date(now))


def _land_ends(job: Job, day: date) -> None:
    with open_warehouse(job.warehouse) as connection, interrupts_held(), transaction(connection):
        ended = connection.sql(ENDED, params={"provider": PROVIDER, "day": day}).to_arrow_table()
        if not ended.num_rows:
            return
        landing = land(connection, "profiles", ended, provider=PROVIDER, landed_at=job.clock.now())
    job.summary.count_landing("profiles", landing)
    names = sorted(ended["symbol"].to_pylist())
    job.note(f"no longer trading: {', '.join(names[:10])}{' …' if len(names) > 10 else ''}")
