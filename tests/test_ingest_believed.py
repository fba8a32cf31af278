"""Nothing a provider says is believed: each fault is switched on in the simulated market."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from ingest import bars, batches, reference, splits
from ingest.clock import SimulatedClock
from ingest.providers.errors import BadAnswerError, NotInPlanError
from ingest.simulator.faults import Faults
from ingest.simulator.plans import find_plan
from ingest.simulator.server import SimulatedServer
from ingest.warehouse import Landing
from tests.ingest_jobs import (
    MARKET,
    SESSION,
    SPLIT_DATE,
    SPLITTER,
    START,
    job_of,
    live_symbols,
    rows_of,
    want,
    want_daily,
    want_minute,
)
from tests.simulator_client import SetClock

BARS = "select symbol, bar_at, open, high, low, close, volume from raw.bars_1m order by all"


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock.starting(START, 60)


@pytest.fixture
def server(clock: SimulatedClock) -> Iterator[SimulatedServer]:
    with SimulatedServer(MARKET, clock, plan="ultimate") as server:
        yield server


def want_splitter(warehouse: Path, view: str) -> None:
    columns = {
        "daily_requests": "date '2025-07-01' as from_date, date '2025-08-29' as to_date",
        "minute_requests": "date '2025-07-15' as session_date",
    }
    names = [SPLITTER, MARKET.watchlist_grade()[0]]
    want(warehouse, view, f"select unnest({names!r}) as symbol, {columns[view]}")


def test_adjusted_daily_bars_do_not_land(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    job = job_of(server, clock, tmp_path)
    want_splitter(job.warehouse, "daily_requests")
    splits.run_splits(job)
    server.faults = Faults(adjusted_bars=1.0)
    bars.run_daily(job)
    assert job.summary.errors == [f"{SPLITTER} 2025-07-01: {batches.ADJUSTED}, left out"]
    landed = f"select count(*) filter (symbol = '{SPLITTER}'), count(*) > 40 from raw.bars_1d"
    assert rows_of(job.warehouse, landed) == [(0, True)]


def test_adjusted_answer_is_kept_as_rejected_and_bought_again(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    job = job_of(server, clock, tmp_path)
    want_splitter(job.warehouse, "daily_requests")
    splits.run_splits(job)
    server.faults = Faults(adjusted_bars=1.0)
    bars.run_daily(job)
    traced = (
        "select reason, outcome from raw.rejected_rows inner join raw.fetch_log using (request_id)"
    )
    assert rows_of(job.warehouse, traced) == [(batches.ADJUSTED, "error")]


def test_daily_bars_as_traded_pass_across_a_split(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    job = job_of(server, clock, tmp_path)
    want_splitter(job.warehouse, "daily_requests")
    splits.run_splits(job)
    bars.run_daily(job)
    assert job.summary.errors == []
    jump = (
        "select max(open) filter (session_date = date '2025-07-16') > 3 * "
        f"max(close) filter (session_date = date '2025-07-15') from raw.bars_1d "
        f"where symbol = '{SPLITTER}'"
    )
    assert rows_of(job.warehouse, jump) == [(True,)]


@pytest.mark.parametrize(("rate", "landed"), [(1.0, 0), (0.0, 1)])
def test_adjusted_minute_bars_are_told_by_the_daily_bar(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path, rate: float, landed: int
) -> None:
    job = job_of(server, clock, tmp_path)
    want_splitter(job.warehouse, "daily_requests")
    want_splitter(job.warehouse, "minute_requests")
    splits.run_splits(job)
    bars.run_daily(job)
    server.faults = Faults(adjusted_bars=rate)
    bars.run_minute(job)
    sessions = rows_of(
        job.warehouse,
        f"select count(distinct session_date) from raw.bars_1m where symbol = '{SPLITTER}'",
    )
    assert (sessions, len(job.summary.errors)) == ([(landed,)], 1 - landed)


@pytest.mark.parametrize(("rate", "landed"), [(1.0, 0), (0.0, 1)])
def test_minute_bars_far_from_the_daily_bar_do_not_land_whatever_splits_are_known(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path, rate: float, landed: int
) -> None:
    job = job_of(server, clock, tmp_path)
    want_splitter(job.warehouse, "daily_requests")
    want_splitter(job.warehouse, "minute_requests")
    bars.run_daily(job)
    server.faults = Faults(adjusted_bars=rate)
    bars.run_minute(job)
    sessions = rows_of(
        job.warehouse,
        f"select count(distinct session_date) from raw.bars_1m where symbol = '{SPLITTER}'",
    )
    assert (sessions, len(job.summary.errors)) == ([(landed,)], 1 - landed)


@pytest.mark.parametrize(("rate", "refused"), [(1.0, 1), (0.0, 0)])
def test_daily_bars_on_another_basis_than_before_do_not_land(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path, rate: float, refused: int
) -> None:
    job = job_of(server, clock, tmp_path)
    want_splitter(job.warehouse, "daily_requests")
    bars.run_daily(job)
    before = rows_of(job.warehouse, "select * exclude (landed_at) from raw.bars_1d order by all")
    server.faults = Faults(adjusted_bars=rate)
    with suppress(BadAnswerError):  # not one request succeeded
        bars.download_daily(job, "again", [(SPLITTER, date(2025, 7, 14), SPLIT_DATE)])
    after = rows_of(job.warehouse, "select * exclude (landed_at) from raw.bars_1d order by all")
    assert after == before
    assert len(job.summary.errors) == refused


@pytest.mark.parametrize("fault", ["missing_first_bar", "wrong_dates"])
def test_sessions_come_whole_and_alone(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path, fault: str
) -> None:
    (tmp_path / "calm").mkdir()
    calm, rough = job_of(server, clock, tmp_path / "calm"), job_of(server, clock, tmp_path)
    for job in (calm, rough):
        want_minute(job.warehouse, *live_symbols(5))
    bars.run_minute(calm)
    server.faults = Faults(**{fault: 1.0})
    bars.run_minute(rough)
    assert rows_of(rough.warehouse, BARS) == rows_of(calm.warehouse, BARS)


def test_daily_bars_of_other_dates_do_not_land(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    job = job_of(server, clock, tmp_path)
    want_daily(job.warehouse, *live_symbols(2))
    server.faults = Faults(wrong_dates=1.0)
    bars.run_daily(job)
    dates = "select min(session_date), max(session_date) from raw.bars_1d"
    assert rows_of(job.warehouse, dates) == [(date(2025, 8, 25), SESSION)]
    assert job.summary.stray > 0


@pytest.mark.parametrize(
    ("fault", "tested"), [("null_volume", "is null"), ("float_volume", "% 1 > 0")]
)
def test_odd_volumes_are_kept_as_they_are(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path, fault: str, tested: str
) -> None:
    job = job_of(server, clock, tmp_path)
    want_minute(job.warehouse, *live_symbols(4))
    server.faults = Faults(**{fault: 1.0})
    bars.run_minute(job)
    odd = f"select count(*) filter (volume {tested}) > 0 from raw.bars_1m"
    assert rows_of(job.warehouse, odd) == [(True,)]
    assert job.summary.landings["bars_1m"].rejected == 0


def evening_job(tmp_path: Path, clock: SetClock, server: SimulatedServer):
    symbol = MARKET.watchlist_grade()[0]
    want(
        tmp_path / "warehouse.duckdb",
        "minute_requests",
        f"select '{symbol}' as symbol, date '{SESSION}' as session_date where not exists ("
        "select 1 from raw.fetch_log where endpoint = 'bars_1m' and outcome in ('ok', 'empty'))",
    )
    return job_of(server, clock, tmp_path)


def test_fresh_session_is_read_until_it_is_stable(tmp_path: Path) -> None:
    closed = datetime(2025, 8, 30, 0, 0)  # POST ends at 20:00 of New York
    clock = SetClock(closed + timedelta(seconds=20))
    faults = Faults(revised_bars=1.0)
    with SimulatedServer(MARKET, clock, plan="ultimate", faults=faults) as server:
        fresh = evening_job(tmp_path, clock, server)
        bars.run_minute(fresh)
        clock.moment = closed + timedelta(minutes=20)
        stable = evening_job(tmp_path, clock, server)
        bars.run_minute(stable)
        after = evening_job(tmp_path, clock, server)
        bars.run_minute(after)
    assert any("may still be revised" in note for note in fresh.summary.notes)
    assert stable.summary.landings["bars_1m"].revised > 0
    assert after.summary.requests == 0


def test_superseded_bars_are_kept(tmp_path: Path) -> None:
    closed = datetime(2025, 8, 30, 0, 0)
    clock = SetClock(closed + timedelta(seconds=20))
    faults = Faults(revised_bars=1.0)
    with SimulatedServer(MARKET, clock, plan="ultimate", faults=faults) as server:
        bars.run_minute(evening_job(tmp_path, clock, server))
        clock.moment = closed + timedelta(minutes=20)
        again = evening_job(tmp_path, clock, server)
        bars.run_minute(again)
    kept = (
        "select count(*), bool_and(old.volume < bars.volume) from raw.bar_revisions as old "
        "inner join raw.bars_1m as bars using (symbol, bar_at)"
    )
    revised = again.summary.landings["bars_1m"].revised
    assert rows_of(again.warehouse, kept) == [(revised, True)]


def test_latest_daily_bars_are_read_again_with_the_next(tmp_path: Path) -> None:
    clock = SetClock(START)
    symbol = live_symbols(1)[0]
    with SimulatedServer(MARKET, clock, plan="ultimate") as server:
        job = job_of(server, clock, tmp_path)
        want_daily(job.warehouse, symbol)
        bars.run_daily(job)
        clock.moment += timedelta(days=1)
        want(
            job.warehouse,
            "daily_requests",
            f"select '{symbol}' as symbol, date '2025-09-02' as from_date, "
            "date '2025-09-02' as to_date",
        )
        again = job_of(server, clock, tmp_path)
        bars.run_daily(again)
    assert server.requests[-1].params["from"] == "2025-08-26"
    assert again.summary.landings["bars_1d"] == Landing(inserted=1, unchanged=4)


def test_changed_symbol_ends_its_history(tmp_path: Path) -> None:
    old, new, change = "CXJT", "BSJV", date(2025, 12, 19)
    clock = SetClock(datetime(2025, 12, 18, 22, 0))
    with SimulatedServer(MARKET, clock, plan="ultimate") as server:
        reference.run_universe(job_of(server, clock, tmp_path))
        reference.run_profiles(job_of(server, clock, tmp_path))
        clock.moment = datetime(2025, 12, 19, 22, 0)
        job = job_of(server, clock, tmp_path)
        reference.run_profiles(job)
    latest = (
        f"select symbol, max(as_of_date), arg_max(is_actively_trading, as_of_date) "
        f"from raw.profiles where symbol in ('{old}', '{new}') group by symbol order by symbol"
    )
    assert rows_of(job.warehouse, latest) == [
        (new, change, True),
        (old, change - timedelta(days=1), False),
    ]
    assert any(old in note and "no longer trading" in note for note in job.summary.notes)


def test_delisted_symbol_ends_its_history(tmp_path: Path) -> None:
    clock = SetClock(datetime(2026, 1, 20, 22, 0))
    with SimulatedServer(MARKET, clock, plan="ultimate") as server:
        reference.run_profiles(job_of(server, clock, tmp_path))
        clock.moment = datetime(2026, 1, 21, 13, 0)  # before the open of the day it is gone
        job = job_of(server, clock, tmp_path)
        reference.run_profiles(job)
    latest = (
        "select arg_max(is_actively_trading, as_of_date) from raw.profiles where symbol = 'CJHC'"
    )
    known = "select delisted_date from raw.delistings where symbol = 'CJHC'"
    assert rows_of(job.warehouse, latest) == [(False,)]
    assert rows_of(job.warehouse, known) == [(date(2026, 1, 21),)]


def test_splits_of_the_day_are_complete_before_the_open(tmp_path: Path) -> None:
    clock = SetClock(datetime(2025, 7, 16, 2, 0))  # 22:00 of New York, the evening before
    with SimulatedServer(MARKET, clock, plan="ultimate") as server:
        splits.run_splits(job_of(server, clock, tmp_path))
        clock.moment = datetime(2025, 7, 16, 12, 0)
        job = job_of(server, clock, tmp_path)
        splits.run_splits(job)
    known = f"select symbol from raw.splits where split_date = date '{SPLIT_DATE}'"
    assert rows_of(job.warehouse, known) == [(SPLITTER,)]
    assert job.summary.requests == 1


def test_refused_endpoint_is_remembered_for_a_day(tmp_path: Path) -> None:
    clock = SetClock(START)
    (tmp_path / "NYSE.txt").write_text(f"Symbol\tDescription\n{live_symbols(1)[0]}\tName\n")
    plan = replace(find_plan("free"), symbol_count=None)
    with SimulatedServer(MARKET, clock, plan=plan) as server:
        reference.run_universe(job_of(server, clock, tmp_path, plan="free"))
        for moment in (START, START + timedelta(hours=2), START + timedelta(hours=25)):
            clock.moment = moment
            job = job_of(server, clock, tmp_path, plan="free")
            reference.run_profiles(job)
    probes = [asked.asked_at for asked in server.requests if asked.path.endswith("screener")]
    assert probes == [START, START + timedelta(hours=25)]


def test_another_plan_is_probed_at_once(tmp_path: Path) -> None:
    clock = SetClock(START)
    plan = replace(find_plan("starter"), symbol_count=None)
    with SimulatedServer(MARKET, clock, plan=plan) as server:
        want_minute(tmp_path / "warehouse.duckdb", *live_symbols(1))
        for name in ("starter", "starter", "premium"):
            with pytest.raises(NotInPlanError):
                bars.run_minute(job_of(server, clock, tmp_path, plan=name))
    assert len(server.requests) == 2


def test_symbols_outside_the_plan_are_skipped_for_a_day(tmp_path: Path) -> None:
    clock = SetClock(START)
    plan = replace(find_plan("free"), symbol_count=1)
    with SimulatedServer(MARKET, clock, plan=plan) as server:
        want_daily(tmp_path / "warehouse.duckdb", *live_symbols(4))
        first = job_of(server, clock, tmp_path, plan="free")
        second = job_of(server, clock, tmp_path, plan="free")
        for job in (first, second):
            with suppress(BadAnswerError):  # not one of them may be in the plan
                bars.run_daily(job)
    refused = len(first.summary.errors)
    assert refused >= 3
    assert any(note.startswith(f"{refused} symbols are skipped") for note in second.summary.notes)
