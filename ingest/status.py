"""`python -m ingest status`: raw tables and their gaps, what is bought and left to buy."""

from __future__ import annotations

import duckdb
from rich.console import Console
from rich.table import Table

from ingest.budget import MB, CallBudget
from ingest.warehouse import RAW_TABLES

RANGE_COLUMNS = {
    "market_calendar": "session_date",
    "profiles": "as_of_date",
    "bars_1d": "session_date",
    "bars_1m": "session_date",
    "quotes": "quoted_at",
    "splits": "split_date",
    "fetch_log": "requested_at",
    "signals": "session_date",
}
"""The column that tells what time a raw table's rows are of."""


GAPS = """
select count(*) from raw.market_calendar
where session_date between
    (select min(session_date) from raw.{table}) and (select max(session_date) from raw.{table})
    and session_date not in (select session_date from raw.{table})
"""
BARS = ("bars_1d", "bars_1m")

LAST_SUCCESS = """
select
    provider || ' ' || endpoint as request,
    endpoint,
    count(*) filter (attempts > 0) as requests,
    count(*) filter (outcome = 'error') as failed,
    strftime(max(requested_at) filter (outcome in ('ok', 'empty')), '%Y-%m-%d %H:%M') as last_ok
from raw.fetch_log
group by provider, endpoint
order by last_ok desc nulls last
"""


def print_status(
    console: Console, connection: duckdb.DuckDBPyConnection, budget: CallBudget
) -> None:
    """Print each raw table's rows, range and gaps, each endpoint's last success, the budget."""
    _print_tables(console, connection)
    _print_requests(console, connection)
    limits = budget.limits
    used = budget.calls_used
    allowed = limits.bandwidth_bytes or 0
    console.print(
        f"plan {limits.name.partition('=')[2]}: {used:,} of {limits.calls:,} calls in the last "
        f"{limits.per.name.lower()}, {max(limits.calls - used, 0):,} left; "
        f"{budget.bytes_used / MB:,.1f} of {allowed / MB:,.0f} MB in 30 days",
        soft_wrap=True,
        highlight=False,
    )


def _print_tables(console: Console, connection: duckdb.DuckDBPyConnection) -> None:
    table = Table(
        "raw table",
        box=None,  # so that nothing is cut in 80 columns
        pad_edge=False,
        caption="missing: sessions from first to last without any row",
        caption_justify="left",
    )
    for name in ("rows", "from", "to", "missing", "landed (UTC)"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in RAW_TABLES:
        table.add_row(name, *_state(connection, name))
    console.print(table)


def _state(connection: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    column = RANGE_COLUMNS.get(name, "null")
    rows, first, last, landed = connection.execute(
        f"select count(*), min({column})::date::varchar, max({column})::date::varchar, "
        f"strftime(max(landed_at), '%Y-%m-%d %H:%M') from raw.{name}"
    ).fetchall()[0]
    gaps = ""
    if name in BARS and rows:
        missing = connection.execute(GAPS.format(table=name)).fetchall()[0][0]
        gaps = f"{missing:,}"
    return [f"{rows:,}", first or "", last or "", gaps, landed or ""]


def _print_requests(console: Console, connection: duckdb.DuckDBPyConnection) -> None:
    table = Table("request")
    for name in ("requests", "failed"):
        table.add_column(name, justify="right")
    table.add_column("last success (UTC)", no_wrap=True)
    for request, endpoint, count, failed, last_ok in connection.execute(LAST_SUCCESS).fetchall():
        label = endpoint if request.startswith("fmp ") else request
        table.add_row(label, f"{count:,}", f"{failed:,}", last_ok or "never")
    if table.row_count:
        console.print(table)
    for kind in ("daily", "minute"):
        try:
            left = connection.execute(f"select count(*) from marts.{kind}_requests").fetchall()
        except duckdb.CatalogException:
            continue
        console.print(f"{left[0][0]:,} {kind} requests are left", highlight=False)
