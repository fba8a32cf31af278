"""The command line: what it prints, and with what status it ends."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ingest.__main__ import app
from ingest.clock import SimulatedClock
from ingest.runs import console
from ingest.settings import DEMO_MARK, Settings
from ingest.simulator.faults import Faults
from ingest.simulator.generated import GeneratedMarket
from ingest.simulator.server import SimulatedServer
from ingest.warehouse import open_warehouse
from tests.ingest_jobs import SESSION, want_minute
from tests.warehouse_builder import publish_file


@pytest.fixture
def clock() -> SimulatedClock:
    """Return a clock that begins with the test, an hour before the open."""
    return SimulatedClock.starting(datetime(2025, 9, 2, 12, 30), 60)


@pytest.fixture
def data_dir(tmp_path: Path, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(Settings.model_config, "env_file", None)
    for name in ("FMP_API_KEY", "FMP_PLAN", "FMP_BASE_URL", "SIMULATED_CLOCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SIMULATED_CLOCK", str(clock))
    monkeypatch.setattr(console, "width", 80)
    return tmp_path


@pytest.fixture
def market(
    data_dir: Path, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SimulatedServer]:
    with SimulatedServer(GeneratedMarket(seed=7, symbol_count=20), clock) as server:
        monkeypatch.setenv("FMP_BASE_URL", server.base_url)
        monkeypatch.setenv("FMP_API_KEY", "demo")
        yield server


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


def test_missing_key_says_what_to_do(data_dir: Path) -> None:
    code, told = run("profiles")
    assert code == 1
    assert (
        "FMP_API_KEY is not set: put it in .env, or run make demo for the simulated market" in told
    )


def test_wrong_plan_is_one_line(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FMP_PLAN", "gold")
    code, told = run("daily")
    assert (code, "FMP_PLAN is 'gold'" in told, "Traceback" in told) == (1, True, False)


def test_wrong_clock_is_one_line(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMULATED_CLOCK", "noon")
    code, told = run("calendar")
    assert (code, "SIMULATED_CLOCK is 'noon'" in told) == (1, True)


def test_wrong_key_is_one_line_without_the_key(
    market: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FMP_API_KEY", "s3cretKey")
    code, told = run("profiles")
    assert (code, "FMP refuses the key" in told, "s3cretKey" in told) == (1, True, False)


def test_profiles_are_summed_up(market: SimulatedServer, data_dir: Path) -> None:
    code, told = run("profiles")
    assert (code, "raw.profiles" in told, "5 requests in" in told) == (0, True, True)


def test_daily_without_dbt_says_what_to_run(market: SimulatedServer, data_dir: Path) -> None:
    code, told = run("daily")
    assert (code, "dbt run --select +daily_requests" in told) == (1, True)


def test_nothing_to_buy_is_no_error(market: SimulatedServer, data_dir: Path) -> None:
    with open_warehouse(data_dir / "warehouse.duckdb") as connection:
        connection.execute("create schema marts")
        connection.execute(
            "create view marts.minute_requests as "
            "select 'A' as symbol, date '2025-08-29' as session_date where false"
        )
    code, told = run("minute")
    assert (code, "nothing left to buy" in told) == (0, True)


def test_two_sources_are_bought_and_compared(
    market: SimulatedServer, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASSIVE_BASE_URL", market.massive_url)
    monkeypatch.setenv("MASSIVE_API_KEY", "demo")
    market.faults = Faults(seed=5, disagreeing_bars=0.05)
    symbol = market.service.market.symbols()[0]
    want_minute(data_dir / "warehouse.duckdb", symbol)
    run("minute")
    run("fill", "--provider", "massive", "--symbol", symbol, "--session", str(SESSION))
    code, told = run("compare", "--provider", "massive")
    differing = re.search(r"raw.bars_1m: .* bars in both.* prices differ in (\d+)", told)
    assert (code, "furthest apart" in told) == (0, True)
    assert differing is not None and int(differing[1]) > 0


def test_import_lands_and_tells_what_it_assumed(data_dir: Path) -> None:
    bars, profiles = data_dir / "m.csv", data_dir / "p.csv"
    bars.write_text(
        "symbol,bar_at,open,high,low,close,volume\nA,2018-02-16 14:30:00,2,2.1,1.9,2,100\n"
    )
    profiles.write_text("symbol,market_cap,exchange\nA,1,NYSE\n")
    code, told = run("import", "--bars-1m", str(bars), "--profiles", str(profiles))
    assert (code, "known on 2018-02-15" in told) == (0, True)


def test_import_of_nothing_names_the_options(data_dir: Path) -> None:
    code, told = run("import")
    assert (code, "--bars-1m" in told) == (1, True)


def test_export_without_snapshot_says_what_to_run(data_dir: Path) -> None:
    code, told = run("export")
    assert (code, "make features" in told) == (1, True)


def test_status_shows_tables_and_budget(data_dir: Path) -> None:
    run("calendar")
    code, told = run("status")
    assert (code, "market_calendar" in told) == (0, True)
    assert "plan premium: 0 of 750 calls in the last minute" in told


def test_unusable_warehouse_is_one_line(data_dir: Path) -> None:
    (data_dir / "warehouse.duckdb").write_text("not a database at all, but long enough to look at")
    code, told = run("calendar")
    assert (code, "warehouse.duckdb can't be opened" in told) == (1, True)


def test_plan_needs_neither_key_nor_warehouse(data_dir: Path) -> None:
    code, told = run("plan", "--symbols", "8000")
    assert code == 0
    assert "976,000 calls" in told
    assert not (data_dir / "warehouse.duckdb").exists()


def test_plan_counts_what_is_left(market: SimulatedServer, data_dir: Path) -> None:
    run("profiles")
    code, told = run("plan")
    rows = {
        line.split("│")[1].strip(): line.split("│")[2].strip()
        for line in told.splitlines()
        if "│" in line
    }
    assert (code, rows["screener"], rows["endings"]) == (0, "0", "0")


def test_funnel_prints_the_coming_session(data_dir: Path) -> None:
    (data_dir / "published").mkdir()
    with open_warehouse(data_dir / "published" / "warehouse.duckdb") as connection:
        connection.execute("create schema marts")
        connection.execute(
            "create table marts.coming_session as select date '2025-09-02' as session_date"
        )
        connection.execute(
            "create table marts.scanner_funnel as select * from (values "
            "(date '2025-09-02', 1, 'common stock, trading', 8000, 5000, 6), "
            "(date '2025-08-29', 1, 'common stock, trading', 1, 1, 1)) as steps "
            "(session_date, step, step_name, symbols_in, symbols_out, calls_spent)"
        )
    code, told = run("funnel")
    assert code == 0
    assert "common stock, trading │      8,000 │       5,000 │           6" in told
    assert told.count("common stock") == 1


def test_real_market_does_not_land_among_a_demos(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIMULATED_CLOCK")
    (data_dir / DEMO_MARK).write_text("")
    for command in ("calendar", "universe", "daily"):
        code, told = run(command)
        assert (code, "holds a demo's simulated market: set DATA_DIR" in told) == (1, True)
    assert not (data_dir / "warehouse.duckdb").exists()


def test_fault_of_ours_is_one_line_and_logged_without_the_key(
    market: SimulatedServer, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(job: object) -> None:
        raise KeyError("apikey=s3cretKey%2B and s3cretKey+")

    monkeypatch.setenv("FMP_API_KEY", "s3cretKey+")
    monkeypatch.setattr("ingest.reference.run_calendar", fail)
    code, told = run("calendar")
    log = (data_dir / "ingest.log").read_text()
    assert (code, "Traceback" in told, "a fault in this program" in told) == (1, False, True)
    assert "Traceback" in log
    assert "s3cretKey" not in log + told


def test_log_has_one_json_object_a_line(market: SimulatedServer, data_dir: Path) -> None:
    run("profiles")
    lines = [json.loads(line) for line in (data_dir / "ingest.log").read_text().splitlines()]
    assert [line["event"] for line in lines][:2] == ["begins", "download begins"]
    assert all(line["at"].startswith("2025-09-02T") for line in lines)


def test_other_provider_without_a_key_is_told(data_dir: Path) -> None:
    code, told = run("fill", "--provider", "massive")
    assert (code, "MASSIVE_API_KEY is not set: put it in .env" in told) == (1, True)


def test_unknown_provider_is_told(data_dir: Path) -> None:
    code, told = run("minute", "--provider", "nasdaq")
    assert (code, "--provider is 'nasdaq'" in told) == (1, True)


def test_status_shows_gaps_last_success_and_what_is_left(
    market: SimulatedServer, data_dir: Path
) -> None:
    run("profiles")
    with open_warehouse(data_dir / "warehouse.duckdb") as connection:
        connection.execute("create schema marts")
        connection.execute("create view marts.daily_requests as select 1 from range(7)")
        connection.execute(
            "insert into raw.bars_1d (symbol, session_date, provider, landed_at) select 'A', day, "
            "'fmp', timestamp '2025-08-29' from (values (date '2025-08-25'), (date '2025-08-29')) "
            "as days (day)"
        )
    code, told = run("status")
    rows = [line.replace("│", " ").split() for line in told.splitlines() if line.strip()]
    lines = {cells[0]: cells[1:] for cells in rows}
    assert code == 0
    assert lines["bars_1d"] == ["2", "2025-08-25", "2025-08-29", "3", "2025-08-29", "00:00"]
    assert "2025-09-02" in lines["screener"]
    assert "7 daily requests are left" in told


def test_snapshot_is_told_by_its_version(data_dir: Path) -> None:
    version = publish_file(data_dir / "warehouse.duckdb").path
    assert run("snapshot") == (0, f"{version}\n")
