"""A market for benchmarks: minute bars of full sessions, straight into the raw tables.

Made up but plausible and the same every time: random walks on a tick of 0.01 between 0.5 and 15
dollars, volume in a U over the session, a few minutes without a bar. Rows lie as daily landings
leave them: session by session, in each symbol by symbol. Nothing is checked on the way in, so
that 23 million bars land in under a minute.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from ingest.calendar import PROVIDER, market_calendar
from ingest.warehouse import open_warehouse

FIRST = date(2025, 1, 2)
"""First session with minute bars; the 120 from it on have no half day."""

DAILY_BEFORE = 60
"""Sessions of daily bars before the first minute bar, so that the daily state is warm."""

LOWEST, HIGHEST = 0.5, 15.0
MINUTE_VOLATILITY = 0.0025

Bars = dict[str, np.ndarray]


def symbol_names(symbols: int) -> list[str]:
    """Return that many symbols, in order."""
    return [f"B{number:04d}" for number in range(symbols)]


def land_market(
    path: Path, symbols: int, sessions: int, missing: float = 0.01, first: date = FIRST
) -> int:
    """Land the market in the warehouse at `path`; return the number of minute bars.

    `missing` is the share of minutes without a bar.
    """
    last_year = (first + timedelta(days=1.5 * sessions)).year
    calendar = market_calendar(date(first.year - 1, 1, 2), date(last_year + 1, 12, 31))
    days = calendar.to_pylist()
    start = next(i for i, day in enumerate(days) if day["session_date"] >= first)
    assert start >= DAILY_BEFORE
    rng = np.random.default_rng(2025)
    price = np.exp(rng.uniform(np.log(1.0), np.log(12.0), symbols))
    size = np.exp(rng.normal(8.0, 1.0, symbols))
    names = pa.array(symbol_names(symbols))
    count = 0
    with open_warehouse(path) as connection:
        _land_reference(connection, calendar, names, price, days[start - DAILY_BEFORE])
        for number in range(start - DAILY_BEFORE, start + sessions):
            bars, present, price = _session(rng, days[number], price, size, missing)
            if number >= start:
                count += _insert_minutes(connection, days[number], names, bars, present)
            _insert_daily(connection, days[number], names, bars, present)
    return count


def _session(
    rng: np.random.Generator, day: dict, price: np.ndarray, size: np.ndarray, missing: float
) -> tuple[Bars, np.ndarray, np.ndarray]:
    """Return the session's bars, symbols x minutes; which of them exist; and the last prices."""
    minutes = int((day["close_at"] - day["open_at"]).total_seconds() // 60)
    shape = (len(price), minutes)
    steps = rng.standard_normal(shape, dtype=np.float32) * MINUTE_VOLATILITY
    steps[:, 0] *= 8  # over night
    close = _reflected(np.log(price)[:, None] + np.cumsum(steps, axis=1, dtype=float))
    before = np.hstack([close[:, :1], close[:, :-1]])
    jitter = rng.integers(-1, 2, shape) * 0.01
    open_ = np.maximum(before + jitter, 0.01)
    reach = rng.exponential(0.0012, (2, *shape)).astype(float)
    high = np.maximum(open_, close) * (1 + reach[0])
    low = np.minimum(open_, close) * (1 - reach[1])
    bars = {
        name: np.maximum(np.round(values, 2), 0.01)
        for name, values in (("open", open_), ("high", high), ("low", low), ("close", close))
    }
    place = np.linspace(-1, 1, minutes)
    usual = size[:, None] * (0.4 + 1.6 * place**2)
    noise = np.exp(rng.standard_normal(shape, dtype=np.float32))
    bars["volume"] = np.ceil(usual * noise)
    return bars, rng.random(shape, dtype=np.float32) >= missing, close[:, -1]


def _reflected(log_price: np.ndarray) -> np.ndarray:
    """Fold walks that leave the range of prices back into it; return prices."""
    low, width = np.log(LOWEST), np.log(HIGHEST / LOWEST)
    folded = np.mod(log_price - low, 2 * width)
    return np.exp(low + np.minimum(folded, 2 * width - folded))


def _landed_at(day: dict) -> datetime:
    return day["post_close_at"] + timedelta(hours=2)


def _insert_minutes(
    connection: duckdb.DuckDBPyConnection,
    day: dict,
    names: pa.Array,
    bars: Bars,
    present: np.ndarray,
) -> int:
    symbol, minute = np.nonzero(present)
    opened = np.datetime64(day["open_at"], "us")
    columns = {
        "symbol": pa.DictionaryArray.from_arrays(pa.array(symbol.astype(np.int32)), names),
        "bar_at": opened + minute * np.timedelta64(60_000_000, "us"),
    }
    columns |= {name: values[present] for name, values in bars.items()}
    _insert(connection, "bars_1m", pa.table(columns), day)
    return len(symbol)


def _insert_daily(
    connection: duckdb.DuckDBPyConnection,
    day: dict,
    names: pa.Array,
    bars: Bars,
    present: np.ndarray,
) -> None:
    traded = np.flatnonzero(present.any(axis=1))
    first = present.argmax(axis=1)[traded]
    last = present.shape[1] - 1 - present[:, ::-1].argmax(axis=1)[traded]
    rows = pa.table(
        {
            "symbol": names.take(pa.array(traded)),
            "open": bars["open"][traded, first],
            "high": np.where(present, bars["high"], -np.inf).max(axis=1)[traded],
            "low": np.where(present, bars["low"], np.inf).min(axis=1)[traded],
            "close": bars["close"][traded, last],
            "volume": np.where(present, bars["volume"], 0).sum(axis=1)[traded],
        }
    )
    _insert(connection, "bars_1d", rows, day)


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table, day: dict) -> None:
    connection.register("rows", rows)
    connection.execute(
        f"insert into raw.{table} by name select *, $session_date::date as session_date, "
        "'fmp' as provider, $landed_at::timestamp as landed_at from rows",
        {"session_date": day["session_date"], "landed_at": _landed_at(day)},
    )
    connection.unregister("rows")


def _land_reference(
    connection: duckdb.DuckDBPyConnection,
    calendar: pa.Table,
    names: pa.Array,
    price: np.ndarray,
    day: dict,
) -> None:
    """Land the calendar, and profiles as of the first session with daily bars."""
    connection.register("sessions", calendar)
    connection.execute(
        "insert into raw.market_calendar by name select *, $provider as provider, "
        "timestamp '2000-01-01' as landed_at from sessions",
        {"provider": PROVIDER},
    )
    connection.unregister("sessions")
    connection.register("rows", pa.table({"symbol": names, "price": price}))
    connection.execute(
        "insert into raw.profiles by name select symbol, price, symbol as company_name, "
        "$as_of::date as as_of_date, 2e8 as market_cap, 'NASDAQ' as exchange, false as is_etf, "
        "false as is_fund, true as is_actively_trading, 'fmp' as provider, "
        "$landed_at::timestamp as landed_at from rows",
        {"as_of": day["session_date"], "landed_at": _landed_at(day)},
    )
    connection.unregister("rows")
