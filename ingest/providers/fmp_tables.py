"""FMP's rows as tables with the columns of the raw tables. Pure: rows in, Arrow out."""

from __future__ import annotations

import math
from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

Rows = list[dict[str, Any]]

NEW_YORK = ZoneInfo("America/New_York")
STAMP = pa.timestamp("us")
PRICES = ("open", "high", "low", "close")


def _number(value: Any) -> float | None:
    """Return a number that may have come as a string; None for what is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return None if math.isnan(number) else number


def numbers(rows: Rows, key: str) -> pa.Array:
    """Return a column of numbers, some of which may come as strings; null for what is none."""
    values = [row.get(key) for row in rows]
    try:
        # five times as fast as one by one; NaN becomes null
        return pa.array(values, pa.float64(), from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([_number(value) for value in values], pa.float64())


def _texts(rows: Rows, key: str) -> pa.Array:
    values = (row.get(key) for row in rows)
    return pa.array([None if v is None or v == "" else str(v) for v in values], pa.string())


def _flags(rows: Rows, key: str) -> pa.Array:
    return pa.array([_flag(row.get(key)) for row in rows], pa.bool_())


def _flag(value: Any) -> bool | None:
    """Return a yes or no that may have come as a text, in CSV; None for what is neither."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value)
    return value if isinstance(value, bool) else None


def _dates(rows: Rows, key: str) -> pa.Array:
    return _parsed(_texts(rows, key), "%Y-%m-%d").cast(pa.date32())


def _parsed(texts: pa.Array, layout: str) -> pa.Array:
    return pc.strptime(texts, format=layout, unit="us", error_is_null=True)


def _epochs(rows: Rows, key: str, per_second: int) -> pa.Array:
    """Return naive UTC stamps of unix times in units of 1/`per_second` second."""
    values = (_number(row.get(key)) for row in rows)
    micros = [
        int(v * 1_000_000 / per_second) if v is not None and math.isfinite(v) else None
        for v in values
    ]
    return pa.array(micros, pa.int64()).cast(STAMP)


def _bars(rows: Rows, names: dict[str, str]) -> dict[str, pa.Array]:
    return {column: numbers(rows, key) for column, key in names.items()}


def minute_bars(rows: Rows, symbol: str, session_date: date) -> pa.Table:
    """Return the bars of `session_date`, oldest first; rows of other dates are left out.

    Stamps come as New York wall clock and become UTC: one offset holds for a whole session, as the
    clocks change on Sundays. A row without a readable stamp keeps a null, to be rejected on
    landing. Of two rows with one stamp the later in the answer comes last, and so counts.
    """
    wanted = (session_date.isoformat(), None)
    rows = [row for row, day in zip(rows, dates_of(rows), strict=True) if day in wanted]
    stamps = _parsed(_texts(rows, "date"), "%Y-%m-%d %H:%M:%S")
    offset = datetime.combine(session_date, time(12), NEW_YORK).utcoffset()
    bars = pa.table(
        {
            "symbol": pa.array([symbol] * len(rows), pa.string()),
            "session_date": pa.array([session_date] * len(rows), pa.date32()),
            "bar_at": pc.subtract(stamps, pa.scalar(offset, pa.duration("us"))),
            **_bars(rows, {c: c for c in ("open", "high", "low", "close", "volume")}),
        }
    )
    return bars.sort_by("bar_at")  # a stable sort


def dates_of(rows: Rows) -> list[str | None]:
    """Return each row's date as `YYYY-MM-DD`; None where it has none that can be read."""
    texts = [str(row.get("date"))[:10] for row in rows]
    readable = {text: text if text[4:5] + text[7:8] == "--" else None for text in set(texts)}
    return [readable[text] for text in texts]


def daily_bars(rows: Rows, symbol: str) -> pa.Table:
    """Return raw.bars_1d rows from `non-split-adjusted`: prices as traded despite their names."""
    return _daily(rows, [symbol] * len(rows), {c: f"adj{c.capitalize()}" for c in PRICES})


def plain_daily_bars(rows: Rows, symbol: str) -> pa.Table:
    """Return raw.bars_1d rows whose prices have their plain names."""
    return _daily(rows, [symbol] * len(rows), {c: c for c in PRICES})


def market_daily_bars(rows: Rows) -> pa.Table:
    """Return raw.bars_1d rows of many symbols, from `eod-bulk`."""
    return _daily(rows, [str(row["symbol"]) for row in rows], {c: c for c in PRICES})


def _daily(rows: Rows, symbols: list[str], names: dict[str, str]) -> pa.Table:
    return pa.table(
        {
            "symbol": pa.array(symbols, pa.string()),
            "session_date": _dates(rows, "date"),
            **_bars(rows, {**names, "volume": "volume"}),
        }
    )


def symbol_changes(rows: Rows) -> pa.Table:
    """Return raw.symbol_changes rows."""
    return pa.table(
        {
            "change_date": _dates(rows, "date"),
            "old_symbol": _texts(rows, "oldSymbol"),
            "new_symbol": _texts(rows, "newSymbol"),
            "company_name": _texts(rows, "companyName"),
        }
    )


def delistings(rows: Rows) -> pa.Table:
    """Return raw.delistings rows; those announced for a coming day are among them."""
    return pa.table(
        {
            "symbol": _texts(rows, "symbol"),
            "delisted_date": _dates(rows, "delistedDate"),
            "ipo_date": _dates(rows, "ipoDate"),
            "exchange": _texts(rows, "exchange"),
            "company_name": _texts(rows, "companyName"),
        }
    )


def profiles(rows: Rows, as_of_date: date, *, market_cap: str, exchange: str) -> pa.Table:
    """Return raw.profiles rows; `exchange` names the key of the short code ("NASDAQ")."""
    return pa.table(
        {
            "symbol": _texts(rows, "symbol"),
            "as_of_date": pa.array([as_of_date] * len(rows), pa.date32()),
            "company_name": _texts(rows, "companyName"),
            "market_cap": numbers(rows, market_cap),
            "price": numbers(rows, "price"),
            "exchange": _texts(rows, exchange),
            "sector": _texts(rows, "sector"),
            "industry": _texts(rows, "industry"),
            "country": _texts(rows, "country"),
            "is_etf": _flags(rows, "isEtf"),
            "is_fund": _flags(rows, "isFund"),
            "is_adr": _flags(rows, "isAdr"),
            "is_actively_trading": _flags(rows, "isActivelyTrading"),
        }
    )


def splits(rows: Rows) -> pa.Table:
    """Return raw.splits rows: a 2:1 split has numerator 2 and denominator 1."""
    return pa.table(
        {
            "symbol": _texts(rows, "symbol"),
            "split_date": _dates(rows, "date"),
            "numerator": numbers(rows, "numerator"),
            "denominator": numbers(rows, "denominator"),
        }
    )


def quotes(rows: Rows) -> pa.Table:
    """Return raw.quotes rows (bid and ask), and the day's `volume` so far beside them."""
    return pa.table(
        {
            "symbol": _texts(rows, "symbol"),
            "quoted_at": _epochs(rows, "timestamp", per_second=1000),
            "bid": numbers(rows, "bidPrice"),
            "ask": numbers(rows, "askPrice"),
            "bid_size": numbers(rows, "bidSize"),
            "ask_size": numbers(rows, "askSize"),
            "volume": numbers(rows, "volume"),
        }
    )


def last_trades(rows: Rows) -> pa.Table:
    """Return symbol, price, volume (the session's so far) and traded_at of full quotes.

    Outside regular hours they are those of the session before.
    """
    return pa.table(
        {
            "symbol": _texts(rows, "symbol"),
            "price": numbers(rows, "price"),
            "volume": numbers(rows, "volume"),
            "traded_at": _epochs(rows, "timestamp", per_second=1),
        }
    )


def market_hours(rows: Rows) -> pa.Table:
    """Return exchange, opening_hour, closing_hour ("09:30 AM -04:00" or "CLOSED"), is_open."""
    return pa.table(
        {
            "exchange": _texts(rows, "exchange"),
            "opening_hour": _texts(rows, "openingHour"),
            "closing_hour": _texts(rows, "closingHour"),
            "is_open": _flags(rows, "isMarketOpen"),
        }
    )
