"""Every recorded answer parses into the right rows, or is refused for the right reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ingest.basis import adjusted_bars
from ingest.providers import alpha_vantage, fmp_tables, massive
from ingest.providers.errors import BadAnswerError
from ingest.providers.fmp_wire import FMP
from ingest.providers.refusals import Reply, Rows, read_rows
from ingest.warehouse import land, open_warehouse

RECORDED = Path(__file__).parent / "fixtures" / "recorded"
AS_OF = date(2026, 8, 26)


def reply(name: str) -> Reply:
    return Reply(200, {}, (RECORDED / f"{name}.json").read_bytes())


def rows(name: str) -> Rows:
    return read_rows(reply(name), name, "FMP", FMP.refusals)


def profiles(keys: tuple[str, str]) -> Callable[[Rows], pa.Table]:
    return lambda found: fmp_tables.profiles(found, AS_OF, market_cap=keys[0], exchange=keys[1])


def minutes(session: date) -> Callable[[Rows], pa.Table]:
    return lambda found: fmp_tables.minute_bars(found, "AAPL", session)


def daily(found: Rows) -> pa.Table:
    return fmp_tables.daily_bars(found, "AAPL")


def plain_daily(found: Rows) -> pa.Table:
    return fmp_tables.plain_daily_bars(found, "AAPL")


def bar(o: float, h: float, low: float, c: float, volume: float) -> dict[str, float]:
    return {"open": o, "high": h, "low": low, "close": c, "volume": volume}


SCREENER = ("marketCap", "exchangeShortName")
TABLES: list[tuple[str, Callable[[Rows], pa.Table], int, int, dict[str, Any]]] = [
    (
        "fmpdotnet_stable_aftermarket_quote_AAPL",
        fmp_tables.quotes,
        1,
        0,
        {
            "quoted_at": datetime(2026, 8, 27, 9, 6, 29),
            "bid": 309.91,
            "ask": 310.0,
            "bid_size": 4.0,
        },
    ),
    (
        "fmpdotnet_stable_company_screener_head",
        profiles(SCREENER),
        5,
        0,
        {"symbol": "NVDA", "market_cap": 5266614240000.0, "exchange": "NASDAQ", "is_etf": False},
    ),
    (
        "openbb_stable_screener",
        profiles(SCREENER),
        2,
        1,
        {"symbol": "ENB-PN.TO", "market_cap": 0.0, "price": 24.14, "exchange": "TSX"},
    ),
    (
        "openbb_stable_profile_AAPL",
        profiles(("marketCap", "exchange")),
        1,
        0,
        {"symbol": "AAPL", "price": 256.08, "exchange": "NASDAQ", "is_adr": False},
    ),
    (
        "fmpdotnet_stable_delisted_companies_p0_head",
        fmp_tables.delistings,
        8,
        7,
        {"symbol": "LBRDA", "delisted_date": date(2026, 8, 21), "exchange": "NASDAQ"},
    ),
    (
        "fmpdotnet_stable_symbol_change_head",
        fmp_tables.symbol_changes,
        3,
        0,
        {"change_date": date(2026, 8, 26), "old_symbol": "SIC", "new_symbol": "PSOX"},
    ),
    (
        "fmpdotnet_stable_eod_non_split_adjusted_AAPL_2020_split",
        daily,
        5,
        4,
        {"session_date": date(2020, 8, 27), **bar(508.56, 509.96, 495.32, 500.04, 38888100)},
    ),
    (
        "fmpdotnet_stable_eod_full_AAPL_2020_split",
        plain_daily,
        5,
        4,
        {"session_date": date(2020, 8, 27), **bar(127.14, 127.49, 123.83, 125.01, 155552400)},
    ),
    (
        "fmpdotnet_stable_eod_dividend_adjusted_AAPL_2020_split",
        daily,
        5,
        0,
        {"session_date": date(2020, 9, 2), **bar(133.34, 133.72, 123.08, 127.34, 200119000)},
    ),
    (
        "openbb_stable_eod_full_AAPL_2023-01",
        plain_daily,
        6,
        0,
        {"session_date": date(2023, 1, 10), **bar(130.26, 131.26, 128.12, 130.73, 63896200)},
    ),
    (
        "fmpdotnet_stable_historical_chart_1min_AAPL_head",
        minutes(date(2026, 8, 26)),
        3,
        2,
        {
            "bar_at": datetime(2026, 8, 26, 19, 59),
            **bar(313.52, 313.52, 313.23, 313.5, 588656.8568699993),
        },
    ),
    (
        "fmpdotnet_stable_historical_chart_1min_AAPL_extended_head",
        minutes(date(2026, 9, 1)),
        3,
        0,
        {"bar_at": datetime(2026, 9, 1, 23, 57), **bar(325.13, 325.13, 325.0882, 325.0882, 416)},
    ),
    (
        "fmpdotnet_stable_quote_AAPL",
        fmp_tables.last_trades,
        1,
        0,
        {"price": 313.45, "volume": 33571543.0, "traded_at": datetime(2026, 8, 26, 20, 0)},
    ),
    (
        "openbb_stable_quote_AAPL_2025-09-22",
        fmp_tables.last_trades,
        1,
        0,
        {"price": 256.08, "traded_at": datetime(2025, 9, 22, 20, 0, 1)},
    ),
    (
        "openbb_stable_quote_AAPL_2025-09-23_intraday",
        fmp_tables.last_trades,
        1,
        0,
        {"price": 254.86, "traded_at": datetime(2025, 9, 23, 17, 23, 2)},
    ),
    (
        "fmpdotnet_stable_batch_quote_short",
        fmp_tables.last_trades,
        2,
        1,
        {"symbol": "MSFT", "price": 496.37, "volume": 19997284.0, "traded_at": None},
    ),
    (
        "fmpdotnet_stable_splits_AAPL",
        fmp_tables.splits,
        5,
        0,
        {"split_date": date(2020, 8, 31), "numerator": 4.0, "denominator": 1.0},
    ),
    (
        "openbb_stable_splits_calendar_2023-01",
        fmp_tables.splits,
        63,
        62,
        {"symbol": "RECY-B.ST", "split_date": date(2023, 1, 2), "numerator": 119.0},
    ),
    (
        "fmpdotnet_stable_exchange_market_hours_NASDAQ_sunday",
        fmp_tables.market_hours,
        1,
        0,
        {"exchange": "NASDAQ", "opening_hour": "CLOSED", "is_open": False},
    ),
    (
        "fmpdotnet_stable_all_exchange_market_hours_head",
        fmp_tables.market_hours,
        5,
        0,
        {"exchange": "ASX", "opening_hour": "10:00 AM +10:00", "is_open": False},
    ),
]


@pytest.mark.parametrize(("name", "parse", "count", "index", "expected"), TABLES)
def test_recorded_answer_has_the_right_rows(
    name: str, parse: Callable[[Rows], pa.Table], count: int, index: int, expected: dict[str, Any]
) -> None:
    table = parse(rows(name))
    assert table.num_rows == count
    assert expected.items() <= table.to_pylist()[index].items()


ROWS: list[tuple[str, int, dict[str, Any]]] = [
    ("fmpdotnet_stable_actively_trading_list_head", 5, {"symbol": "ITRN"}),
    ("fmpdotnet_stable_stock_list_head", 5, {"symbol": "LAAA"}),
    ("fmpdotnet_stable_aftermarket_trade_AAPL", 1, {"price": 309.97, "tradeSize": 1}),
    ("fmpdotnet_stable_eod_light_AAPL", 3, {"date": "2026-08-26", "price": 313.45}),
    ("fmpdotnet_stable_holidays_by_exchange_NASDAQ_rows", 4, {"date": "2026-07-03"}),
    ("openbb_v3_profile_AAPL_2024", 1, {"mktCap": 3269996825000, "exchangeShortName": "NASDAQ"}),
    ("openbb_v3_quote_AAPL_2023", 1, {"price": 191.31, "changesPercentage": 0.3514}),
    ("massive_v1_marketstatus_upcoming_mock", 14, {"exchange": "NYSE", "date": "2022-05-30"}),
]
"""Answers that no table is filled from: they pass as rows."""


@pytest.mark.parametrize(("name", "count", "first"), ROWS)
def test_recorded_answer_without_a_table_passes_as_rows(
    name: str, count: int, first: dict[str, Any]
) -> None:
    found = rows(name)
    assert len(found) == count
    assert first.items() <= found[0].items()


@pytest.mark.parametrize(
    "name",
    [
        "openbb_v3_historical_price_full_AAPL_2023",
        "openbb_v3_splits_AAPL_2024",
        "massive_v1_marketstatus_now_mock",
        "massive_v2_last_nbbo_AAPL_mock",
        "massive_v3_reference_splits_mock",
        "massive_v3_reference_tickers_mock",
    ],
)
def test_objects_are_no_rows_of_fmp(name: str) -> None:
    with pytest.raises(BadAnswerError, match=name):
        rows(name)


def test_every_recorded_answer_is_tested() -> None:
    tested = {case[0] for case in (*TABLES, *ROWS)} | {
        "openbb_v3_historical_price_full_AAPL_2023",
        "openbb_v3_splits_AAPL_2024",
        *(path.stem for path in RECORDED.glob("massive_*.json")),
    }
    assert {path.stem for path in RECORDED.glob("*.json")} == tested


def massive_rows(name: str, **changed: Any) -> Rows:
    body = json.loads((RECORDED / f"{name}.json").read_text()) | changed
    wire = massive.MASSIVE
    said = Reply(200, {}, json.dumps(body).encode())
    return read_rows(said, name, wire.provider, wire.refusals, wire.find_rows)


def test_aggregates_of_massive_are_daily_bars() -> None:
    found = massive_rows("massive_v2_aggs_day_AAPL_mock", adjusted=False)
    table = massive.aggregates_table(found, "AAPL")
    first = {"bar_at": datetime(2005, 4, 1, 5, 0), **bar(1.5032, 1.5064, 1.4489, 1.4604, 642646396)}
    assert first.items() <= table.to_pylist()[0].items()


def test_adjusted_aggregates_of_massive_are_refused() -> None:
    with pytest.raises(BadAnswerError):
        massive_rows("massive_v2_aggs_day_AAPL_mock")


def test_sample_of_alpha_vantage_is_minute_bars() -> None:
    sample = {
        "Meta Data": {"2. Symbol": "IBM", "6. Time Zone": "US/Eastern"},
        "Time Series (1min)": {
            "2025-01-16 19:59:00": {
                "1. open": "228.4500",
                "2. high": "228.5000",
                "3. low": "228.4000",
                "4. close": "228.4700",
                "5. volume": "6247",
            }
        },
    }
    wire = alpha_vantage.ALPHA_VANTAGE
    said = Reply(200, {}, json.dumps(sample).encode())
    found = read_rows(said, "IBM", wire.provider, wire.refusals, wire.find_rows)
    table = fmp_tables.minute_bars(found, "IBM", date(2025, 1, 16))
    expected = {"bar_at": datetime(2025, 1, 17, 0, 59), **bar(228.45, 228.5, 228.4, 228.47, 6247)}
    assert expected.items() <= table.to_pylist()[0].items()


@pytest.mark.parametrize(
    ("name", "parse", "is_adjusted"),
    [
        ("fmpdotnet_stable_eod_full_AAPL_2020_split", plain_daily, True),
        ("fmpdotnet_stable_eod_dividend_adjusted_AAPL_2020_split", daily, True),
        ("fmpdotnet_stable_eod_non_split_adjusted_AAPL_2020_split", daily, False),
    ],
)
def test_adjusted_recorded_prices_are_told_from_traded_ones(
    name: str, parse: Callable[[Rows], pa.Table], is_adjusted: bool, tmp_path: Path
) -> None:
    now = datetime(2026, 8, 26)
    splits = fmp_tables.splits(rows("fmpdotnet_stable_splits_AAPL"))
    with open_warehouse(tmp_path / "w.duckdb") as connection:
        land(connection, "splits", splits, provider="fmp", landed_at=now)
        found = adjusted_bars(connection, "bars_1d", parse(rows(name)), now, "fmp")
    assert found == ({("AAPL", None)} if is_adjusted else set())
