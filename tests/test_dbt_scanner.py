"""The scanner, session by session, against plain loops over the same raw rows."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import duckdb
import pytest

from ingest.warehouse import land, open_warehouse
from tests.oracle.history import history
from tests.oracle.scanner import Profile, Scanned, funnel, scan_symbol, watchlist
from tests.warehouse_builder import REAL, as_arrow, land_calendar, run_dbt

SCANS = 8
"""Sessions that are compared, evenly spread."""


@pytest.fixture(scope="module")
def real_daily_2018(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data directory with the scan of real daily bars: 300 of the widest ranges, 100 of any."""
    if not REAL.exists():
        pytest.skip("needs real bars in ../shared/real, which are not shipped")
    data_dir = tmp_path_factory.mktemp("real_daily_2018")
    chosen = f"""
        select symbol from (
            select symbol, median((high - low) / low) as width
            from '{REAL}/daily_2018.parquet' semi join '{REAL}/profiles_2018.parquet' using (symbol)
            where close between 0.2 and 20 and volume > 1e5 and low > 0 group by symbol)
        qualify row_number() over (order by width desc, symbol) <= 300
            or row_number() over (order by hash(symbol), symbol) <= 100"""
    daily = f"""
        select * rename (date as session_date) from '{REAL}/daily_2018.parquet'
        where symbol in ({chosen})"""
    profiles = f"""
        select symbol, exchange, market_cap, date '2018-01-16' as as_of_date
        from '{REAL}/profiles_2018.parquet' where symbol in ({chosen})
        union all
        select symbol, exchange, market_cap * 1.5, date '2018-03-14'
        from '{REAL}/profiles_2018.parquet' where symbol in ({chosen}) and hash(symbol) % 2 = 0"""
    with open_warehouse(data_dir / "warehouse.duckdb") as connection:
        land_calendar(connection, date(2017, 1, 3), date(2018, 12, 28))
        for table, query in (("bars_1d", daily), ("profiles", profiles)):
            land(
                connection,
                table,
                as_arrow(query),
                provider="import",
                landed_at=datetime(2018, 4, 21, 2),
            )
    run_dbt(data_dir, "run", "--select", "+scanner_funnel", "+watchlist")
    return data_dir


@pytest.fixture(scope="module", params=["generated", "real_daily_2018"])
def connection(request: pytest.FixtureRequest) -> Iterator[duckdb.DuckDBPyConnection]:
    path = request.getfixturevalue(request.param) / "published" / "warehouse.duckdb"
    with duckdb.connect(path, read_only=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def scans(connection: duckdb.DuckDBPyConnection) -> dict[date, list[Scanned]]:
    """What plain loops make of every symbol for some of the sessions that were scanned."""
    days = [
        day
        for (day,) in connection.execute(
            "select distinct session_date from marts.scanner_funnel order by 1"
        ).fetchall()
    ]
    profiles: dict[str, list[Profile]] = defaultdict(list)
    for symbol, *values in connection.execute(
        "select symbol, as_of_date, exchange, price, market_cap,"
        " is_actively_trading, is_etf, is_fund from raw.profiles"
    ).fetchall():
        profiles[symbol].append(Profile(*values))
    found: dict[date, list[Scanned]] = {day: [] for day in days[:: len(days) // SCANS] + days[-1:]}
    for symbol, known in profiles.items():
        rows = history(connection, symbol)
        for day, scanned in found.items():
            scanned.append(scan_symbol(symbol, known, rows, day))
    return found


def test_watchlist_ranks_what_plain_loops_rank(
    connection: duckdb.DuckDBPyConnection, scans: dict[date, list[Scanned]]
) -> None:
    got: dict[date, list[str]] = {day: [] for day in scans}
    for day, symbol in connection.execute(
        "select session_date, symbol from marts.watchlist order by session_date, rank"
    ).fetchall():
        if day in got:
            got[day].append(symbol)
    want = {day: [row.symbol for row in watchlist(scanned)] for day, scanned in scans.items()}
    assert sum(map(len, want.values())) >= 5
    assert got == want


def test_scores_and_spreads_equal_plain_loops(
    connection: duckdb.DuckDBPyConnection, scans: dict[date, list[Scanned]]
) -> None:
    marts = {
        (day, symbol): values
        for day, symbol, *values in connection.execute(
            "select session_date, symbol, score, edge_21d from intermediate.int_scanner_scores"
        ).fetchall()
    }
    passing = [(day, row) for day, rows in scans.items() for row in rows if row.failed_step == 5]
    differing = [
        (day, row, marts[day, row.symbol])
        for day, row in passing
        if not (
            math.isclose(marts[day, row.symbol][0], row.score, abs_tol=1e-6)
            and math.isclose(marts[day, row.symbol][1] or 0, row.edge_21d or 0, abs_tol=1e-8)
            and (marts[day, row.symbol][1] is None) == (row.edge_21d is None)
        )
    ]
    assert len(passing) >= 15
    assert not differing


def test_funnel_counts_what_plain_loops_count(
    connection: duckdb.DuckDBPyConnection, scans: dict[date, list[Scanned]]
) -> None:
    got = connection.execute(
        "select session_date, step, symbols_in, symbols_out from marts.scanner_funnel"
        " where session_date in (select unnest($days)) order by all",
        {"days": list(scans)},
    ).fetchall()
    want = [(day, *row) for day, scanned in sorted(scans.items()) for row in funnel(scanned)]
    assert got == want
