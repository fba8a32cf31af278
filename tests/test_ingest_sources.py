"""Massive and Alpha Vantage: the same raw tables, their refusals, comparing and filling gaps."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from ingest import compare, gaps, jobs
from ingest.clock import SimulatedClock
from ingest.providers.errors import (
    BadAnswerError,
    LimitReachedError,
    NotInPlanError,
    ProviderError,
    WrongKeyError,
)
from ingest.warehouse import open_warehouse
from tests.ingest_jobs import rows_of
from tests.ingest_servers import (
    KEY,
    LIMITS,
    MONDAY_NOON,
    Said,
    alpha_vantage_of,
    massive_of,
    scripted,
)

SESSION = date(2026, 8, 28)


def aggregates(*bars: tuple[str, float], **more: Any) -> str:
    results = [
        {
            "v": 100.5,
            "vw": close,
            "o": close,
            "c": close,
            "h": close + 0.1,
            "l": close - 0.1,
            "t": int(datetime.fromisoformat(f"{at}+00:00").timestamp() * 1000),
            "n": 3,
        }
        for at, close in bars
    ]
    body = {"ticker": "BRK.B", "adjusted": False, "status": "OK", "results": results}
    return json.dumps(body | more)


def series(**minutes: str) -> str:
    """Return Alpha Vantage's answer of a month: stamp to close, newest first."""
    names = ("1. open", "2. high", "3. low", "4. close")
    rows = {
        f"2026-08-{stamp[1:3]} {stamp[3:5]}:{stamp[5:]}:00": {
            **dict.fromkeys(names, close),
            "5. volume": "6247",
        }
        for stamp, close in minutes.items()
    }
    return json.dumps({"Meta Data": {"6. Time Zone": "US/Eastern"}, "Time Series (1min)": rows})


def test_massive_minutes_are_rows_of_the_session() -> None:
    body = aggregates(
        ("2026-08-28T13:30", 5.0), ("2026-08-28T23:59", 5.5), ("2026-08-29T00:00", 9.0)
    )
    with scripted(body) as server:
        answer = massive_of(server.base_url).session_bars("BRK-B", SESSION)
    assert answer.table.select(["symbol", "session_date", "bar_at", "close", "volume"]).to_pylist()[
        0
    ] == {
        "symbol": "BRK-B",
        "session_date": SESSION,
        "bar_at": datetime(2026, 8, 28, 13, 30),
        "close": 5.0,
        "volume": 100.5,
    }
    assert (answer.table.num_rows, answer.stray) == (2, 1)


def test_massive_is_asked_as_traded_with_its_own_spelling() -> None:
    with scripted(aggregates()) as server:
        massive_of(server.base_url).session_bars("BRK-B", SESSION)
    asked = server.asked[0]
    assert asked.path.endswith("/v2/aggs/ticker/BRK.B/range/1/minute/2026-08-28/2026-08-28")
    assert (asked.params["adjusted"], asked.headers["Authorization"]) == ("false", f"Bearer {KEY}")


def test_massive_daily_bars_have_the_date_of_new_york() -> None:
    with scripted(aggregates(("2026-08-28T04:00", 5.0))) as server:
        answer = massive_of(server.base_url).daily_bars("AAPL", SESSION, SESSION)
    assert answer.table["session_date"].to_pylist() == [SESSION]


def test_massive_pages_are_all_asked() -> None:
    following = "https://api.massive.com/v2/aggs/ticker/X/range/1/minute/1/2?cursor=abc"
    first = aggregates(("2026-08-28T13:30", 5.0), next_url=following)
    with scripted(first, aggregates(("2026-08-28T13:31", 5.1))) as server:
        answer = massive_of(server.base_url).session_bars("AAPL", SESSION)
    assert (answer.table.num_rows, server.asked[1].params) == (
        2,
        {"adjusted": "false", "cursor": "abc"},
    )


def test_massive_pages_without_end_are_refused() -> None:
    body = aggregates(("2026-08-28T13:30", 5.0), next_url="https://api.massive.com/v2/x?cursor=a")
    with scripted(body) as server, pytest.raises(BadAnswerError, match="no end") as caught:
        massive_of(server.base_url).session_bars("AAPL", SESSION)
    assert caught.value.request is not None
    assert caught.value.request.outcome == "error"


def test_massive_answer_that_is_adjusted_is_refused() -> None:
    body = aggregates(("2026-08-28T13:30", 5.0), adjusted=True)
    with scripted(body) as server, pytest.raises(BadAnswerError):
        massive_of(server.base_url).session_bars("AAPL", SESSION)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (Said('{"status":"ERROR","error":"Unknown API Key"}', 401), WrongKeyError),
        (Said('{"status":"NOT_AUTHORIZED","message":"not entitled"}', 403), NotInPlanError),
        (
            Said('{"status":"ERROR","error":"exceeded the maximum requests"}', 429),
            LimitReachedError,
        ),
        (Said('{"status":"NOT_FOUND"}', 404), BadAnswerError),
    ],
)
def test_massive_failures_are_told_apart(said: Said, error: type[ProviderError]) -> None:
    with scripted(said) as server, pytest.raises(error):
        massive_of(server.base_url).session_bars("AAPL", SESSION)


def test_alpha_vantage_minutes_are_rows_of_the_session() -> None:
    with scripted(series(m281600="5.5", m280930="5.25", m271000="4.0")) as server:
        answer = alpha_vantage_of(server.base_url).session_bars("IBM", SESSION)
    bars = answer.table.select(["bar_at", "close", "volume"]).to_pylist()
    assert bars == [
        {"bar_at": datetime(2026, 8, 28, 13, 30), "close": 5.25, "volume": 6247.0},
        {"bar_at": datetime(2026, 8, 28, 20, 0), "close": 5.5, "volume": 6247.0},
    ]


def test_alpha_vantage_month_is_bought_once() -> None:
    with scripted(series(m280930="5.25", m270930="5.0")) as server:
        client = alpha_vantage_of(server.base_url)
        answers = [client.session_bars("IBM", date(2026, 8, day)) for day in (27, 28)]
    assert [answer.request.attempts for answer in answers] == [1, 0]
    assert (server.asked[0].params["month"], server.asked[0].params["adjusted"]) == (
        "2026-08",
        "false",
    )


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (f"We have detected your API key as {KEY} and our API rate limit is 25", LimitReachedError),
        ("Thank you for using Alpha Vantage! This is a premium endpoint.", NotInPlanError),
        ("Please consider spreading out your free API requests more sparingly", LimitReachedError),
    ],
)
def test_alpha_vantage_errors_inside_a_200_never_show_the_key(
    words: str, error: type[ProviderError]
) -> None:
    with scripted(json.dumps({"Information": words})) as server, pytest.raises(error) as caught:
        alpha_vantage_of(server.base_url).session_bars("IBM", SESSION)
    assert KEY not in str(caught.value)
    assert KEY not in str(caught.value.request)


def land_bars(warehouse: Path, provider: str, closes: dict[str, float]) -> None:
    values = ", ".join(
        f"('AAA', date '{SESSION}', timestamp '{SESSION} {at}', {c}, {c}, {c}, {c}, 100, "
        f"'{provider}', timestamp '{SESSION}')"
        for at, c in closes.items()
    )
    with open_warehouse(warehouse) as connection:
        connection.execute(f"insert into raw.bars_1m values {values}")


def test_comparison_counts_what_differs(tmp_path: Path) -> None:
    warehouse = tmp_path / "w.duckdb"
    land_bars(warehouse, "fmp", {"14:00": 5.0, "14:01": 5.0, "14:02": 5.0})
    land_bars(warehouse, "massive", {"14:00": 5.0, "14:01": 5.5, "14:03": 5.0})
    with open_warehouse(warehouse) as connection:
        found = compare.compare_bars(connection, "bars_1m", "fmp", "massive")
    counts = (found.in_both, found.only_one, found.only_other, found.prices_differ)
    assert counts == (2, 1, 1, 1)
    assert found.worst[0][:4] == ("AAA", datetime(2026, 8, 28, 14, 1), 5.0, 5.5)


def gap_job(tmp_path: Path, base_url: str) -> jobs.Job:
    return jobs.Job(
        data_dir=tmp_path,
        warehouse=tmp_path / "w.duckdb",
        clock=SimulatedClock.starting(MONDAY_NOON, 10_000),
        plan="premium",
        make_client=lambda budget: pytest.fail("FMP was asked"),
        source=jobs.Source("massive", LIMITS, 2, lambda budget: massive_of(base_url)),
    )


def test_gap_is_filled_and_marked_by_provider(tmp_path: Path) -> None:
    land_bars(tmp_path / "w.duckdb", "fmp", {"14:00": 5.0})
    with open_warehouse(tmp_path / "w.duckdb") as connection:
        connection.execute(
            "insert into raw.fetch_log (request_id, requested_at, endpoint, symbol, from_date, "
            "to_date, outcome, provider, landed_at) select outcome, timestamp '2026-08-29', "
            f"'bars_1m', symbol, date '{SESSION}', date '{SESSION}', outcome, 'fmp', "
            "timestamp '2026-08-29' from (values ('AAA', 'ok'), ('BBB', 'empty')) "
            "as asked (symbol, outcome)"
        )
    with scripted(aggregates(("2026-08-28T13:30", 7.0))) as server:
        gaps.run_fill(gap_job(tmp_path, server.base_url))
        gaps.run_fill(gap_job(tmp_path, server.base_url))
    bars = "select symbol, close, provider from raw.bars_1m order by symbol"
    assert rows_of(tmp_path / "w.duckdb", bars) == [("AAA", 5.0, "fmp"), ("BBB", 7.0, "massive")]
    assert len(server.asked) == 1


def test_chosen_sessions_are_bought_to_compare(tmp_path: Path) -> None:
    minutes, days = aggregates(("2026-08-28T13:30", 7.0)), aggregates(("2026-08-28T04:00", 7.0))
    with scripted(minutes, days) as server:
        gaps.run_fill(gap_job(tmp_path, server.base_url), ["AAA"], [SESSION])
    tables = "select (select count(*) from raw.bars_1m), (select count(*) from raw.bars_1d)"
    assert rows_of(tmp_path / "w.duckdb", tables) == [(1, 1)]
