"""What the simulated provider answers, held against answers of the real one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from ingest.simulator import wire
from ingest.simulator.files import FileMarket
from ingest.simulator.generated import GeneratedMarket
from tests.simulator_client import RECORDED, Client, serving

IN_SESSION = datetime(2025, 9, 4, 15, 0, 30)

PATHS = {
    "profile": {"symbol": "RUNNER"},
    "quote": {"symbol": "RUNNER"},
    "batch-quote-short": {"symbols": "RUNNER"},
    "aftermarket-quote": {"symbol": "RUNNER"},
    "aftermarket-trade": {"symbol": "RUNNER"},
    "company-screener": {},
    "actively-trading-list": {},
    "stock-list": {},
    "delisted-companies": {},
    "symbol-change": {},
    "splits": {"symbol": "SPLITTER"},
    "historical-price-eod/full": {"symbol": "RUNNER"},
    "historical-price-eod/light": {"symbol": "RUNNER"},
    "historical-price-eod/non-split-adjusted": {"symbol": "RUNNER"},
    "historical-chart/1min": {"symbol": "RUNNER"},
    "exchange-market-hours": {"exchange": "NASDAQ"},
}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving(GeneratedMarket(seed=7, symbol_count=60), IN_SESSION) as client:
        yield client


def _ask(client: Client, path: str, params: dict[str, str]) -> bytes:
    market = client.server.service.market
    names = {
        "RUNNER": market.watchlist_grade()[0],
        "SPLITTER": market.splits()[0].symbol,
    }
    return client.get(path, **{key: names.get(v, v) for key, v in params.items()}).content


def _recorded(path: str) -> bytes:
    name = path.replace("historical-price-eod/", "eod-").replace("historical-chart/", "")
    return (RECORDED / f"{name}.json").read_bytes()


def _types(row: dict[str, object]) -> dict[str, str]:
    """Return each field's JSON type; an integer is a number like any other."""
    kinds = {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null"}
    return {key: kinds[type(value)] for key, value in row.items()}


@pytest.mark.parametrize("path", PATHS)
def test_fields_come_in_the_recorded_order(client: Client, path: str) -> None:
    answered = json.loads(_ask(client, path, PATHS[path]))
    assert list(answered[0]) == list(json.loads(_recorded(path))[0])


@pytest.mark.parametrize("path", PATHS)
def test_fields_have_the_recorded_types(client: Client, path: str) -> None:
    told = _types(json.loads(_ask(client, path, PATHS[path]))[0])
    known = _types(json.loads(_recorded(path))[0])
    assert {key: kind for key, kind in told.items() if kind not in ("null", known[key])} == {}


@pytest.mark.parametrize("path", PATHS)
def test_bodies_are_printed_as_recorded(client: Client, path: str) -> None:
    body = _ask(client, path, PATHS[path])
    assert body == json.dumps(json.loads(body), indent=2, ensure_ascii=False).encode()


@pytest.mark.parametrize("name", sorted(path.name for path in RECORDED.glob("*.json")))
def test_recorded_bodies_survive_the_writer(name: str) -> None:
    body = (RECORDED / name).read_bytes()
    assert wire.to_json(json.loads(body)) == body


@pytest.mark.parametrize(
    ("value", "printed"),
    [(310.0, "310"), (0.36082, "0.36082"), (1.8646e-8, "1.8646e-8"), (0.00001, "0.00001")],
)
def test_numbers_print_as_javascript_does(value: float, printed: str) -> None:
    assert wire.number(value) == printed


def _aapl(tmp_path: Path, days: list[dict[str, object]]) -> FileMarket:
    lines = ["symbol,date,open,high,low,close,volume"]
    for day in days:
        values = (day[key] for key in ("date", "open", "high", "low", "close", "volume"))
        lines.append(",".join(["AAPL", *map(str, values)]))
    path = tmp_path / "daily.csv"
    path.write_text("\n".join(lines) + "\n")
    return FileMarket(bars_1d=path)


def test_daily_bars_equal_the_recorded_body(tmp_path: Path) -> None:
    recorded = (RECORDED / "eod-full.json").read_bytes()
    market = _aapl(tmp_path, json.loads(recorded))
    with serving(market, datetime(2020, 9, 3, 12)) as client:
        answered = client.get("historical-price-eod/full", symbol="AAPL", from_="2020-08-27")
    assert answered.content == recorded


def test_minute_bars_equal_the_recorded_body(tmp_path: Path) -> None:
    recorded = (RECORDED / "1min.json").read_bytes()
    lines = ["symbol,bar_at,open,high,low,close,volume"]
    for row in json.loads(recorded):
        at = f"2026-08-26 19:{row['date'][14:16]}:00"
        values = (row[key] for key in ("open", "high", "low", "close", "volume"))
        lines.append(",".join(["AAPL", at, *map(str, values)]))
    path = tmp_path / "minutes.csv"
    path.write_text("\n".join(lines) + "\n")
    with serving(FileMarket(bars_1m=path), datetime(2026, 8, 27, 2)) as client:
        answered = client.get("historical-chart/1min", symbol="AAPL", from_="2026-08-26")
    assert answered.content == recorded


def test_holidays_equal_the_recorded_rows(client: Client) -> None:
    recorded = json.loads((RECORDED / "holidays-by-exchange.json").read_bytes())
    rows = client.get(
        "holidays-by-exchange", exchange="nasdaq", from_="2026-07-02", to="2026-12-24"
    ).json()
    assert [row for row in rows if row["date"] in ("2026-12-24", "2026-07-03")] == [
        recorded[1],
        recorded[0],
    ]


def test_headers_are_the_recorded_ones(client: Client) -> None:
    headers = client.get("quote", symbol="AAPL").headers
    assert headers["ETag"].startswith('W/"2-')
    assert {
        "Content-Encoding": "gzip",
        "Content-Type": "application/json; charset=utf-8",
        "Server": "nginx/1.18.0 (Ubuntu)",
        "Transfer-Encoding": "chunked",
        "X-Powered-By": "Express",
    }.items() <= dict(headers).items()
