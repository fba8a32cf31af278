"""Prices must be as traded: an answer that was adjusted for later splits all the same is noticed.

Two prices of known times are compared. If a split lies between their bases, they differ by its
factor or not at all; which of the two is nearer tells the basis of the answer.
"""

from __future__ import annotations

from datetime import date, datetime

import duckdb
import pyarrow as pa

SMALLEST_FACTOR = 1.5
"""Splits of a smaller ratio drown in a day's moves, and are not judged."""

_SPLITS = """
splits as (
    select symbol, split_date, any_value(numerator / denominator) as factor
    from raw.splits
    where split_date <= $today
    group by symbol, split_date
)
"""

ADJUSTED_MINUTES = f"""
with {_SPLITS},
closes as (
    select bars.symbol, bars.session_date, arg_max(bars.close, bars.bar_at) as close
    from incoming_bars as bars
    inner join raw.market_calendar as calendar using (session_date)
    where bars.bar_at < calendar.close_at
    group by all
),
daily as (
    select symbol, session_date, arg_max(close, landed_at) as close
    from raw.bars_1d
    semi join closes using (symbol, session_date)
    group by all
),
factors as (
    select closes.symbol, closes.session_date, product(splits.factor) as factor
    from closes inner join splits
        on closes.symbol = splits.symbol and splits.split_date > closes.session_date
    group by all
)
select symbol, session_date
from closes inner join daily using (symbol, session_date)
inner join factors using (symbol, session_date)
where abs(ln(factor)) >= ln($smallest_factor)
    and abs(ln(closes.close / daily.close * factor)) < abs(ln(closes.close / daily.close))
"""

ADJUSTED_DAYS = f"""
with {_SPLITS},
bars as (
    select symbol, session_date, open, close, true as is_incoming from incoming_bars
    union all
    select symbol, session_date, open, close, false as is_incoming
    from raw.bars_1d as stored
    where exists (from incoming_bars where incoming_bars.symbol = stored.symbol)
),
jumps as (
    select
        bars.symbol,
        splits.split_date,
        any_value(splits.factor) as factor,
        arg_max(bars.close, bars.session_date)
            filter (where bars.session_date < splits.split_date and is_incoming) as close_before,
        arg_min(bars.open, bars.session_date)
            filter (where bars.session_date >= splits.split_date) as open_after
    from bars inner join splits using (symbol)
    where bars.open > 0 and bars.close > 0
    group by bars.symbol, splits.split_date
),
judged as (select *, ln(open_after / close_before) as jump from jumps)
select distinct symbol, null::date as session_date
from judged
where abs(ln(factor)) >= ln($smallest_factor) and abs(jump) < abs(jump + ln(factor))
"""

QUERIES = {"bars_1m": ADJUSTED_MINUTES, "bars_1d": ADJUSTED_DAYS}


def adjusted_bars(
    connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table, now: datetime
) -> set[tuple[str, date | None]]:
    """Return (symbol, session_date) of `rows` for raw.`table` whose prices are split-adjusted.

    session_date is None where it is all of the symbol's rows. Judged by raw.splits, and by what
    raw.bars_1d has: a symbol without splits or daily bars can't be judged, and passes.
    """
    if table not in QUERIES or not rows.num_rows:
        return set()
    known = connection.execute("select exists (select 1 from raw.splits)").fetchall()
    if known == [(False,)]:
        return set()
    connection.register("incoming_bars", rows)
    try:
        found = connection.execute(
            QUERIES[table], {"today": now.date(), "smallest_factor": SMALLEST_FACTOR}
        ).fetchall()
    finally:
        connection.unregister("incoming_bars")
    return {(symbol, session_date) for symbol, session_date in found}
