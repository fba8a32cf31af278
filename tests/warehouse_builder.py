"""Warehouses for tests: landed from a generated market or from real bars, built by dbt."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from datetime import date, datetime, time
from itertools import pairwise
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from ingest.calendar import market_calendar
from ingest.publish import Published, publish
from ingest.settings import ROOT
from ingest.simulator.generated import GeneratedMarket
from ingest.warehouse import land, open_database, open_warehouse
from tests.dbt_process import call_dbt

REAL = ROOT.parent / "shared" / "real"
needs_real_bars = pytest.mark.skipif(
    not REAL.exists(), reason="needs real bars in ../shared/real, which are not shipped"
)


_PARSED = tempfile.TemporaryDirectory(prefix="parsed")
"""The project as dbt has parsed it, by what parsing depends on: half the time of a small run."""


def run_dbt(
    data_dir: Path, *arguments: str, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run dbt on the databases in `data_dir`; its output is in the error where it fails."""
    target = data_dir / "target"
    environment = os.environ | {
        "DATA_DIR": str(data_dir),
        "DBT_TARGET_PATH": str(target),
        "DBT_LOG_PATH": str(data_dir / "logs"),
    }
    given = sorted(pair for pair in pairwise(arguments) if pair[0] in ("--target", "--vars"))
    known = Path(_PARSED.name) / hashlib.sha256(str(given).encode()).hexdigest()
    parsed = target / "partial_parse.msgpack"
    if known.exists():
        target.mkdir(exist_ok=True)
        shutil.copy(known, parsed)
    done = call_dbt([*arguments, "--project-dir", "dbt_project"], ROOT, environment, timeout=280)
    if done.returncode == 0:
        shutil.copy(parsed, known)
    if check and done.returncode:
        raise AssertionError(done.stdout[-4000:])
    return done


def publish_file(warehouse: Path, ledgered: Iterable[str] = ()) -> Published:
    """Publish a warehouse that nobody has open."""
    with open_database(warehouse) as connection:
        connection.execute("checkpoint")
        return publish(connection.cursor(), warehouse, list(ledgered))


def as_arrow(query: str, **parameters: object) -> pa.Table:
    """Return the rows of a query over files."""
    connection = duckdb.connect()
    return connection.sql(query, params=parameters or None).to_arrow_table()


def land_calendar(connection: duckdb.DuckDBPyConnection, first: date, last: date) -> None:
    """Land the sessions from first to last, as of long before any bar."""
    sessions = market_calendar(first, last)
    land(connection, "market_calendar", sessions, provider="test", landed_at=datetime(2000, 1, 1))


def land_generated(
    path: Path, market: GeneratedMarket, symbols: Iterable[str], first: date, last: date
) -> None:
    """Land the symbols' profiles, splits, daily and minute bars, as of the day after `last`."""
    landed_at = datetime.combine(date.fromordinal(last.toordinal() + 1), time(2))
    with open_warehouse(path) as connection:
        land_calendar(connection, date(2024, 1, 2), date(last.year + 1, 6, 30))
        dates = [
            row[0]
            for row in connection.execute(
                "select session_date from raw.market_calendar where session_date between $a and $b"
                " order by 1",
                {"a": first, "b": last},
            ).fetchall()
        ]
        for symbol in symbols:
            for session_date in dates:
                _land_bars(
                    connection,
                    "bars_1m",
                    symbol,
                    market.minutes(symbol, session_date),
                    landed_at,
                    session_date,
                )
            daily = market.daily(symbol, date(2024, 1, 2), last)
            _land_bars(connection, "bars_1d", symbol, daily, landed_at)
            _land_profile(connection, market, symbol, first, landed_at)
            splits = [s for s in market.splits(symbol) if s.split_date <= last]
            if splits:
                rows = pa.Table.from_pylist([vars(split) for split in splits])
                land(connection, "splits", rows, provider="fmp", landed_at=landed_at)


def _land_profile(
    connection: duckdb.DuckDBPyConnection,
    market: GeneratedMarket,
    symbol: str,
    first: date,
    landed_at: datetime,
) -> None:
    profile = market.profile(symbol)
    assert profile is not None
    bars = market.daily(symbol, date(2024, 1, 2), first)
    price = float(bars["close"][-1]) if len(bars) else 1.0
    row = {
        "symbol": symbol,
        "as_of_date": date(2024, 2, 1),
        "company_name": profile.company_name,
        "exchange": profile.exchange,
        "is_etf": profile.is_etf,
        "is_fund": profile.is_fund,
        "is_actively_trading": True,
        "price": price,
        "market_cap": market.market_cap(symbol, first, price),
    }
    land(connection, "profiles", pa.Table.from_pylist([row]), provider="fmp", landed_at=landed_at)


def _land_bars(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    symbol: str,
    bars: object,
    landed_at: datetime,
    session_date: date | None = None,
) -> None:
    columns = {name: bars[name] for name in bars.dtype.names}  # type: ignore[attr-defined]
    count = len(next(iter(columns.values())))
    if not count:
        return
    columns["symbol"] = pa.array([symbol] * count)
    if session_date:
        columns["session_date"] = pa.array([session_date] * count)
    land(connection, table, pa.table(columns), provider="fmp", landed_at=landed_at)


def land_real(path: Path, year: int, symbols: list[str]) -> None:
    """Land real bars of the symbols (facts in shared/real/README.md), landed after the last."""
    landed_at = datetime(year + 1, 1, 1)
    minute_query = f"""
        select symbol, bar_at, open, high, low, close, volume,
            ((bar_at at time zone 'UTC') at time zone 'America/New_York')::date as session_date
        from '{REAL}/minute_{year}.parquet' where symbol in (select unnest($symbols))"""
    daily_query = f"""
        select * rename (date as session_date) from '{REAL}/daily_{year}.parquet'
        where symbol in (select unnest($symbols))"""
    profile_query = f"""
        select symbol, company_name, exchange, market_cap, make_date({year}, 1, 2) as as_of_date
        from '{REAL}/profiles_{year}.parquet' where symbol in (select unnest($symbols))"""
    queries = {"bars_1m": minute_query, "bars_1d": daily_query, "profiles": profile_query}
    with open_warehouse(path) as connection:
        land_calendar(connection, date(year - 1, 1, 3), date(year + 1, 12, 30))
        for table, query in queries.items():
            rows = as_arrow(query, symbols=symbols)
            land(connection, table, rows, provider="import", landed_at=landed_at)
