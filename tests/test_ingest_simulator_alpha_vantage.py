"""Alpha Vantage as the simulator plays it: its series, plans, refusals and faults."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Any

import pytest
import requests

from ingest.providers.alpha_vantage import AlphaVantageClient
from ingest.providers.errors import (
    BadAnswerError,
    LimitReachedError,
    NotInPlanError,
    ProviderError,
    SymbolNotInPlanError,
    UnreachableError,
    WrongKeyError,
)
from ingest.simulator.faults import Faults
from ingest.simulator.generated import GeneratedMarket
from tests.ingest_servers import KEY, alpha_vantage_of
from tests.simulator_client import Client, serving

MARKET = GeneratedMarket(seed=7, symbol_count=60)
RUNNER = MARKET.watchlist_grade()[0]
SESSION = date(2025, 9, 3)
AT = datetime(2025, 9, 4, 15, 0, 30)


@pytest.fixture(scope="module")
def server() -> Iterator[Client]:
    with serving(MARKET, AT, keys={KEY}) as client:
        yield client


@pytest.fixture
def ask(server: Client) -> Iterator[Callable[..., AlphaVantageClient]]:
    """Return our client, with faults on."""

    def ask(**rates: float) -> AlphaVantageClient:
        server.server.faults = Faults(seed=3, **rates)
        return alpha_vantage_of(server.server.alpha_vantage_url, clock=server.clock)

    yield ask
    server.server.faults = Faults()


def get(server: Client, function: str, **params: Any) -> Any:
    asked = {"function": function, "symbol": RUNNER, "apikey": KEY, **params}
    return requests.get(server.server.alpha_vantage_url, asked, timeout=20).json()


def minutes(server: Client, **params: Any) -> Any:
    return get(server, "TIME_SERIES_INTRADAY", interval="1min", **params)


def test_session_has_the_markets_minutes(ask: Callable[..., AlphaVantageClient]) -> None:
    table = ask().session_bars(RUNNER, SESSION).table
    bars = [tuple(row.values())[2:] for row in table.to_pylist()]
    assert bars == MARKET.minutes(RUNNER, SESSION).tolist()


def test_days_have_the_markets_daily_bars(ask: Callable[..., AlphaVantageClient]) -> None:
    table = ask().daily_bars(RUNNER, date(2025, 8, 25), SESSION).table
    bars = sorted(tuple(row.values())[1:] for row in table.to_pylist())
    assert bars == MARKET.daily(RUNNER, date(2025, 8, 25), SESSION).tolist()


def test_minutes_have_the_known_shape(server: Client) -> None:
    body = minutes(server, month="2025-09", outputsize="full")
    rows = body["Time Series (1min)"]
    assert body["Meta Data"] == {
        "1. Information": "Intraday (1min) open, high, low, close prices and volume",
        "2. Symbol": RUNNER,
        "3. Last Refreshed": next(iter(rows)),
        "4. Interval": "1min",
        "5. Output Size": "Full size",
        "6. Time Zone": "US/Eastern",
    }
    assert list(next(iter(rows.values()))) == [
        *("1. open", "2. high", "3. low", "4. close", "5. volume"),
    ]
    assert list(rows) == sorted(rows, reverse=True)


def test_body_is_indented_by_four(server: Client) -> None:
    asked = {"function": "TIME_SERIES_DAILY", "symbol": RUNNER, "apikey": KEY}
    text = requests.get(server.server.alpha_vantage_url, asked, timeout=20).text
    assert text == json.dumps(json.loads(text), indent=4)


def test_stamps_are_wall_clock_of_new_york(server: Client) -> None:
    rows = minutes(server, month="2025-03", outputsize="full", extended_hours="false")
    stamps = {stamp[:10]: stamp[11:] for stamp in rows["Time Series (1min)"]}
    assert stamps["2025-03-07"][:2] == stamps["2025-03-10"][:2] == "09"  # clocks change on 03-09


def test_compact_is_the_newest_hundred(server: Client) -> None:
    whole, compact = (
        list(minutes(server, month="2025-08", outputsize=size)["Time Series (1min)"])
        for size in ("full", "compact")
    )
    assert compact == whole[:100]


def test_sessions_come_when_they_have_ended(server: Client) -> None:
    body = minutes(server, outputsize="full")
    assert body["Meta Data"]["3. Last Refreshed"][:10] == str(SESSION)


def test_month_without_sessions_is_empty(ask: Callable[..., AlphaVantageClient]) -> None:
    answer = ask().session_bars(RUNNER, date(2025, 10, 1))
    assert (answer.table.num_rows, answer.request.outcome) == (0, "empty")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"function": "TIME_SERIES_DAILY", "symbol": "NOBODY"}, "Invalid API call"),
        ({"function": "TIME_SERIES_INTRADAY", "symbol": RUNNER}, "Invalid API call"),
        ({"function": "TIME_TRAVEL", "symbol": RUNNER}, "(TIME_TRAVEL) does not exist"),
    ],
)
def test_bad_requests_are_told(server: Client, params: dict[str, str], words: str) -> None:
    body = requests.get(server.server.alpha_vantage_url, {**params, "apikey": KEY}, timeout=20)
    assert words in body.json()["Error Message"]


def test_wrong_key_is_refused(server: Client) -> None:
    asked = alpha_vantage_of(server.server.alpha_vantage_url, key="wrong")
    with pytest.raises(WrongKeyError, match="apikey is invalid"):
        asked.session_bars(RUNNER, SESSION)


def test_free_plan_has_25_calls_a_day_and_never_shows_the_key() -> None:
    with serving(MARKET, AT, keys={KEY}, alpha_vantage_plan="free") as client:
        for second in range(25):
            client.clock.moment = AT.replace(second=second)
            assert "Meta Data" in get(client, "TIME_SERIES_DAILY")
        client.clock.moment = AT.replace(minute=5)
        assert KEY in get(client, "TIME_SERIES_DAILY")["Information"]
        with pytest.raises(LimitReachedError, match="API key as ") as caught:
            alpha_vantage_of(client.server.alpha_vantage_url).session_bars(RUNNER, SESSION)
    assert KEY not in str(caught.value)


def test_free_plan_has_one_call_a_second() -> None:
    with serving(MARKET, AT, keys={KEY}, alpha_vantage_plan="free") as client:
        bodies = [get(client, "TIME_SERIES_DAILY") for _ in range(2)]
    assert ["Meta Data" in body for body in bodies] == [True, False]
    assert "(1 request per second)" in bodies[1]["Information"]


def test_free_plan_lacks_old_daily_bars() -> None:
    with serving(MARKET, AT, keys={KEY}, alpha_vantage_plan="free") as client:
        asked = alpha_vantage_of(client.server.alpha_vantage_url, clock=client.clock)
        with pytest.raises(SymbolNotInPlanError, match="premium feature"):
            asked.daily_bars(RUNNER, date(2024, 1, 2), date(2024, 1, 5))


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("too_many_requests", LimitReachedError),
        ("payment_required", NotInPlanError),
        ("server_error", UnreachableError),
        ("cut_connection", UnreachableError),
        ("html_page", BadAnswerError),
        ("malformed_json", BadAnswerError),
        ("gzip_garbage", BadAnswerError),
        ("error_inside_200", LimitReachedError),
    ],
)
def test_each_fault_is_told_for_what_it_is(
    server: Client,
    ask: Callable[..., AlphaVantageClient],
    fault: str,
    error: type[ProviderError],
) -> None:
    ask(**{fault: 1.0})
    with pytest.raises(error) as caught:
        alpha_vantage_of(server.server.alpha_vantage_url).session_bars(RUNNER, SESSION)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("fault", ["nan", "null_volume"])
def test_a_value_that_is_none_becomes_null(
    ask: Callable[..., AlphaVantageClient], fault: str
) -> None:
    table = ask(**{fault: 1.0}).daily_bars(RUNNER, date(2025, 5, 1), SESSION).table
    assert sum(table[name].null_count for name in table.column_names) == 1
