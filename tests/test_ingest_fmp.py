"""The FMP client: what it asks, what it makes of recorded answers."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest

from ingest.providers.fmp import Answer, FmpClient
from tests.ingest_servers import KEY, Said, client_of, scripted

RECORDED = Path(__file__).parent / "fixtures" / "fmp_client"
SESSION = date(2026, 9, 1)


def recorded(name: str) -> str:
    return (RECORDED / f"{name}.json").read_text()


def minutes(*stamps: str) -> str:
    prices = {"open": 1.0, "low": 0.9, "high": 1.1, "close": 1.05, "volume": 100}
    return json.dumps([{"date": stamp, **prices} for stamp in stamps])


def test_minute_stamps_become_utc() -> None:
    with scripted(recorded("minute_extended")) as server:
        answer = client_of(server.base_url).minute_bars("AAPL", SESSION)
    assert answer.table["bar_at"].to_pylist()[-1] == datetime(2026, 9, 1, 23, 59)
    assert answer.table.to_pylist()[-1]["low"] == 325.1


def test_winter_stamps_have_the_winter_offset() -> None:
    with scripted(minutes("2026-01-05 09:30:00")) as server:
        answer = client_of(server.base_url).minute_bars("AAPL", date(2026, 1, 5))
    assert answer.table["bar_at"].to_pylist() == [datetime(2026, 1, 5, 14, 30)]


def test_minute_request_asks_for_one_extended_session_as_traded() -> None:
    with scripted("[]") as server:
        client_of(server.base_url).minute_bars("AAPL", SESSION)
    asked = {"symbol": "AAPL", "from": "2026-09-01", "to": "2026-09-01"}
    assert server.asked[0].params == {**asked, "nonadjusted": "true", "extended": "true"}


def test_session_is_asked_with_the_day_before() -> None:
    with scripted(
        minutes("2026-09-01 10:00:00", "2026-08-31 10:00:00", "2026-08-28 10:00:00")
    ) as server:
        answer = client_of(server.base_url).session_bars("AAPL", SESSION)
    assert (server.asked[0].params["from"], server.asked[0].params["to"]) == (
        "2026-08-31",
        "2026-09-01",
    )
    assert (answer.table.num_rows, answer.stray) == (1, 1)


def test_plan_without_extended_hours_falls_back_and_tells() -> None:
    refused = "Premium Query Parameter: 'Special Parameters : The value set for 'extended' is not"
    with scripted(Said(refused, 402), minutes("2026-09-01 10:00:00")) as server:
        answer = client_of(server.base_url).session_bars("AAPL", SESSION)
    assert (answer.table.num_rows, "extended" in server.asked[1].params) == (1, False)
    assert "regular hours only" in (answer.note or "")


def test_daily_rows_of_other_dates_and_symbols_are_left_out() -> None:
    rows = [
        {"symbol": symbol, "date": day, "adjOpen": 1, "adjHigh": 1, "adjLow": 1, "adjClose": 1}
        for symbol, day in [("AAPL", "2026-09-01"), ("AAPL", "2026-09-02"), ("MSFT", "2026-09-01")]
    ]
    with scripted(json.dumps(rows)) as server:
        answer = client_of(server.base_url).daily_bars("AAPL", SESSION, SESSION)
    assert (answer.table["session_date"].to_pylist(), answer.stray) == ([SESSION], 2)


def test_cut_daily_answer_is_completed() -> None:
    first = date(2026, 8, 1)
    rows = [
        {"symbol": "AAPL", "date": str(first + timedelta(days=n)), "adjClose": 1} for n in range(31)
    ]
    newest, rest = rows[:20:-1], rows[20::-1]
    with (
        patch("ingest.providers.fmp.DAILY_ROWS", 10),
        scripted(
            json.dumps(newest), json.dumps(rest[:10]), json.dumps(rest[10:20]), "[]"
        ) as server,
    ):
        answer = client_of(server.base_url).daily_bars("AAPL", first, date(2026, 8, 31))
    assert server.asked[1].params["to"] == "2026-08-21"
    assert answer.table.num_rows == 30


def test_reversed_range_is_refused_here() -> None:
    with pytest.raises(ValueError, match="reversed"):
        client_of("http://127.0.0.1:1").daily_bars("AAPL", SESSION, date(2026, 8, 1))


def test_rows_of_other_dates_are_counted_and_left_out() -> None:
    with scripted(minutes("2026-09-01 10:00:00", "2026-08-31 10:00:00")) as server:
        answer = client_of(server.base_url).minute_bars("AAPL", SESSION)
    assert (answer.table.num_rows, answer.stray, answer.request.row_count) == (1, 1, 1)


def test_missing_first_bar_is_asked_from_the_day_before() -> None:
    short, whole = (
        minutes("2026-09-01 09:31:00"),
        minutes("2026-09-01 09:31:00", "2026-09-01 09:30:00", "2026-08-31 15:59:00"),
    )
    with scripted(short, whole) as server:
        answer = client_of(server.base_url).minute_bars("AAPL", SESSION)
    assert answer.table["bar_at"].to_pylist() == [
        datetime(2026, 9, 1, 13, 30),
        datetime(2026, 9, 1, 13, 31),
    ]
    assert (server.asked[1].params["from"], answer.request.attempts) == ("2026-08-31", 2)


def test_first_bar_is_not_asked_again_when_told_so() -> None:
    with scripted(minutes("2026-09-01 09:31:00")) as server:
        client_of(server.base_url).minute_bars("AAPL", SESSION, recheck_first=False)
    assert len(server.asked) == 1


def test_strings_nulls_and_nan_are_numbers_or_none() -> None:
    bars = json.loads(minutes("2026-09-01 10:00:00", "2026-09-01 10:01:00"))
    bars[0] |= {"volume": None, "open": "1.25"}
    with scripted(json.dumps(bars).replace("0.9", "NaN", 1)) as server:
        answer = client_of(server.base_url).minute_bars("AAPL", SESSION)
    first = answer.table.to_pylist()[0]
    assert (first["open"], first["volume"], first["low"]) == (1.25, None, None)


def test_daily_bars_are_the_traded_prices() -> None:
    with scripted(recorded("daily_as_traded")) as server:
        answer = client_of(server.base_url).daily_bars("AAPL", date(2020, 8, 27), date(2020, 9, 2))
    before_the_split = answer.table.to_pylist()[3]
    assert before_the_split == {
        "symbol": "AAPL",
        "session_date": date(2020, 8, 28),
        "open": 504.04,
        "high": 505.76,
        "low": 498.32,
        "close": 499.24,
        "volume": 46907500.0,
    }
    assert server.asked[0].path.endswith("/historical-price-eod/non-split-adjusted")


def test_profile_is_as_of_the_latest_opened_session() -> None:
    with scripted(recorded("profile")) as server:
        answer = client_of(server.base_url).profile("AAPL")
    row = answer.table.to_pylist()[0]
    assert (row["as_of_date"], row["exchange"]) == (date(2026, 8, 31), "NASDAQ")
    assert (row["market_cap"], row["is_etf"]) == (3800327071200.0, False)


def test_screener_asks_until_a_page_brings_nothing_new() -> None:
    with scripted(recorded("screener")) as server:
        answer = client_of(server.base_url).screener("NYSE")
    assert answer.table.num_rows == answer.request.row_count == 2
    assert [asked.params.get("page") for asked in server.asked] == [None, "1"]


def test_split_ratio_is_kept() -> None:
    with scripted(recorded("splits")) as server:
        answer = client_of(server.base_url).splits("AAPL")
    expected = ("AAPL", date(2020, 8, 31), 4.0, 1.0)
    assert tuple(answer.table.to_pylist()[0].values()) == expected


def test_quote_times_are_milliseconds_after_hours() -> None:
    with scripted(recorded("aftermarket_quote")) as server:
        answer = client_of(server.base_url).batch_aftermarket_quote(["AAPL", "MSFT"])
    row = answer.table.to_pylist()[0]
    assert (row["quoted_at"], row["bid"]) == (datetime(2026, 8, 27, 9, 6, 29), 309.91)
    assert server.asked[0].params == {"symbols": "AAPL,MSFT"}


def test_quote_times_are_seconds_in_full_quotes() -> None:
    with scripted(recorded("quote")) as server:
        answer = client_of(server.base_url).batch_quote(["AAPL"])
    assert answer.table["traded_at"].to_pylist() == [datetime(2025, 9, 22, 20, 0, 1)]


def test_closed_market_has_no_hours() -> None:
    with scripted(recorded("market_hours_sunday")) as server:
        answer = client_of(server.base_url).market_hours("NASDAQ")
    assert answer.table.to_pylist()[0] == {
        "exchange": "NASDAQ",
        "opening_hour": "CLOSED",
        "closing_hour": "CLOSED",
        "is_open": False,
    }


def test_unknown_symbol_is_an_empty_request() -> None:
    with scripted("[]") as server:
        answer = client_of(server.base_url).daily_bars("NOPE", SESSION, SESSION)
    assert (answer.request.outcome, answer.request.row_count) == ("empty", 0)


def test_key_travels_in_a_header_only() -> None:
    with scripted("[]") as server:
        client_of(server.base_url).profile("AAPL")
    assert server.asked[0].headers["apikey"] == KEY
    assert server.asked[0].params == {"symbol": "AAPL"}


@pytest.mark.parametrize("key", ["has space", "line\nend", "ümlaut"])
def test_impossible_key_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ValueError, match="FMP_API_KEY") as caught:
        client_of("http://127.0.0.1:1", key=key)
    assert key not in str(caught.value)


def test_request_line_tells_what_was_spent() -> None:
    with scripted(recorded("splits")) as server:
        client: FmpClient = client_of(server.base_url)
        answer: Answer = client.splits("AAPL")
    assert (answer.request.status, answer.request.outcome) == (200, "ok")
    assert 0 < answer.request.byte_count == client.budget.bytes_used < len(recorded("splits"))
