"""Impossible, absurd and missing input: landed by the import command, and a build that holds.

One symbol per fault, each with the same good bars around it. A fault is rejected with its reason,
or carried and counted; it never stops a build, and no mart holds NaN or infinity.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from ingest.__main__ import app
from ingest.calendar import market_calendar
from ingest.clock import SimulatedClock
from ingest.settings import Settings
from ingest.warehouse import RAW_SCHEMA, Landing, land, open_warehouse
from tests.warehouse_builder import run_dbt

NOW = datetime(2024, 12, 11, 2)
SESSIONS = market_calendar(date(2024, 8, 1), date(2024, 12, 10)).to_pylist()
LACKING = date(2024, 12, 5)
"""A session with bars that the calendar lacks."""

MINUTES = 45
PRICES = "3,3.3,2.7,3"

# Symbol: the minute bar that is added to its good ones, and why it is rejected.
REJECTED = {
    "NAN-OPEN": ("2024-12-10 20:00:00,nan,3.3,2.7,3,100", "no positive price"),
    "NO-OPEN": ("2024-12-10 20:00:00,,3.3,2.7,3,100", "no positive price"),
    "TEXT-OPEN": ("2024-12-10 20:00:00,n/a,3.3,2.7,3,100", "no positive price"),
    "INF-HIGH": ("2024-12-10 20:00:00,3,inf,2.7,3,100", "no positive price"),
    "MINUS-INF-LOW": ("2024-12-10 20:00:00,3,3.3,-inf,3,100", "no positive price"),
    "MINUS-CLOSE": ("2024-12-10 20:00:00,3,3.3,2.7,-3,100", "no positive price"),
    "ZERO-LOW": ("2024-12-10 20:00:00,3,3.3,0,3,100", "no positive price"),
    "HIGH-BELOW-LOW": ("2024-12-10 20:00:00,3,2.7,3.3,3,100", "high below low"),
    "MINUS-VOLUME": (f"2024-12-10 20:00:00,{PRICES},-1", "volume is negative or infinite"),
    "INF-VOLUME": (f"2024-12-10 20:00:00,{PRICES},inf", "volume is negative or infinite"),
    "HUGE-VOLUME": (f"2024-12-10 14:35:00,{PRICES},1.7e308", "beyond any real price or volume"),
    "1E18-VOLUME": (f"2024-12-10 14:36:00,{PRICES},1e18", "beyond any real price or volume"),
    "HUGE-PRICE": ("2024-12-10 14:37:00,3,1.7e308,3,3,100", "beyond any real price or volume"),
    "TINY-PRICE": ("2024-12-10 14:38:00,3,3,5e-324,3,100", "beyond any real price or volume"),
    "HALF-MINUTE": (f"2024-12-10 20:00:30,{PRICES},100", "not the start of a minute"),
    "NO-TIME": (f"yesterday,{PRICES},100", "no bar_at"),
    "ENDLESS-TIME": (f"infinity,{PRICES},100", "no bar_at"),
}

# Symbol: the minute bar that is added, and the session in which it is counted as outside.
OUTSIDE = {
    "NIGHT": (f"2024-12-10 07:00:00,{PRICES},100", date(2024, 12, 10)),
    "LATE": (f"2024-12-10 01:00:00,{PRICES},100", date(2024, 12, 9)),
    "WEEKEND": (f"2024-12-07 15:00:00,{PRICES},100", date(2024, 12, 7)),
    "HOLIDAY": (f"2024-11-28 15:00:00,{PRICES},100", date(2024, 11, 28)),
}
CARRIED = {
    "NO-VOLUME": f"2024-12-10 20:00:00,{PRICES},",
    "NAN-VOLUME": f"2024-12-10 20:00:00,{PRICES},nan",
    "TWICE": f"2024-12-10 20:00:00,{PRICES},100\nTWICE,2024-12-10 20:00:00,4,4,4,4,400",
}
DAILY_REJECTED = {
    "DAILY-NAN": ("2024-12-10,nan,3.3,2.7,3,100", "no positive price"),
    "DAILY-1E18": (f"2024-12-10,{PRICES},1e18", "beyond any real price or volume"),
    "DAILY-ENDLESS": (f"infinity,{PRICES},100", "no session_date"),
}
SPLITS_REJECTED = {
    "SPLIT-0": ("2024-12-09,0,1", "no positive ratio"),
    "SPLIT-BY-0": ("2024-12-09,1,0", "no positive ratio"),
    "SPLIT-NULL": ("2024-12-09,,1", "no positive ratio"),
    "SPLIT-INF": ("2024-12-09,inf,1", "beyond any real ratio"),
    "SPLIT-HUGE": ("2024-12-09,1e300,1e-300", "beyond any real ratio"),
}
PROFILES = {
    "CAP-NULL": "2024-08-01,,NYSE",
    "CAP-INF": "2024-08-01,inf,NYSE",
    "CAP-MINUS": "2024-08-01,-5,NYSE",
    "FUTURE": "2030-01-01,1e8,NYSE",
}
GOOD = "GOOD"
ONE_BAR = "ONE-BAR"
DAILY_OUTSIDE = "DAILY-SATURDAY"
TWO_PROVIDERS = "TWO-PROVIDERS"
SYMBOLS = [
    *(GOOD, DAILY_OUTSIDE, TWO_PROVIDERS),
    *(*REJECTED, *OUTSIDE, *CARRIED, *DAILY_REJECTED, *SPLITS_REJECTED, *PROFILES),
]


def write(path: Path, header: str, lines: list[str]) -> str:
    path.write_text("\n".join([header, *lines]) + "\n")
    return str(path)


def minute_lines() -> Iterator[str]:
    """45 minutes of seven sessions of every symbol, and the faults after them."""
    for symbol in SYMBOLS:
        for number, session in enumerate(SESSIONS[-7:]):
            for minute in range(MINUTES):
                bar_at = session["open_at"] + timedelta(minutes=minute)
                price = 3 + 0.1 * ((minute * 7 + number) % 5)
                prices = f"{price},{price + 0.2:.1f},{price - 0.2:.1f},{price}"
                yield f"{symbol},{bar_at},{prices},{1000 + minute}"
    faults = {name: row for name, (row, _) in (REJECTED | OUTSIDE).items()} | CARRIED
    yield from (f"{symbol},{row}" for symbol, row in faults.items())
    yield f"{ONE_BAR},2024-12-10 20:00:00,{PRICES},100"


def daily_lines() -> Iterator[str]:
    for symbol in SYMBOLS:
        for session in SESSIONS[:-1]:
            yield f"{symbol},{session['session_date']},{PRICES},1000000"
    yield from (f"{symbol},{row}" for symbol, (row, _) in DAILY_REJECTED.items())
    yield f"{DAILY_OUTSIDE},2024-12-07,{PRICES},1000000"


def profile_lines() -> Iterator[str]:
    rows = dict.fromkeys([*SYMBOLS, ONE_BAR], "2024-08-01,1e8,NYSE") | PROFILES
    yield from (f"{symbol},{row}" for symbol, row in rows.items())


@pytest.fixture(scope="module")
def settings() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(Settings.model_config, "env_file", None)
        patch.setenv("SIMULATED_CLOCK", str(SimulatedClock.starting(NOW, 0.001)))
        yield patch


def imported(data_dir: Path, settings: pytest.MonkeyPatch, *arguments: str) -> str:
    settings.setenv("DATA_DIR", str(data_dir))
    result = CliRunner().invoke(app, ["import", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory, settings: pytest.MonkeyPatch) -> Path:
    """Data directory with every fault, built."""
    data_dir = tmp_path_factory.mktemp("faulty")
    bar = "open,high,low,close,volume"
    minute = write(data_dir / "m.csv", f"symbol,bar_at,{bar}", list(minute_lines()))
    daily = write(data_dir / "d.csv", f"symbol,session_date,{bar}", list(daily_lines()))
    profiles = write(
        data_dir / "p.csv", "symbol,as_of_date,market_cap,exchange", list(profile_lines())
    )
    splits = write(
        data_dir / "s.csv",
        "symbol,split_date,numerator,denominator",
        [f"{symbol},{row}" for symbol, (row, _) in SPLITS_REJECTED.items()],
    )
    options = ("--bars-1m", minute, "--bars-1d", daily, "--profiles", profiles, "--splits", splits)
    imported(data_dir, settings, *options)
    other = [f"{TWO_PROVIDERS},2024-12-10 14:31:00,9,9,9,9,900"]
    other_path = write(data_dir / "o.csv", f"symbol,bar_at,{bar}", other)
    imported(data_dir, settings, "--bars-1m", other_path, "--provider", "fmp")
    with open_warehouse(data_dir / "warehouse.duckdb") as connection:
        connection.execute("delete from raw.market_calendar where session_date = ?", [LACKING])
        land(connection, "quotes", endless_quotes(), provider="fmp", landed_at=NOW)
    run_dbt(data_dir, "build", "--exclude-resource-type", "unit_test")
    return data_dir


def endless_quotes() -> pa.Table:
    at, inf = datetime(2024, 12, 10, 14, 40, 59), float("inf")
    quotes = [("GOOD", 3.0, inf), ("NIGHT", inf, inf), ("LATE", 3.0, 1e308), ("WEEKEND", 0.0, 0.0)]
    return pa.Table.from_pylist(
        [{"symbol": s, "quoted_at": at, "bid": bid, "ask": ask} for s, bid, ask in quotes]
    )


@pytest.fixture
def connection(faulty: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(faulty / "published" / "warehouse.duckdb", read_only=True) as opened:
        yield opened


def endless_columns(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the marts' columns that hold NaN or infinity."""
    columns = connection.execute(
        "select table_name, column_name from duckdb_columns() "
        "where schema_name = 'marts' and data_type in ('DOUBLE', 'FLOAT')"
    ).fetchall()
    assert len(columns) > 50
    return [
        f"{table}.{column}"
        for table, column in columns
        if connection.execute(
            f"select count(*) from marts.{table} where not isfinite({column})"
        ).fetchall()
        != [(0,)]
    ]


def test_no_mart_holds_nan_or_infinity(connection: duckdb.DuckDBPyConnection) -> None:
    assert not endless_columns(connection)


@pytest.mark.parametrize(
    ("table", "faults"),
    [("bars_1m", REJECTED), ("bars_1d", DAILY_REJECTED), ("splits", SPLITS_REJECTED)],
)
def test_impossible_row_is_rejected_with_its_reason(
    connection: duckdb.DuckDBPyConnection, table: str, faults: dict[str, tuple[str, str]]
) -> None:
    got = connection.execute(
        "select row_text ->> 'symbol', reason from raw.rejected_rows where table_name = $table",
        {"table": table},
    ).fetchall()
    assert sorted(got) == sorted((symbol, reason) for symbol, (_, reason) in faults.items())


def test_rejected_row_leaves_the_good_ones(connection: duckdb.DuckDBPyConnection) -> None:
    query = "select * exclude (symbol) from marts.states_1m where symbol = ? order by bar_at"
    good = connection.execute(query, [GOOD]).fetchall()
    assert len(good) == 6 * MINUTES
    assert not [
        symbol
        for symbol in (*REJECTED, *DAILY_REJECTED, *SPLITS_REJECTED, *OUTSIDE)
        if not alike(connection.execute(query, [symbol]).fetchall(), good)
    ]


def alike(some: list[tuple[Any, ...]], others: list[tuple[Any, ...]]) -> bool:
    """Whether all values are equal; floats to 1e-9, as sums depend on the order of adding."""
    return len(some) == len(others) and all(
        math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
        if isinstance(a, float) and isinstance(b, float)
        else a == b
        for row, other in zip(some, others, strict=True)
        for a, b in zip(row, other, strict=True)
    )


def test_quote_of_no_real_price_is_rejected(connection: duckdb.DuckDBPyConnection) -> None:
    got = connection.execute(
        "select row_text ->> 'symbol', reason from raw.rejected_rows where table_name = 'quotes'"
    ).fetchall()
    assert sorted(got) == [(symbol, "no real price") for symbol in ("GOOD", "LATE", "NIGHT")]


@pytest.mark.parametrize(
    ("table", "row", "reason"),
    [
        *(
            ("bars_1m", {"symbol": "A", "bar_at": NOW, "session_date": day}, "no session_date")
            for day in (None, "infinity", "soon")
        ),
        ("symbol_changes", {"change_date": "2024-12-10", "old_symbol": "A"}, "no new symbol"),
        ("delistings", {"symbol": "A", "delisted_date": "-infinity"}, "no delisted_date"),
    ],
)
def test_row_that_lacks_what_names_it_is_rejected(
    table: str, row: dict[str, Any], reason: str
) -> None:
    with duckdb.connect() as connection:
        connection.execute(RAW_SCHEMA)
        rows = pa.Table.from_pylist([row])
        landing = land(connection, table, rows, provider="fmp", landed_at=NOW)
        reasons = connection.execute("select reason from raw.rejected_rows").fetchall()
    assert (landing, reasons) == (Landing(rejected=1), [(reason,)])


def test_bar_outside_every_segment_is_counted(connection: duckdb.DuckDBPyConnection) -> None:
    got = connection.execute(
        "select symbol, session_date, figure from marts.data_quality "
        "where check_name = 'outside_bar_count' and session_date <> $lacking",
        {"lacking": LACKING},
    ).fetchall()
    assert sorted(got) == sorted((symbol, day, 1) for symbol, (_, day) in OUTSIDE.items())


def test_session_that_the_calendar_lacks_is_counted(connection: duckdb.DuckDBPyConnection) -> None:
    got = connection.execute(
        "select distinct figure, count(*) from marts.data_quality "
        "where check_name = 'outside_bar_count' and session_date = $lacking group by figure",
        {"lacking": LACKING},
    ).fetchall()
    assert got == [(MINUTES, len(SYMBOLS))]


def quality(connection: duckdb.DuckDBPyConnection, check_name: str) -> set[tuple[Any, ...]]:
    return set(
        connection.execute(
            "select symbol, session_date, figure, severity from marts.data_quality "
            "where check_name = $check_name",
            {"check_name": check_name},
        ).fetchall()
    )


def test_bars_of_no_session_are_errors(connection: duckdb.DuckDBPyConnection) -> None:
    want = {(symbol, LACKING, MINUTES, "error") for symbol in SYMBOLS}
    want |= {
        ("WEEKEND", date(2024, 12, 7), 1, "error"),
        ("HOLIDAY", date(2024, 11, 28), 1, "error"),
    }
    assert quality(connection, "bars_without_session_count") == want


def test_daily_bars_of_no_session_are_counted(connection: duckdb.DuckDBPyConnection) -> None:
    want = {(symbol, LACKING, 1, "warning") for symbol in SYMBOLS}
    want.add((DAILY_OUTSIDE, date(2024, 12, 7), 1, "warning"))
    assert quality(connection, "daily_bars_without_session") == want


def test_rejected_bars_are_counted_in_their_session(connection: duckdb.DuckDBPyConnection) -> None:
    got = {symbol for symbol, *_ in quality(connection, "rejected_row_count")}
    timeless = {name for name, (_, reason) in REJECTED.items() if reason == "no bar_at"}
    dated = {name for name, (_, reason) in DAILY_REJECTED.items() if reason != "no session_date"}
    assert got - timeless == (REJECTED.keys() - timeless) | dated


def test_bars_of_two_providers_are_counted(connection: duckdb.DuckDBPyConnection) -> None:
    got = {symbol for symbol, *_ in quality(connection, "duplicate_version_count")}
    assert got == {TWO_PROVIDERS}


def test_funnel_stops_what_has_no_market_cap(connection: duckdb.DuckDBPyConnection) -> None:
    got = connection.execute(
        "select symbols_in, symbols_out from marts.scanner_funnel "
        "where session_date = '2024-12-11' and step <= 2 order by step"
    ).fetchall()
    count = len(SYMBOLS) + 1
    assert got == [(count, count - 1), (count - 1, count - 4)]


def test_bar_without_volume_is_carried_as_null(connection: duckdb.DuckDBPyConnection) -> None:
    got = connection.execute(
        "select volume, rvol_1m, move_prev is not null, rvol_day > 0 from marts.features_1m "
        "where symbol in ('NO-VOLUME', 'NAN-VOLUME') and bar_at = '2024-12-10 20:00:00'"
    ).fetchall()
    assert got == [(None, None, False, True)] * 2


@pytest.mark.parametrize(("symbol", "close"), [("TWICE", 4.0), (TWO_PROVIDERS, 9.0)])
def test_of_two_rows_of_a_bar_one_counts(
    connection: duckdb.DuckDBPyConnection, symbol: str, close: float
) -> None:
    got = connection.execute(
        "select count(*), max(close) from marts.features_1m "
        "where symbol = $symbol and close in (4, 9)",
        {"symbol": symbol},
    ).fetchall()
    assert got == [(1, close)]


def test_single_bar_has_a_row_of_each_kind(connection: duckdb.DuckDBPyConnection) -> None:
    got = connection.execute(
        "select close, vwap, move_prev, gap, entry_price, is_complete_30m, state "
        "from marts.training_rows where symbol = 'ONE-BAR'"
    ).fetchall()
    assert got == [(3, 3, None, None, None, False, "Idle")]


def test_daily_bar_on_no_session_counts_for_nothing(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    got = connection.execute(
        "select count(distinct (atr5_pct, pump_days_60d, gap)) from marts.features_1m "
        "where symbol in ('GOOD', 'DAILY-SATURDAY') and session_date = '2024-12-10'"
    ).fetchall()
    assert got == [(1,)]


@pytest.fixture(scope="module", params=["only the raw schema", "no calendar"])
def empty(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, faulty: Path
) -> Path:
    """Data directory with no row at all, or with the faulty market's but no session."""
    data_dir = tmp_path_factory.mktemp("empty")
    with open_warehouse(data_dir / "warehouse.duckdb") as connection:
        if request.param == "no calendar":
            connection.execute(f"attach '{faulty / 'warehouse.duckdb'}' as faulty (read_only)")
            for table in ("bars_1m", "bars_1d", "profiles", "splits", "quotes", "fetch_log"):
                connection.execute(f"insert into raw.{table} from faulty.raw.{table}")
    run_dbt(data_dir, "build", "--exclude-resource-type", "unit_test")
    return data_dir


def test_export_of_nothing_says_that_no_session_is_known(
    empty: Path, settings: pytest.MonkeyPatch
) -> None:
    settings.setenv("DATA_DIR", str(empty))
    result = CliRunner().invoke(app, ["export"])
    assert result.exit_code == 1
    assert "knows no coming session" in result.output


def test_warehouse_without_sessions_builds(empty: Path) -> None:
    with duckdb.connect(empty / "published" / "warehouse.duckdb", read_only=True) as connection:
        rows = {
            name: connection.execute(f"select count(*) from marts.{name}").fetchall()[0][0]
            for name in ("features_1m", "labels_1m", "training_rows", "watchlist", "signal_rules")
        }
        assert not endless_columns(connection)
    assert rows == dict.fromkeys(rows, 0) | {"signal_rules": 1}
