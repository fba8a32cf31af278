"""Massive as the simulator plays it: its pages, plans, refusals and faults, asked by our client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import requests

from ingest.providers import massive as massive_provider
from ingest.providers.errors import (
    BadAnswerError,
    LimitReachedError,
    NotInPlanError,
    ProviderError,
    UnreachableError,
    WrongKeyError,
)
from ingest.providers.massive import MassiveClient
from ingest.simulator.faults import Faults
from ingest.simulator.files import FileMarket
from ingest.simulator.generated import GeneratedMarket
from tests.ingest_servers import KEY, massive_of
from tests.simulator_client import Client, serving

MARKET = GeneratedMarket(seed=7, symbol_count=60)
RUNNER = MARKET.watchlist_grade()[0]
SESSION = date(2025, 9, 3)
AT = datetime(2025, 9, 4, 15, 0, 30)
RECORDED = Path(__file__).parent / "fixtures" / "recorded" / "massive_v2_aggs_day_AAPL_mock.json"


@pytest.fixture(scope="module")
def server() -> Iterator[Client]:
    with serving(MARKET, AT, keys={KEY}) as client:
        yield client


@pytest.fixture
def ask(server: Client) -> Iterator[Callable[..., MassiveClient]]:
    """Return our client, with faults on."""

    def ask(**rates: float) -> MassiveClient:
        server.server.faults = Faults(seed=3, **rates)
        return massive_of(server.server.massive_url)

    yield ask
    server.server.faults = Faults()


def get(server: Client, path: str, **params: Any) -> requests.Response:
    """Ask a path below the aggregates of the runner."""
    url = f"{server.server.massive_url}/v2/aggs/ticker/{RUNNER}/range/1/{path}"
    headers = {"Authorization": f"Bearer {KEY}"}
    return requests.get(url, params=params, headers=headers, timeout=20)


def columns(table: pa.Table) -> list[tuple[Any, ...]]:
    names = [name for name in table.column_names if name not in ("symbol", "session_date")]
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def test_session_has_the_markets_minutes(ask: Callable[..., MassiveClient]) -> None:
    answer = ask().session_bars(RUNNER, SESSION)
    assert columns(answer.table) == MARKET.minutes(RUNNER, SESSION).tolist()
    assert answer.stray == 0


def test_days_have_the_markets_daily_bars(ask: Callable[..., MassiveClient]) -> None:
    answer = ask().daily_bars(RUNNER, date(2025, 8, 25), SESSION)
    told = [tuple(row.values())[1:] for row in answer.table.to_pylist()]
    assert told == MARKET.daily(RUNNER, date(2025, 8, 25), SESSION).tolist()


def test_pages_add_up_to_the_range(
    ask: Callable[..., MassiveClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ask().session_bars(RUNNER, SESSION)
    monkeypatch.setattr(massive_provider, "LIMIT", 100)
    paged = ask().session_bars(RUNNER, SESSION)
    assert paged.table == whole.table
    assert paged.request.attempts == -(-whole.table.num_rows // 100)


def test_newest_first_pages_go_back(server: Client) -> None:
    first = get(server, "day/2025-08-25/2025-09-03", sort="desc", limit=3).json()
    headers = {"Authorization": f"Bearer {KEY}"}
    second = requests.get(first["next_url"], headers=headers, timeout=20).json()
    whole = get(server, "day/2025-08-25/2025-09-03", sort="desc").json()
    assert first["results"] + second["results"] == whole["results"][:6]


def test_envelope_is_the_recorded_one(tmp_path: Path) -> None:
    recorded = json.loads(RECORDED.read_text())
    lines = ["symbol,date,open,high,low,close,volume"]
    for day, bar in zip(("2025-04-01", "2025-04-04"), recorded["results"], strict=True):
        lines.append(f"AAPL,{day},{bar['o']},{bar['h']},{bar['l']},{bar['c']},{bar['v']}")
    path = tmp_path / "daily.csv"
    path.write_text("\n".join(lines) + "\n")
    with serving(FileMarket(bars_1d=path), AT, keys={KEY}) as client:
        url = f"{client.server.massive_url}/v2/aggs/ticker/AAPL/range/1/day/2025-04-01/2025-04-04"
        answered = requests.get(url, {"apiKey": KEY}, timeout=20).json()
    assert json.dumps(comparable(answered)) == json.dumps(comparable(recorded))


def comparable(body: dict[str, Any]) -> dict[str, Any]:
    """Return an envelope without what a market of bars can't know; keys keep their order."""
    own = {"vw": 0, "n": 0, "t": 0}
    results = [{key: own.get(key, value) for key, value in bar.items()} for bar in body["results"]]
    return {**body, "results": results, "request_id": ""}


@pytest.mark.parametrize("ticker", ["NOBODY", RUNNER])
def test_nothing_has_no_results(server: Client, ticker: str) -> None:
    url = f"{server.server.massive_url}/v2/aggs/ticker/{ticker}/range/1/day/2025-08-30/2025-08-31"
    body = requests.get(url, {"apiKey": KEY}, timeout=20).json()
    assert list(body) == [
        *("ticker", "queryCount", "resultsCount", "adjusted", "status", "request_id"),
    ]


def test_prices_are_adjusted_unless_told_otherwise() -> None:
    split = next(s for s in MARKET.splits() if date(2025, 3, 1) < s.split_date <= SESSION)
    before = split.split_date - timedelta(days=5)
    path = f"/v2/aggs/ticker/{split.symbol}/range/1/day/{before}/{split.split_date}"
    with serving(MARKET, AT, keys={KEY}) as client:
        url = client.server.massive_url + path
        traded, adjusted = (
            requests.get(url, {"apiKey": KEY, "adjusted": text}, timeout=20).json()["results"][0]
            for text in ("false", "true")
        )
    factor = split.numerator / split.denominator
    assert traded["c"] / adjusted["c"] == pytest.approx(factor, rel=0.01)


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("day/yesterday/2025-09-03", 400, "ERROR"),
        ("day/2025-09-03/2025-09-01", 400, "ERROR"),
        (f"day/2025-09-03/{10**30}", 400, "ERROR"),
        ("week/2025-09-01/2025-09-03", 404, "NOT_FOUND"),
    ],
)
def test_bad_requests_are_told(server: Client, path: str, status: int, kind: str) -> None:
    answer = get(server, path)
    assert (answer.status_code, answer.json()["status"]) == (status, kind)


def test_wrong_key_is_refused(server: Client) -> None:
    with pytest.raises(WrongKeyError, match="Unknown API Key"):
        massive_of(server.server.massive_url, key="wrong").session_bars(RUNNER, SESSION)


def test_free_plan_has_five_calls_a_minute() -> None:
    with serving(MARKET, AT, keys={KEY}, massive_plan="basic") as client:
        asked = massive_of(client.server.massive_url)
        for _ in range(5):
            asked.session_bars(RUNNER, SESSION)
        with pytest.raises(LimitReachedError, match="exceeded the maximum requests per minute"):
            asked.session_bars(RUNNER, SESSION)


@pytest.mark.parametrize(
    ("session_date", "words"),
    [(AT.date(), "before end of day"), (date(2023, 8, 1), "data timeframe")],
)
def test_free_plan_has_neither_today_nor_long_ago(session_date: date, words: str) -> None:
    with serving(MARKET, AT, keys={KEY}, massive_plan="basic") as client:
        asked = massive_of(client.server.massive_url)
        with pytest.raises(BadAnswerError, match=words):
            asked.session_bars(RUNNER, session_date)


def test_delayed_plan_says_so_and_holds_minutes_back() -> None:
    with serving(MARKET, AT, keys={KEY}, massive_plan="starter") as client:
        body = get(client, f"minute/{AT.date()}/{AT.date()}").json()
        asked = massive_of(client.server.massive_url).session_bars(RUNNER, AT.date())
    newest = max(asked.table["bar_at"].to_pylist())
    assert (body["status"], newest <= AT - timedelta(minutes=15)) == ("DELAYED", True)


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
    ask: Callable[..., MassiveClient], fault: str, error: type[ProviderError]
) -> None:
    with pytest.raises(error) as caught:
        ask(**{fault: 1.0}).session_bars(RUNNER, SESSION)
    assert KEY not in str(caught.value)


def test_slow_answer_is_waited_for(ask: Callable[..., MassiveClient]) -> None:
    answer = ask(slow=1.0, slow_seconds=0.3).session_bars(RUNNER, SESSION)
    assert answer.request.seconds >= 0.3
    assert answer.request.outcome == "ok"


@pytest.mark.parametrize("fault", ["nan", "null_volume"])
def test_a_value_that_is_none_becomes_null(ask: Callable[..., MassiveClient], fault: str) -> None:
    table = ask(**{fault: 1.0}).session_bars(RUNNER, SESSION).table
    assert sum(table[name].null_count for name in table.column_names) == 1


def test_bars_of_other_days_are_left_out(ask: Callable[..., MassiveClient]) -> None:
    answer = ask(wrong_dates=1.0).session_bars(RUNNER, SESSION)
    assert columns(answer.table) == MARKET.minutes(RUNNER, SESSION).tolist()
    assert answer.stray > 0


def test_fresh_bars_grow(server: Client, ask: Callable[..., MassiveClient]) -> None:
    asked, day = ask(revised_bars=1.0), AT.date()
    fresh = asked.session_bars(RUNNER, day).table
    server.clock.moment = AT + timedelta(minutes=10)
    ripe = asked.session_bars(RUNNER, day).table
    server.clock.moment = AT
    grown = np.array(ripe["volume"])[: fresh.num_rows] - np.array(fresh["volume"])
    assert grown.max() > 0
    assert grown.min() == 0


def test_disagreement_is_seeded_and_rare(ask: Callable[..., MassiveClient]) -> None:
    bars = MARKET.minutes(RUNNER, SESSION)
    told = [
        np.array(ask(disagreeing_bars=0.1).session_bars(RUNNER, SESSION).table["close"])
        for _ in range(2)
    ]
    share = (told[0] != bars["close"]).mean()
    assert (told[0] == told[1]).all()
    assert 0.05 < share < 0.15
