"""Each fault of the simulated provider, switched on alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import requests

from ingest.simulator.faults import RATES, Faults, parse_faults
from ingest.simulator.generated import GeneratedMarket
from tests.simulator_client import Client, serving

MARKET = GeneratedMarket(seed=7, symbol_count=20)
RUNNER = MARKET.watchlist_grade()[0]
AT = datetime(2025, 9, 4, 15, 0)
DAY = {"symbol": RUNNER, "from": "2025-09-03", "to": "2025-09-03"}
CHART = "historical-chart/1min"


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving(MARKET, AT) as client:
        yield client


@pytest.fixture
def ask(client: Client) -> Iterator[Any]:
    """Ask for a day of minutes with one fault on."""

    def ask(**rates: float) -> requests.Response:
        client.server.faults = Faults(seed=3, **rates)
        return client.get(CHART, **DAY)

    yield ask
    client.server.faults = Faults()
    client.clock.moment = AT


def _rows(ask: Any, **rates: float) -> list[dict[str, Any]]:
    return json.loads(ask(**rates).text)


def test_no_fault_by_default(ask: Any) -> None:
    assert ask().content == ask().content
    assert all(getattr(Faults(), name) == 0 for name in RATES)


@pytest.mark.parametrize(
    ("name", "status"), [("too_many_requests", 429), ("payment_required", 402)]
)
def test_refusals_whatever_the_plan(ask: Any, name: str, status: int) -> None:
    assert ask(**{name: 1.0}).status_code == status


def test_server_errors_are_pages(ask: Any) -> None:
    answer = ask(server_error=1.0)
    assert answer.status_code in (500, 502, 503, 504)
    assert answer.text.startswith("<html>")


def test_html_page_has_status_200(ask: Any) -> None:
    answer = ask(html_page=1.0)
    assert (answer.status_code, answer.text[:14]) == (200, "<!doctype html")


def test_error_object_has_status_200(ask: Any) -> None:
    answer = ask(error_inside_200=1.0)
    assert (answer.status_code, list(answer.json())) == (200, ["Error Message"])


def test_malformed_json_cannot_be_read(ask: Any) -> None:
    with pytest.raises(json.JSONDecodeError):
        json.loads(ask(malformed_json=1.0).text)


def test_gzip_garbage_cannot_be_unpacked(ask: Any) -> None:
    with pytest.raises(requests.exceptions.ContentDecodingError):
        ask(gzip_garbage=1.0)


def test_cut_connection_loses_the_answer(ask: Any) -> None:
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        ask(cut_connection=1.0)


def test_slow_answer_times_out(client: Client) -> None:
    client.server.faults = Faults(slow=1.0, slow_seconds=1.5)
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.get(f"{client.server.base_url}/quote?symbol=A&apikey=demo", timeout=0.2)
    client.server.faults = Faults()


def test_first_bar_is_missing(ask: Any) -> None:
    assert _rows(ask, missing_first_bar=1.0) == _rows(ask)[:-1]


def test_some_rows_come_twice(ask: Any) -> None:
    rows = _rows(ask, duplicate_rows=1.0)
    assert len(rows) > len(_rows(ask))
    assert {row["date"] for row in rows} == {row["date"] for row in _rows(ask)}


def test_some_rows_are_out_of_order(ask: Any) -> None:
    rows = _rows(ask, out_of_order=1.0)
    assert rows != _rows(ask)
    assert sorted(rows, key=lambda row: row["date"], reverse=True) == _rows(ask)


def test_a_price_is_nan(ask: Any) -> None:
    values = [value for row in _rows(ask, nan=1.0) for value in row.values()]
    assert sum(value != value for value in values) == 1


def test_a_volume_is_a_fraction(ask: Any) -> None:
    volumes = [row["volume"] for row in _rows(ask, float_volume=1.0)]
    assert sum(isinstance(volume, float) for volume in volumes) == 1


def test_a_volume_is_null(ask: Any) -> None:
    volumes = [row["volume"] for row in _rows(ask, null_volume=1.0)]
    assert volumes.count(None) == 1


def test_fresh_bars_grow_for_seven_minutes(client: Client, ask: Any) -> None:
    opening = datetime(2025, 9, 3, 13, 30)
    client.clock.moment = opening + timedelta(minutes=20)
    fresh = {row["date"]: row["volume"] for row in _rows(ask, revised_bars=1.0)}
    client.clock.moment = opening + timedelta(minutes=27)
    ripe = {row["date"]: row["volume"] for row in _rows(ask, revised_bars=1.0)}
    changed = [stamp for stamp in fresh if fresh[stamp] != ripe[stamp]]
    assert {stamp[11:16] for stamp in changed} <= {f"09:{minute}" for minute in range(43, 50)}
    assert changed and all(fresh[stamp] < ripe[stamp] for stamp in changed)


def _failed(client: Client, count: int) -> list[bool]:
    statuses = [client.get("stock-list").status_code for _ in range(count)]
    return [status >= 500 for status in statuses]


def test_faults_repeat_with_the_seed_and_request_number() -> None:
    runs = []
    for seed in (1, 1, 2):
        with serving(MARKET, AT, faults=Faults(server_error=0.5, seed=seed)) as client:
            runs.append(_failed(client, 30))
    assert runs[0] == runs[1] != runs[2]


def test_rate_is_the_share_of_requests() -> None:
    hits = sum("slow" in Faults(slow=0.2, seed=5).drawn(number) for number in range(1000))
    assert 160 <= hits <= 240


@pytest.mark.parametrize(
    ("text", "message"),
    [("nonsense=1", "is unknown"), ("slow=x", "NAME=RATE"), ("slow=2", "from 0 to 1")],
)
def test_bad_fault_is_explained(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_faults([text])


def test_faults_are_read_from_text() -> None:
    faults = parse_faults(["slow=0.5", "slow_seconds=3", "nan"], seed=4)
    assert faults == Faults(slow=0.5, slow_seconds=3.0, nan=1.0, seed=4)
