"""Prices must be as traded: an answer that was adjusted for later splits all the same is noticed.

Two prices of known times are compared. If a split lies between their bases, they differ by its
factor or not at all; which of the two is nearer tells the basis of the answer. Without a split that
is known, an answer is on another basis where its prices are nowhere near those that are here.
"""

from __future__ import annotations

from datetime import date, datetime

import duckdb
import pyarrow as pa

SMALLEST_FACTOR = 1.5
"""Splits of a smaller ratio drown in a day's moves, and are not judged."""
APART = 1.2
"""What lies between the ranges of a session's minutes and of its daily bar is no trading."""
REBASED_DAYS = 2
"""One day's close may be corrected; several that change by a factor have another basis."""

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
minutes as (
    select
        bars.symbol,
        bars.session_date,
        arg_max(bars.close, bars.bar_at) as close,
        min(bars.low) filter (where bars.bar_at >= calendar.open_at) as low,
        max(bars.high) filter (where bars.bar_at >= calendar.open_at) as high
    from incoming_bars as bars
    inner join raw.market_calendar as calendar using (session_date)
    where bars.bar_at < calendar.close_at and bars.low > 0 and isfinite(bars.high)
        and bars.high >= greatest(bars.low, bars.close) and bars.close >= bars.low
    group by all
),
daily as (
    select symbol, session_date, unnest(arg_max(struct_pack(close, low, high), landed_at))
    from raw.bars_1d
    semi join minutes using (symbol, session_date)
    group by symbol, session_date
),
factors as (
    select minutes.symbol, minutes.session_date, product(splits.factor) as factor
    from minutes inner join splits
        on minutes.symbol = splits.symbol and splits.split_date > minutes.session_date
    group by all
    having abs(ln(product(splits.factor))) >= ln($smallest_factor)
)
select minutes.symbol, minutes.session_date
from minutes inner join daily using (symbol, session_date)
left join factors using (symbol, session_date)
where case
    when factor is not null
        then abs(ln(minutes.close / daily.close * factor)) < abs(ln(minutes.close / daily.close))
    else greatest(minutes.low / daily.high, daily.low / minutes.high) >= $apart
end
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
judged as (select *, ln(open_after / close_before) as jump from jumps),
rebased as (
    select incoming.symbol
    from incoming_bars as incoming
    inner join raw.bars_1d as stored using (symbol, session_date)
    anti join splits
        on incoming.symbol = splits.symbol and splits.split_date > incoming.session_date
    where stored.provider = $provider and incoming.close > 0
        and abs(ln(incoming.close / stored.close)) >= ln($smallest_factor)
    group by incoming.symbol
    having count(*) >= $rebased_days
)
select symbol, null::date as session_date
from judged
where abs(ln(factor)) >= ln($smallest_factor) and abs(jump) < abs(jump + ln(factor))
union
select symbol, null::date as session_date from rebased
"""

QUERIES: dict[str, tuple[str, dict[str, object]]] = {
    "bars_1m": (ADJUSTED_MINUTES, {"smallest_factor": SMALLEST_FACTOR, "apart": APART}),
    "bars_1d": (
        ADJUSTED_DAYS,
        {"smallest_factor": SMALLEST_FACTOR, "rebased_days": REBASED_DAYS},
    ),
}


def adjusted_bars(
    connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table, now: datetime, provider: str
) -> set[tuple[str, date | None]]:
    """Return (symbol, session_date) of `rows` for raw.`table` that are not on the basis as traded.

    session_date is None where it is all of the symbol's rows. Judged by raw.splits and by what
    raw.bars_1d has: the daily bar of the same session, the same days as this provider told them
    before. A first answer for a symbol whose split nobody told of can't be judged, and passes.
    """
    if table not in QUERIES or not rows.num_rows:
        return set()
    sql, values = QUERIES[table]
    if table == "bars_1d":
        values = {**values, "provider": provider}
    connection.register("incoming_bars", rows)
    try:
        found = connection.execute(sql, {**values, "today": now.date()}).fetchall()
    finally:
        connection.unregister("incoming_bars")
    return {(symbol, session_date) for symbol, session_date in found}
