"""Three providers of one market: FMP's gaps are filled by the others, and their bars compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from ingest import bars, compare, gaps, jobs
from ingest.clock import SimulatedClock
from ingest.simulator.faults import Faults
from ingest.simulator.server import SimulatedServer
from ingest.warehouse import open_warehouse
from tests.ingest_jobs import (
    MARKET,
    SESSION,
    SPLIT_DATE,
    SPLITTER,
    START,
    job_of,
    live_symbols,
    rows_of,
    want_daily,
    want_minute,
)
from tests.ingest_servers import LIMITS, alpha_vantage_of, massive_of

GAPS = Faults(seed=2, missing_sessions=0.4)
SYMBOLS = live_symbols(12)
MakeJob = Callable[[str], jobs.Job]


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock.starting(START, 60)


@pytest.fixture
def server(clock: SimulatedClock) -> Iterator[SimulatedServer]:
    with SimulatedServer(MARKET, clock, faults=GAPS) as server:
        yield server


@pytest.fixture
def job(server: SimulatedServer, clock: SimulatedClock, tmp_path: Path) -> MakeJob:
    """Return a job that buys bars from the provider it is given."""
    massive, alpha_vantage = server.massive_url, server.alpha_vantage_url
    sources = {
        "massive": jobs.Source(
            "massive", LIMITS, 2, lambda budget: massive_of(massive, clock=clock, key="demo")
        ),
        "alpha_vantage": jobs.Source(
            "alpha_vantage",
            LIMITS,
            1,
            lambda budget: alpha_vantage_of(alpha_vantage, clock=clock, key="demo"),
        ),
    }
    return lambda provider: job_of(server, clock, tmp_path, source=sources.get(provider))


def calls(server: SimulatedServer, prefix: str) -> int:
    return sum(record.path.startswith(prefix) for record in server.requests)


MINUTES_BY_PROVIDER = "select distinct symbol, provider from raw.bars_1m order by symbol"
DAYS_BY_PROVIDER = "select symbol, session_date, provider from raw.bars_1d order by all"


@pytest.mark.parametrize("provider", ["massive", "alpha_vantage"])
def test_sessions_that_fmp_lacks_are_filled(job: MakeJob, provider: str) -> None:
    fmp = job("fmp")
    want_minute(fmp.warehouse, *SYMBOLS)
    bars.run_minute(fmp)
    held = {symbol for symbol, _ in rows_of(fmp.warehouse, MINUTES_BY_PROVIDER)}
    gaps.run_fill(job(provider))
    assert 0 < len(held) < len(SYMBOLS)
    assert rows_of(fmp.warehouse, MINUTES_BY_PROVIDER) == sorted(
        (symbol, "fmp" if symbol in held else provider) for symbol in SYMBOLS
    )


def test_filled_bars_are_the_markets(job: MakeJob) -> None:
    fmp = job("fmp")
    want_minute(fmp.warehouse, *SYMBOLS)
    bars.run_minute(fmp)
    gaps.run_fill(job("massive"))
    counts = dict(rows_of(fmp.warehouse, "select symbol, count(*) from raw.bars_1m group by all"))
    assert counts == {symbol: len(MARKET.minutes(symbol, SESSION)) for symbol in SYMBOLS}


@pytest.mark.parametrize(("provider", "prefix"), [("massive", "/v2/"), ("alpha_vantage", "/query")])
def test_nothing_is_filled_twice(
    server: SimulatedServer, job: MakeJob, provider: str, prefix: str
) -> None:
    fmp = job("fmp")
    want_minute(fmp.warehouse, *SYMBOLS)
    want_daily(fmp.warehouse, *SYMBOLS)
    bars.run_daily(fmp)
    bars.run_minute(fmp)
    gaps.run_fill(job(provider))
    asked = calls(server, prefix)
    gaps.run_fill(job(provider))
    assert asked > 0
    assert calls(server, prefix) == asked


def test_days_that_fmp_lacks_are_filled(job: MakeJob) -> None:
    fmp = job("fmp")
    want_daily(fmp.warehouse, *SYMBOLS)
    bars.run_daily(fmp)
    held = {(symbol, day) for symbol, day, _ in rows_of(fmp.warehouse, DAYS_BY_PROVIDER)}
    gaps.run_fill(job("massive"))
    landed = rows_of(fmp.warehouse, DAYS_BY_PROVIDER)
    inner = {(s, d) for s, d, provider in landed if provider == "massive"} - held
    first, last = (
        {symbol: pick(day for name, day in held if name == symbol) for symbol, _ in held}
        for pick in (min, max)
    )
    every = {(s, date(2025, 8, day)) for s in first for day in range(25, 30)}
    assert inner == {(s, day) for s, day in every - held if first[s] < day < last[s]}
    assert inner


def test_a_month_of_alpha_vantage_is_bought_once_a_symbol(
    server: SimulatedServer, job: MakeJob
) -> None:
    sessions = [date(2025, 8, day) for day in range(18, 30) if date(2025, 8, day).weekday() < 5]
    wanted = [(symbol, session) for session in sessions for symbol in SYMBOLS[:6]]
    bars.download_sessions(job("alpha_vantage"), "minutes", wanted)
    assert calls(server, "/query") == 6


def test_what_another_provider_lacks_is_asked_once(server: SimulatedServer, job: MakeJob) -> None:
    gone = next(p for p in map(MARKET.profile, MARKET.symbols()) if p and p.delisted_date)
    want_minute(job("massive").warehouse, gone.symbol)
    for _ in range(2):
        bars.run_minute(job("massive"))
    assert calls(server, "/v2/") == 1


def test_chosen_sessions_are_bought_once(server: SimulatedServer, job: MakeJob) -> None:
    for _ in range(2):
        gaps.run_fill(job("massive"), SYMBOLS[:2], [SESSION])
    assert calls(server, "/v2/") == 4


@pytest.mark.parametrize("provider", ["massive", "alpha_vantage"])
def test_adjusted_bars_of_another_source_do_not_land(
    server: SimulatedServer, job: MakeJob, provider: str
) -> None:
    server.faults = Faults()
    before = SPLIT_DATE - timedelta(days=1)
    bars.download_daily(job("fmp"), "days", [(SPLITTER, before, SPLIT_DATE)])
    server.faults = Faults(adjusted_bars=1.0)
    filled = job(provider)
    bars.download_sessions(filled, "minutes", [(SPLITTER, before), (SPLITTER, SPLIT_DATE)])
    landed = "select distinct session_date from raw.bars_1m"
    assert rows_of(filled.warehouse, landed) == [(SPLIT_DATE,)]
    assert len(filled.summary.errors) == 1


@pytest.mark.parametrize("provider", ["massive", "alpha_vantage"])
def test_disagreeing_bars_are_reported(
    server: SimulatedServer, job: MakeJob, provider: str
) -> None:
    server.faults = Faults(seed=5, disagreeing_bars=0.02)
    fmp = job("fmp")
    want_minute(fmp.warehouse, *SYMBOLS[:3])
    bars.run_minute(fmp)
    gaps.run_fill(job(provider), SYMBOLS[:3], [SESSION])
    with open_warehouse(fmp.warehouse) as connection:
        found = compare.compare_bars(connection, "bars_1m", "fmp", provider)
    bar_count = sum(len(MARKET.minutes(symbol, SESSION)) for symbol in SYMBOLS[:3])
    assert (found.in_both, found.only_one, found.only_other) == (bar_count, 0, 0)
    assert 0.01 < found.prices_differ / bar_count < 0.03
    assert found.worst[0][4] == pytest.approx(0.02, abs=0.005)


def test_agreeing_bars_are_not_reported(server: SimulatedServer, job: MakeJob) -> None:
    server.faults = Faults()
    fmp = job("fmp")
    want_minute(fmp.warehouse, *SYMBOLS[:2])
    bars.run_minute(fmp)
    gaps.run_fill(job("alpha_vantage"), SYMBOLS[:2], [SESSION])
    with open_warehouse(fmp.warehouse) as connection:
        found = compare.compare_bars(connection, "bars_1m", "fmp", "alpha_vantage")
    assert (found.prices_differ, found.volumes_differ, found.worst) == (0, 0, [])
