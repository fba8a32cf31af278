"""Files of the whole world: the newest sessions in one call each, and nothing believed of them."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import pytest
import requests

from ingest import bars, plan
from ingest.clock import SimulatedClock
from ingest.providers.bulk_files import file_rows
from ingest.providers.errors import BadAnswerError
from ingest.providers.refusals import Reply
from ingest.settings import Plan
from ingest.simulator.faults import Faults
from ingest.simulator.server import SimulatedServer
from ingest.warehouse import open_warehouse
from tests.ingest_jobs import MARKET, SESSION, START, job_of, live_symbols, rows_of, want

SPLITTER, SPLIT_DATE = "FTGZ", date(2025, 7, 16)
SYMBOLS = live_symbols(8)
HEADER = '"symbol","date","open","low","high","close","adjClose","volume"\n'
BARS = (
    "select symbol, session_date, open, high, low, close, volume from raw.bars_1d "
    f"where session_date = '{SESSION}' order by symbol"
)


@pytest.fixture(autouse=True)
def few_symbols_are_worth_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "FILE_SYMBOLS", 4)


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock.starting(START, 1000)


@pytest.fixture
def server(clock: SimulatedClock) -> Iterator[SimulatedServer]:
    with SimulatedServer(MARKET, clock, plan="ultimate") as server:
        yield server


def want_session(warehouse: Path, symbols: list[str], session: date = SESSION) -> None:
    want(
        warehouse,
        "daily_requests",
        f"select symbol, date '{session}' as from_date, date '{session}' as to_date "
        f"from (select unnest({symbols!r}) as symbol) where symbol not in (select symbol "
        "from raw.fetch_log where endpoint = 'bars_1d' and outcome in ('ok', 'empty') "
        f"and to_date >= date '{session}')",
    )


def buy(
    server: SimulatedServer,
    clock: SimulatedClock,
    folder: Path,
    symbols: list[str],
    plan_name: Plan = "ultimate",
) -> tuple[list[str], list[tuple[object, ...]]]:
    """Return the paths asked for and the session's rows."""
    job = job_of(server, clock, folder, plan=plan_name)
    want_session(job.warehouse, symbols)
    before = len(server.requests)
    bars.run_daily(job)
    paths = [asked.path.removeprefix("/stable/") for asked in list(server.requests)[before:]]
    return paths, rows_of(job.warehouse, BARS)


def test_one_file_a_session_brings_what_calls_would(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    paths, rows = buy(server, clock, tmp_path / "files", SYMBOLS)
    _, by_symbol = buy(server, clock, tmp_path / "calls", SYMBOLS, "premium")
    assert paths == ["eod-bulk", "eod-bulk"]  # the session before it comes along, as revised
    assert rows == by_symbol


def test_few_symbols_are_called_one_by_one(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    paths, rows = buy(server, clock, tmp_path, SYMBOLS[:3])
    assert paths == ["historical-price-eod/non-split-adjusted"] * 3
    assert len(rows) == 3


def test_symbol_that_the_file_lacks_is_asked_for_alone(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    buy(server, clock, tmp_path, [*SYMBOLS, "NOSUCH"])
    assert server.requests[-1].params["symbol"] == "NOSUCH"
    ledger = "select symbol, outcome, attempts from raw.fetch_log where symbol = 'NOSUCH'"
    assert rows_of(tmp_path / "warehouse.duckdb", ledger) == [("NOSUCH", "empty", 1)]


def test_calls_are_counted_once_in_the_ledger(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    buy(server, clock, tmp_path, SYMBOLS)
    spent = "select endpoint, sum(attempts), count(distinct symbol) from raw.fetch_log group by all"
    assert sorted(rows_of(tmp_path / "warehouse.duckdb", spent)) == [
        ("bars_1d", 0, len(SYMBOLS)),
        ("eod_bulk", 2, 0),
    ]


def test_symbol_that_split_since_is_bought_as_traded(tmp_path: Path) -> None:
    clock = SimulatedClock.starting(datetime(2025, 7, 17, 12, 30), 1000)
    with SimulatedServer(MARKET, clock, plan="ultimate") as server:
        job = job_of(server, clock, tmp_path)
        with open_warehouse(job.warehouse) as connection:
            connection.execute(
                f"insert into raw.splits values ('{SPLITTER}', '{SPLIT_DATE}', 1, 5, 'fmp', now())"
            )
        want_session(job.warehouse, [SPLITTER, *SYMBOLS], SPLIT_DATE)
        bars.run_daily(job)
    alone = [asked.params["symbol"] for asked in server.requests if "symbol" in asked.params]
    assert alone == [SPLITTER]


def test_throttled_file_is_waited_for(tmp_path: Path) -> None:
    clock = SimulatedClock.starting(START, 5)
    with SimulatedServer(MARKET, clock, plan="ultimate") as server:
        url = f"{server.base_url}/eod-bulk?date={SESSION}&apikey=demo"
        job = job_of(server, clock, tmp_path)
        want_session(job.warehouse, SYMBOLS)
        client = job.client()
        requests.get(url, timeout=20)
        answer = client.daily_file(SESSION, SYMBOLS)
    assert (answer.request.attempts, len(answer.parts)) == (2, len(SYMBOLS))


def test_refused_file_falls_back_and_is_remembered(clock: SimulatedClock, tmp_path: Path) -> None:
    with SimulatedServer(MARKET, clock, plan="premium") as server:
        first, rows = buy(server, clock, tmp_path, SYMBOLS)
        second, _ = buy(server, clock, tmp_path, live_symbols(16)[8:])
    assert (first.count("eod-bulk"), second.count("eod-bulk")) == (1, 0)
    assert len(rows) == len(SYMBOLS)


@pytest.mark.parametrize("fault", ["html_page", "server_error", "gzip_garbage", "malformed_json"])
def test_spoiled_file_loses_no_row(clock: SimulatedClock, tmp_path: Path, fault: str) -> None:
    faults = Faults(seed=1, **{fault: 0.5})
    with SimulatedServer(MARKET, clock, plan="ultimate", faults=faults) as server:
        _, rows = buy(server, clock, tmp_path, SYMBOLS)
    assert len(rows) == len(SYMBOLS)


def csv_rows(text: str, *symbols: str, pieces: int = 7) -> object:
    body = gzip.compress(text.encode())
    chunks = (body[start : start + pieces] for start in range(0, len(body), pieces))
    return file_rows(Reply(200, {"Content-Encoding": "gzip"}, b""), chunks, set(symbols))


def test_wanted_rows_are_read_as_texts() -> None:
    text = HEADER + '"A","2025-08-29",1.8646e-8,1,2,1,1,475.9\n"B","2025-08-29",1,1,1,1,1,\n'
    rows = csv_rows(text, "A")
    assert isinstance(rows, list)
    assert [(row["symbol"], row["open"], row["volume"]) for row in rows] == [
        ("A", "1.8646e-8", "475.9")
    ]


def test_quoted_commas_and_line_ends_stay_in_their_field() -> None:
    text = '"symbol","description"\n"A","one, ""two""\nthree"\n"B","x"\n'
    assert csv_rows(text, "A", "B") == [
        {"symbol": "A", "description": 'one, "two"\nthree'},
        {"symbol": "B", "description": "x"},
    ]


def test_row_that_breaks_off_is_left_out() -> None:
    text = '"symbol","volume"\n"A",10\n"B",12'  # of 12345, as far as anybody knows
    assert csv_rows(text, "A", "B") == [{"symbol": "A", "volume": "10"}]


def test_packed_file_that_breaks_off_is_garbage() -> None:
    body = gzip.compress((HEADER + '"A","2025-08-29",1,1,1,1,1,1\n' * 99).encode())
    reply = Reply(200, {"Content-Encoding": "gzip"}, b"")
    with pytest.raises(BadAnswerError, match="breaks off"):
        file_rows(reply, [body[:-20]], {"A"})


def test_what_is_no_csv_comes_back_whole() -> None:
    answer = csv_rows('{\n  "Error Message": "Limit Reach. This is a bulk endpoint"\n}')
    assert isinstance(answer, Reply)
    assert answer.unpacked().endswith(b'endpoint"\n}')
