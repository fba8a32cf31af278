"""Keys, plans, limits and refusals of the simulated provider."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import requests

from ingest.simulator.generated import GeneratedMarket
from ingest.simulator.plans import PLANS
from tests.simulator_client import Client, serving

AT = datetime(2025, 9, 4, 15, 0, 30)
MARKET = GeneratedMarket(seed=7, symbol_count=60)
RUNNER = MARKET.watchlist_grade()[0]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving(MARKET, AT) as client:
        yield client


def _error(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, json.loads(answer.text)["Error Message"]


def _text(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.text


INVALID_KEY = (
    401,
    '{\n  "Error Message": "Invalid API KEY. Feel free to create a Free API Key or visit '
    "https://site.financialmodelingprep.com/faqs?search=why-is-my-api-key-invalid for more "
    'information."\n}',
)


@pytest.mark.parametrize("query", ["?symbol=A", "?symbol=A&apikey=wrong"])
def test_wrong_key_is_refused(client: Client, query: str) -> None:
    assert _text(requests.get(f"{client.server.base_url}/quote{query}", timeout=5)) == INVALID_KEY


def test_key_may_be_in_the_query(client: Client) -> None:
    answer = requests.get(f"{client.server.base_url}/quote?symbol=A&apikey=demo", timeout=5)
    assert _text(answer) == (200, "[]")


@pytest.mark.parametrize("path", ["nonsense", "historical-chart/1day", "quote/AAPL", "../quote"])
def test_unknown_path_is_404_with_an_array(client: Client, path: str) -> None:
    assert _text(client.get(path)) == (404, "[]")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("quote", "symbol"),
        ("batch-quote", "symbols"),
        ("historical-chart/1min", "symbol"),
        ("exchange-market-hours", "exchange"),
        ("eod-bulk", "date"),
        ("profile-bulk", "part"),
    ],
)
def test_missing_parameter_is_named(client: Client, path: str, name: str) -> None:
    answer = client.get(path)
    assert _text(answer) == (400, f"Query Error: Invalid or missing query parameter - {name}")
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


def test_unknown_parameter_is_ignored(client: Client) -> None:
    plain, odd = client.get("quote", symbol=RUNNER), client.get("quote", symbol=RUNNER, bogus=1)
    assert plain.content == odd.content


@pytest.mark.parametrize("symbol", ["ZZZZZ", f"{RUNNER},{RUNNER}", "BRK.B"])
def test_what_is_no_symbol_has_no_rows(client: Client, symbol: str) -> None:
    assert _text(client.get("quote", symbol=symbol)) == (200, "[]")


def test_class_shares_have_a_hyphen(client: Client) -> None:
    symbol = next(symbol for symbol in MARKET.symbols() if "-" in symbol)
    assert [row["symbol"] for row in client.get("quote", symbol=symbol).json()] == [symbol]


def test_batch_drops_unknown_and_repeats_repeated(client: Client) -> None:
    rows = client.get("batch-quote", symbols=f"{RUNNER},ZZZZZ,{RUNNER}").json()
    assert [row["symbol"] for row in rows] == [RUNNER, RUNNER]


def test_unknown_exchange_is_refused_in_words(client: Client) -> None:
    answer = client.get("exchange-market-hours", exchange="NASDAQ,NYSE")
    assert _text(answer) == (400, "Invalid Exchange Provided.")


@pytest.mark.parametrize(
    ("plan", "path", "is_open"),
    [
        ("free", "historical-price-eod/full", True),
        ("free", "company-screener", False),
        ("starter", "company-screener", True),
        ("starter", "historical-chart/1min", False),
        ("starter", "batch-quote", False),
        ("premium", "historical-chart/1min", True),
        ("premium", "eod-bulk", False),
        ("ultimate", "profile-bulk", True),
    ],
)
def test_plan_decides_which_paths_are_open(plan: str, path: str, is_open: bool) -> None:
    largest = max(MARKET.symbols(), key=lambda s: MARKET.market_cap(s, AT.date(), 100.0) or 0)
    with serving(MARKET, AT, plan=plan) as client:
        params = {"symbol": largest, "symbols": largest, "date": "2025-09-03", "part": "0"}
        assert (client.get(path, **params).status_code == 200) is is_open


def test_path_out_of_plan_is_402_in_words() -> None:
    with serving(MARKET, AT, plan="free") as client:
        assert _text(client.get("company-screener")) == (
            402,
            "Restricted Endpoint: This endpoint is not available under your current subscription "
            "please visit our subscription page to upgrade your plan at "
            "https://financialmodelingprep.com/",
        )


def test_free_plan_has_large_companies_only() -> None:
    plan = replace(PLANS["free"], symbol_count=5)
    with serving(MARKET, AT, plan=plan) as client:
        status, body = _text(client.get("quote", symbol=RUNNER))
    assert (status, body[:54]) == (402, "Premium Query Parameter: 'Special Endpoint : This valu")


LIMIT = (
    429,
    "Limit Reach . Please upgrade your plan or visit our documentation for more details at "
    "https://site.financialmodelingprep.com/",
)


def test_minute_limit_counts_by_the_markets_clock() -> None:
    plan = replace(PLANS["premium"], per_minute=3)
    with serving(MARKET, AT, plan=plan) as client:
        statuses = [client.get("stock-list").status_code for _ in range(4)]
        refused = _error(client.get("stock-list"))
        client.clock.moment += timedelta(minutes=1)
        assert [*statuses, client.get("stock-list").status_code] == [200, 200, 200, 429, 200]
    assert refused == LIMIT


def test_day_limit_holds_until_tomorrow() -> None:
    plan = replace(PLANS["free"], per_day=2)
    with serving(MARKET, AT, plan=plan) as client:
        statuses = [client.get("splits-calendar").status_code for _ in range(3)]
        client.clock.moment += timedelta(hours=1)
        statuses.append(client.get("splits-calendar").status_code)
        client.clock.moment += timedelta(days=1)
        statuses.append(client.get("splits-calendar").status_code)
    assert statuses == [200, 200, 429, 429, 200]


def test_bandwidth_comes_back_after_thirty_days() -> None:
    plan = replace(PLANS["ultimate"], bandwidth=100)
    with serving(MARKET, AT, plan=plan) as client:
        first = client.get("stock-list").status_code
        refused = _error(client.get("stock-list"))
        client.clock.moment += timedelta(days=30)
        assert (first, client.get("stock-list").status_code) == (200, 200)
    assert refused == (429, f"Bandwidth {LIMIT[1]}")


def test_second_bulk_call_is_an_error_with_status_200() -> None:
    with serving(MARKET, AT) as client:
        first = client.get("eod-bulk", date="2025-09-03")
        status, message = _error(client.get("eod-bulk", date="2025-09-03"))
        client.clock.moment += timedelta(seconds=30)
        assert client.get("eod-bulk", date="2025-09-03").content == first.content
    assert status == 200
    assert "frequent abuse on this API Endpoint may result in restrictions" in message


def test_bulk_file_is_csv_with_the_recorded_header() -> None:
    with serving(MARKET, AT) as client:
        lines = client.get("eod-bulk", date="2025-09-03").text.splitlines()
    assert lines[0] == '"symbol","date","open","low","high","close","adjClose","volume"'
    assert lines[1].startswith('"') and lines[1].split(",")[1] == '"2025-09-03"'


def test_screener_bounds_are_inclusive(client: Client) -> None:
    price = client.get("quote-short", symbol=RUNNER).json()[0]["price"]
    bounds = {"priceMoreThan": price, "priceLowerThan": price}
    assert RUNNER in [row["symbol"] for row in client.get("company-screener", **bounds).json()]


def test_screener_pages_are_the_whole_in_pieces(client: Client) -> None:
    asked = {"exchange": "NASDAQ", "isEtf": "false"}
    whole = client.get("company-screener", **asked).json()
    pages = [client.get("company-screener", **asked, limit=9, page=p).json() for p in range(6)]
    assert [row for page in pages for row in page] == whole
    assert whole == sorted(whole, key=lambda row: -(row["marketCap"] or 0))


def test_screener_keeps_to_every_filter(client: Client) -> None:
    asked = {"marketCapMoreThan": 2e7, "marketCapLowerThan": 1.5e9, "priceLowerThan": 15}
    rows = client.get("company-screener", **asked, country="US", isEtf="false").json()
    assert rows
    assert all(
        2e7 <= row["marketCap"] <= 1.5e9 and row["price"] <= 15 and row["country"] == "US"
        for row in rows
    )


def test_requests_are_recorded_without_the_key() -> None:
    with serving(MARKET, AT) as client:
        requests.get(f"{client.server.base_url}/quote?symbol=A&apikey=demo", timeout=5)
        record = client.server.requests[-1]
    assert (record.path, record.params, record.status) == ("/stable/quote", {"symbol": "A"}, 200)


def test_clock_outside_the_markets_life_is_refused() -> None:
    with (
        pytest.raises(ValueError, match="lives from 2014-01-01"),
        serving(MARKET, datetime(1999, 1, 4)),
    ):
        pass
