"""Failures of the provider: each is one error that says what to do; what may pass is retried."""

from __future__ import annotations

import socket
import traceback

import pytest

from ingest.budget import StoppedError
from ingest.clock import SimulatedClock
from ingest.providers.errors import (
    BadAnswerError,
    LimitReachedError,
    NotInPlanError,
    ProviderError,
    SymbolNotInPlanError,
    UnreachableError,
    WrongKeyError,
)
from ingest.providers.transport import ATTEMPTS
from tests.ingest_servers import KEY, MONDAY_NOON, Said, client_of, scripted

WRONG_KEY = (
    '{\n  "Error Message": "Invalid API KEY. Feel free to create a Free API Key or visit x."\n}'
)
LIMIT = (
    '{\n  "Error Message": "Limit Reach . Please upgrade your plan or visit our documentation"\n}'
)
BANDWIDTH = '{\n  "Error Message": "Bandwidth Limit Reach . Please upgrade your plan"\n}'
RESTRICTED = "Restricted Endpoint: This endpoint is not available under your current subscription"
SPECIAL = (
    "Premium Query Parameter: 'Special Endpoint : This value set for 'symbol' is not available"
)
LEGACY = '{"Error Message": "Legacy Endpoint : Due to Legacy endpoints being no longer supported"}'
SUSPENDED = '{"Error Message": "Account suspended. Please contact info@financialmodelingprep.com"}'
HTML = "<!doctype html><html><body>We'll be back soon</body></html>"
OK = '[{"symbol": "AAPL", "date": "2020-08-31", "numerator": 4, "denominator": 1}]'


@pytest.mark.parametrize(
    ("said", "error", "calls"),
    [
        (Said(WRONG_KEY, 401), WrongKeyError, 1),
        (Said(WRONG_KEY), WrongKeyError, 1),
        (Said(SUSPENDED, 403), WrongKeyError, 1),
        (Said(RESTRICTED, 402), NotInPlanError, 1),
        (Said(LEGACY, 403), NotInPlanError, 1),
        (Said(SPECIAL, 402), SymbolNotInPlanError, 1),
        (Said("Query Error: Invalid or missing query parameter - symbol", 400), BadAnswerError, 1),
        (Said("[]", 404), BadAnswerError, 1),
        (Said('{"Error Message": "No Data for this symbol"}'), BadAnswerError, 1),
        (Said("", 302, {"Location": "http://127.0.0.1:1/"}), BadAnswerError, 1),
        (Said(BANDWIDTH, 429), LimitReachedError, 1),
        (Said(LIMIT, 429), LimitReachedError, ATTEMPTS),
        (Said(LIMIT), LimitReachedError, ATTEMPTS),
        (Said(HTML), BadAnswerError, ATTEMPTS),
        (Said(HTML, 503), UnreachableError, ATTEMPTS),
        (Said("[{"), BadAnswerError, ATTEMPTS),
        (Said(""), BadAnswerError, ATTEMPTS),
        (Said("[1, 2]"), BadAnswerError, ATTEMPTS),
        (Said("[" * 100_000), BadAnswerError, ATTEMPTS),
        (Said(OK, is_cut=True), UnreachableError, ATTEMPTS),
    ],
)
def test_failure_has_its_type_and_its_retries(
    said: Said, error: type[ProviderError], calls: int
) -> None:
    with scripted(said) as server, pytest.raises(error) as caught:
        client_of(server.base_url).splits("AAPL")
    assert type(caught.value) is error
    assert len(server.asked) == calls


@pytest.mark.parametrize(
    "passing", [Said(HTML, 502), Said(LIMIT, 429), Said("{]"), Said(OK, is_cut=True)]
)
def test_failure_that_passes_is_not_seen(passing: Said) -> None:
    with scripted(passing, OK) as server:
        answer = client_of(server.base_url).splits("AAPL")
    assert (answer.request.outcome, answer.request.attempts) == ("ok", 2)


def test_failed_request_has_a_line_for_the_ledger() -> None:
    with scripted(Said(HTML, 503)) as server, pytest.raises(UnreachableError) as caught:
        client_of(server.base_url).splits("AAPL")
    request = caught.value.request
    assert request is not None
    assert (request.outcome, request.status, request.attempts) == ("error", 503, ATTEMPTS)


def test_no_server_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(UnreachableError, match="FMP_BASE_URL"):
            client_of(url).splits("AAPL")


def test_key_that_an_answer_echoes_is_hidden() -> None:
    echo = f'{{"Error Message": "We have detected your API key as {KEY} and more"}}'
    with scripted(echo) as server, pytest.raises(BadAnswerError) as caught:
        client_of(server.base_url).splits("AAPL")
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value.request)
    assert KEY not in told
    assert "***" in told


def test_key_that_is_part_of_data_does_not_change_it() -> None:
    with scripted(OK) as server:
        answer = client_of(server.base_url, key="AAPL").splits("AAPL")
    assert answer.table["symbol"].to_pylist() == ["AAPL"]


def test_day_limit_is_not_tried_again() -> None:
    with scripted(Said(LIMIT, 429)) as server, pytest.raises(LimitReachedError):
        client_of(server.base_url, plan="free").splits("AAPL")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "40"},
        {
            "Retry-After": "Mon, 31 Aug 2026 16:00:40 GMT",
            "Date": "Mon, 31 Aug 2026 16:00:00 GMT",
        },
    ],
)
def test_asked_pause_is_kept_by_the_clock(headers: dict[str, str]) -> None:
    clock = SimulatedClock.starting(MONDAY_NOON, 1000)
    with scripted(Said(LIMIT, 429, headers), OK) as server:
        before = clock.now()
        client_of(server.base_url, clock=clock).splits("AAPL")
    assert (clock.now() - before).total_seconds() >= 40


def test_stopped_budget_ends_the_retries() -> None:
    with scripted(Said(LIMIT, 429)) as server:
        client = client_of(server.base_url)
        client.budget.stop()
        with pytest.raises(StoppedError):
            client.splits("AAPL")
    assert server.asked == []


def test_base_url_without_scheme_is_named() -> None:
    with pytest.raises(ValueError, match="FMP_BASE_URL is 'financialmodelingprep"):
        client_of("financialmodelingprep.com")
