"""Files that users bring: what their columns become, what they lack, running the import again."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingest import files
from ingest.batches import Summary
from ingest.clock import SimulatedClock
from ingest.files import ImportFileError, check_file, import_file, profiles_date
from ingest.warehouse import Landing, open_warehouse

CLOCK = SimulatedClock.starting(datetime(2025, 9, 2, 12, 30), 1)
MINUTES = "symbol,bar_at,open,high,low,close,volume\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def run_import(
    warehouse: Path, path: Path, kind: files.FileTable, as_of: date | None = None
) -> Summary:
    summary = Summary()
    import_file(
        check_file(path, kind),
        warehouse=warehouse,
        clock=CLOCK,
        provider="import",
        as_of_date=as_of,
        summary=summary,
    )
    return summary


def rows_of(warehouse: Path, sql: str) -> list[tuple[Any, ...]]:
    with open_warehouse(warehouse) as connection:
        return connection.execute(sql).fetchall()


def test_minute_bars_get_their_new_york_session(tmp_path: Path) -> None:
    path = write(tmp_path / "m.csv", MINUTES + "PBR.A,2018-03-28 00:30:00,2,2.1,1.9,2,100\n")
    run_import(tmp_path / "w.duckdb", path, files.BARS_1M)
    assert rows_of(tmp_path / "w.duckdb", "select * exclude (landed_at) from raw.bars_1m") == [
        (
            "PBR-A",
            date(2018, 3, 27),
            datetime(2018, 3, 28, 0, 30),
            *(2.0, 2.1, 1.9, 2.0, 100.0),
            "import",
        )
    ]


def test_symbol_that_looks_like_a_flag_stays_a_symbol(tmp_path: Path) -> None:
    path = write(tmp_path / "m.csv", MINUTES + "TRUE,2018-03-28 14:30:00,2,2.1,1.9,2,\n")
    run_import(tmp_path / "w.duckdb", path, files.BARS_1M)
    assert rows_of(tmp_path / "w.duckdb", "select symbol, volume from raw.bars_1m") == [
        ("TRUE", None)
    ]


def test_bad_rows_are_rejected_under_the_import(tmp_path: Path) -> None:
    lines = "A,2018-03-28 14:30:00,2,1.0,1.9,2,100\nA,yesterday,2,2.1,1.9,2,100\n"
    summary = run_import(
        tmp_path / "w.duckdb", write(tmp_path / "m.csv", MINUTES + lines), files.BARS_1M
    )
    assert summary.landings == {"bars_1m": Landing(rejected=2)}
    reasons = rows_of(
        tmp_path / "w.duckdb",
        "select reason from raw.rejected_rows inner join raw.fetch_log using (request_id) "
        "order by reason",
    )
    assert reasons == [("high below low",), ("no bar_at",)]


def test_import_again_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "m.csv", MINUTES + "A,2018-03-28 14:30:00,2,2.1,1.9,2,100\n" * 2)
    first = run_import(tmp_path / "w.duckdb", path, files.BARS_1M)
    second = run_import(tmp_path / "w.duckdb", path, files.BARS_1M)
    assert first.landings == {"bars_1m": Landing(inserted=1, unchanged=1)}
    assert second.landings == {"bars_1m": Landing(unchanged=2)}


def test_batches_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BATCH_ROWS", 2048)
    path = tmp_path / "m.parquet"
    duckdb.sql(
        "select 'A' as symbol, timestamp '2018-03-28 13:30:00' + to_minutes(range) as bar_at, "
        "1.0 as open, 1.0 as high, 1.0 as low, 1.0 as close, 5 as volume from range(10000)"
    ).write_parquet(str(path))
    summary = run_import(tmp_path / "w.duckdb", path, files.BARS_1M)
    assert summary.landings == {"bars_1m": Landing(inserted=10_000)}
    assert files.count_rows(check_file(path, files.BARS_1M)) == 10_000


@pytest.mark.parametrize("column", ["date", "session_date"])
def test_daily_date_has_two_names(tmp_path: Path, column: str) -> None:
    text = f"symbol,{column},open,high,low,close,volume,vwap\nA,2018-03-28,2,2.1,1.9,2,0,9\n"
    run_import(tmp_path / "w.duckdb", write(tmp_path / "d.csv", text), files.BARS_1D)
    assert rows_of(tmp_path / "w.duckdb", "select session_date, volume from raw.bars_1d") == [
        (date(2018, 3, 28), 0.0)
    ]


def test_profiles_default_to_actively_trading_stock(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", "symbol,market_cap,exchange\nA,20000000,nyse\n")
    run_import(tmp_path / "w.duckdb", path, files.PROFILES, as_of=date(2018, 2, 15))
    assert rows_of(
        tmp_path / "w.duckdb",
        "select as_of_date, market_cap, exchange, is_etf, is_fund, is_adr, is_actively_trading "
        "from raw.profiles",
    ) == [(date(2018, 2, 15), 20e6, "NYSE", False, False, False, True)]


def test_splits_land(tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", "symbol,date,numerator,denominator\nA,2018-03-28,1,20\n")
    run_import(tmp_path / "w.duckdb", path, files.SPLITS)
    assert rows_of(
        tmp_path / "w.duckdb", "select symbol, split_date, numerator, denominator from raw.splits"
    ) == [("A", date(2018, 3, 28), 1.0, 20.0)]


def test_undated_profiles_are_of_the_day_before_the_bars(tmp_path: Path) -> None:
    bars = write(tmp_path / "m.csv", MINUTES + "A,2018-02-16 14:30:00,2,2.1,1.9,2,100\n")
    profiles = write(tmp_path / "p.csv", "symbol,market_cap,exchange\nA,1,NYSE\n")
    given = [check_file(bars, files.BARS_1M), check_file(profiles, files.PROFILES)]
    as_of, told = profiles_date(given, None)
    assert as_of == date(2018, 2, 15)
    assert told is not None and "2018-02-15" in told


def test_undated_profiles_alone_need_a_date(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", "symbol,market_cap,exchange\nA,1,NYSE\n")
    given = [check_file(path, files.PROFILES)]
    with pytest.raises(ImportFileError, match="--profiles-as-of"):
        profiles_date(given, None)
    assert profiles_date(given, date(2018, 1, 1)) == (date(2018, 1, 1), None)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("m.csv", "symbol,close\nA,1\n", "lacks the columns bar_at, open, high, low, volume"),
        ("m.parquet", "no parquet", "can't be read"),
        ("missing.csv", None, "is no file"),
    ],
)
def test_file_that_is_of_no_use_is_named(
    tmp_path: Path, name: str, text: str | None, told: str
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(ImportFileError, match=told) as caught:
        check_file(path, files.BARS_1M)
    assert str(path) in str(caught.value)
