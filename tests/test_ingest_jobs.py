"""The jobs on the simulated market: what lands, what is bought again, what stops them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from ingest import bars, jobs, reference, splits
from ingest.budget import BudgetSpentError, CallBudget, Spent
from ingest.clock import SimulatedClock
from ingest.providers import transport
from ingest.providers.errors import UnreachableError, WrongKeyError
from ingest.simulator.faults import Faults
from ingest.simulator.plans import find_plan
from ingest.simulator.server import SimulatedServer
from ingest.warehouse import Landing
from tests.ingest_jobs import (
    MARKET,
    SESSION,
    START,
    job_of,
    live_symbols,
    rows_of,
    want_daily,
    want_minute,
)


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock.starting(START, 60)


@pytest.fixture
def server(clock: SimulatedClock) -> Iterator[SimulatedServer]:
    with SimulatedServer(MARKET, clock, plan="ultimate") as server:
        yield server


def test_universe_without_files_is_the_screener(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    job = job_of(server, clock, tmp_path)
    reference.run_universe(job)
    assert rows_of(
        job.warehouse, "select count(*) > 50, any_value(provider) from raw.universe"
    ) == [(True, "fmp")]
    assert "the universe is the provider's screener" in job.summary.notes[0]


def test_profiles_that_the_universe_bought_are_not_bought_again(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    reference.run_universe(job_of(server, clock, tmp_path))
    again = job_of(server, clock, tmp_path)
    reference.run_profiles(again)
    assert sum(asked.path.endswith("screener") for asked in server.requests) == 6
    assert rows_of(again.warehouse, "select distinct as_of_date from raw.profiles") == [(SESSION,)]


def test_universe_files_need_no_provider(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    (tmp_path / "NYSE.txt").write_text("Symbol\tDescription\nBRK.B\tBerkshire\n")
    (tmp_path / "notes.txt").write_text("call mother\n")
    job = job_of(server, clock, tmp_path, key="wrong")
    reference.run_universe(job)
    expected = [("BRK-B", "NYSE", "eoddata")]
    assert rows_of(job.warehouse, "select symbol, exchange, provider from raw.universe") == expected
    assert any("notes.txt" in note for note in job.summary.notes)


def test_plan_without_screener_buys_profiles_by_symbol(
    clock: SimulatedClock, tmp_path: Path
) -> None:
    symbols = live_symbols(2)
    lines = "".join(f"{symbol}\tName\n" for symbol in symbols)
    (tmp_path / "NYSE.txt").write_text(f"Symbol\tDescription\n{lines}")
    plan = replace(find_plan("free"), symbol_count=None)
    with SimulatedServer(MARKET, clock, plan=plan) as server:
        job = job_of(server, clock, tmp_path, plan="free")
        reference.run_universe(job)
        reference.run_profiles(job)
    bought = rows_of(job.warehouse, "select symbol from raw.profiles order by symbol")
    assert [symbol for (symbol,) in bought] == sorted(symbols)
    assert any("symbol by symbol" in note for note in job.summary.notes)


def test_daily_bars_land_with_their_ledger(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    job = job_of(server, clock, tmp_path)
    symbol = live_symbols(1)[0]
    want_daily(job.warehouse, symbol)
    bars.run_daily(job)
    assert rows_of(job.warehouse, "select count(*) from raw.bars_1d") == [(5,)]
    assert rows_of(
        job.warehouse,
        "select endpoint, symbol, from_date, to_date, status, outcome, row_count, attempts "
        "from raw.fetch_log",
    ) == [("bars_1d", symbol, date(2025, 8, 25), SESSION, 200, "ok", 5, 1)]


def test_unknown_symbol_is_empty_and_not_an_error(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    job = job_of(server, clock, tmp_path)
    want_daily(job.warehouse, "NOSUCH", *live_symbols(1))
    bars.run_daily(job)
    assert (job.summary.empty, job.summary.errors) == (["NOSUCH"], [])


def test_same_answers_again_change_nothing(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    want_minute(tmp_path / "warehouse.duckdb", *live_symbols(3))
    first, second = job_of(server, clock, tmp_path), job_of(server, clock, tmp_path)
    bars.run_minute(first)
    bars.run_minute(second)
    landed = first.summary.landings["bars_1m"].inserted
    assert landed > 300
    assert second.summary.landings["bars_1m"] == Landing(unchanged=landed)


def test_view_that_is_missing_is_named(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    with pytest.raises(jobs.JobError, match=r"dbt run --select \+daily_requests"):
        bars.run_daily(job_of(server, clock, tmp_path))


def test_wrong_key_stops_at_once(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    job = job_of(server, clock, tmp_path, key="wrong")
    want_daily(job.warehouse, *live_symbols(40))
    with pytest.raises(WrongKeyError, match="FMP_API_KEY"):
        bars.run_daily(job)
    assert len(server.requests) == 1


def test_spent_budget_lands_what_was_got(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    job = job_of(server, clock, tmp_path, plan="free")
    want_daily(job.warehouse, *live_symbols(10))
    spent = [Spent(clock.now(), 245, 0)]
    CallBudget("free", clock, spent, path=tmp_path / "budget_fmp.sqlite")
    with pytest.raises(BudgetSpentError, match="250 calls a day"):
        bars.run_daily(job)
    landed = "select count(distinct symbol) from raw.bars_1d"
    assert rows_of(job.warehouse, landed) == [(5,)]


def test_ledger_counts_against_the_next_run(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    job = job_of(server, clock, tmp_path, plan="free")
    want_daily(job.warehouse, *live_symbols(3))
    bars.run_daily(job)
    budget = job.client().budget
    assert (budget.calls_used, budget.bytes_used) == (3, job.summary.byte_count)


@pytest.mark.parametrize(
    "faults",
    [
        Faults(server_error=0.3, html_page=0.2, malformed_json=0.2, cut_connection=0.2),
        Faults(gzip_garbage=0.3, too_many_requests=0.2),
        Faults(duplicate_rows=1.0, out_of_order=1.0, float_volume=1.0),
    ],
)
def test_faults_leave_the_same_bars(
    server: SimulatedServer,
    clock: SimulatedClock,
    tmp_path: Path,
    faults: Faults,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "ATTEMPTS", 40)  # so that no request is out of luck
    symbols = live_symbols(6)
    (tmp_path / "calm").mkdir()
    calm, rough = job_of(server, clock, tmp_path / "calm"), job_of(server, clock, tmp_path)
    for job in (calm, rough):
        want_minute(job.warehouse, *symbols)
    bars.run_minute(calm)
    server.faults = faults
    bars.run_minute(rough)
    landed = "select symbol, bar_at, open, high, low, close from raw.bars_1m order by all"
    assert rough.summary.errors == []
    assert rows_of(rough.warehouse, landed) == rows_of(calm.warehouse, landed)


def test_bar_without_price_is_rejected_with_its_request(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    job = job_of(server, clock, tmp_path)
    want_minute(job.warehouse, *live_symbols(3))
    server.faults = Faults(nan=1.0)
    bars.run_minute(job)
    traced = (
        "select count(*) from raw.rejected_rows as bad inner join raw.fetch_log as request "
        "using (request_id) where bad.row_text ->> '$.symbol' = request.symbol"
    )
    assert rows_of(job.warehouse, traced) == [(3,)]


def test_outage_ends_the_job_with_the_reason(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    job = job_of(server, clock, tmp_path)
    want_daily(job.warehouse, *live_symbols(40))
    server.faults = Faults(server_error=1.0)
    with pytest.raises(UnreachableError, match="25 requests in a row failed"):
        bars.run_daily(job)


def test_symbol_that_failed_is_bought_next_time(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    symbols = live_symbols(8)
    want_daily(tmp_path / "warehouse.duckdb", *symbols)
    server.faults = Faults(server_error=0.75)
    first = job_of(server, clock, tmp_path)
    bars.run_daily(first)
    server.faults = Faults()
    second = job_of(server, clock, tmp_path)
    bars.run_daily(second)
    assert 0 < len(first.summary.errors) == second.summary.requests
    landed = "select count(distinct symbol) from raw.bars_1d"
    assert rows_of(second.warehouse, landed) == [(8,)]


def test_splits_of_past_windows_are_bought_once(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    first, second = job_of(server, clock, tmp_path), job_of(server, clock, tmp_path)
    splits.run_splits(first)
    splits.run_splits(second)
    assert (first.summary.requests, second.summary.requests) == (5, 0)


def test_split_windows_are_whole_and_without_gaps() -> None:
    windows = splits.split_windows(date(2025, 9, 2))
    assert windows[-1][1] == date(2025, 9, 9)
    assert all((last - first).days <= 89 for first, last in windows)
    assert all(
        before[1].toordinal() + 1 == after[0].toordinal() for before, after in pairwise(windows)
    )


def test_plan_without_splits_calendar_asks_by_symbol(clock: SimulatedClock, tmp_path: Path) -> None:
    free = find_plan("free")
    plan = replace(free, symbol_count=None, endpoints=free.endpoints - {"splits-calendar"})
    with SimulatedServer(MARKET, clock, plan=plan) as server:
        job = job_of(server, clock, tmp_path, plan="free")
        want_daily(job.warehouse, *live_symbols(2))
        splits.run_splits(job)
    asked = "select endpoint, outcome from raw.fetch_log where endpoint = 'splits'"
    assert len(rows_of(job.warehouse, asked)) == 2


def start_daily(
    server: SimulatedServer, clock: SimulatedClock, data_dir: Path
) -> subprocess.Popen[str]:
    """Run `python -m ingest daily` in a process of its own, landing every 5 answers."""
    code = "import ingest.batches as d; d.BATCH_ANSWERS = 5; from ingest.__main__ import app; app()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "daily"],
        env={
            **os.environ,
            "FMP_API_KEY": "demo",
            "FMP_BASE_URL": server.base_url,
            "FMP_PLAN": "premium",
            "DATA_DIR": str(data_dir),
            "SIMULATED_CLOCK": str(clock),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for_requests(server: SimulatedServer, count: int) -> None:
    deadline = time.monotonic() + 30
    while len(server.requests) < count and time.monotonic() < deadline:
        time.sleep(0.02)


def test_killed_job_run_again_buys_little_twice(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    symbols = live_symbols(40)
    want_daily(warehouse, *symbols)
    server.faults = Faults(slow=1.0, slow_seconds=0.3)
    process = start_daily(server, clock, tmp_path)
    wait_for_requests(server, 28)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    server.faults = Faults()
    bars.run_daily(job_of(server, clock, tmp_path))
    in_flight = 5 + jobs.WORKERS["premium"] * 4
    ledger = "select count(*), count(distinct symbol) from raw.fetch_log"
    assert rows_of(warehouse, ledger) == [(40, 40)]
    assert len(server.requests) < 40 + in_flight
    landed = "select count(*) > 150, count(*) = (select sum(row_count) from raw.fetch_log) "
    assert rows_of(warehouse, f"{landed} from raw.bars_1d") == [(True, True)]


def test_interrupted_job_lands_what_it_has(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    want_daily(warehouse, *live_symbols(40))
    server.faults = Faults(slow=1.0, slow_seconds=0.3)
    process = start_daily(server, clock, tmp_path)
    wait_for_requests(server, 12)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert told.rstrip().endswith("Stopped. Run it again to go on.")
    landed = rows_of(warehouse, "select count(*) from raw.fetch_log")
    assert landed[0][0] == len(server.requests) < 40


def test_refused_screener_is_replaced_by_the_files_of_profiles(
    clock: SimulatedClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "PROFILE_FILE_SYMBOLS", 3)
    lines = "\n".join(f"{symbol}\tName" for symbol in [*live_symbols(5), "NOSUCH"])
    found, calls = {}, {}
    for name in ("ultimate", "premium"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "NYSE.txt").write_text(f"Symbol\tDescription\n{lines}\n")
        plan = find_plan(name)
        plan = replace(plan, endpoints=plan.endpoints - {"company-screener"})
        with SimulatedServer(MARKET, clock, plan=plan) as server:
            job = job_of(server, clock, tmp_path / name, plan=name)
            reference.run_universe(job)
            reference.run_profiles(job)
            calls[name] = Counter(asked.path.removeprefix("/stable/") for asked in server.requests)
        found[name] = rows_of(job.warehouse, "select * exclude (landed_at) from raw.profiles")
    assert (calls["premium"]["profile"], calls["ultimate"]["profile"]) == (6, 1)
    assert sorted(found["ultimate"]) == sorted(found["premium"])
