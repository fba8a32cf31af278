"""The command line: what it prints, and with what status it ends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ingest.__main__ import app
from ingest.clock import SimulatedClock
from ingest.settings import Settings
from ingest.simulator.generated import GeneratedMarket
from ingest.simulator.server import SimulatedServer
from ingest.warehouse import open_warehouse

CLOCK = SimulatedClock.starting(datetime(2025, 9, 2, 12, 30), 60)


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(Settings.model_config, "env_file", None)
    for name in ("FMP_API_KEY", "FMP_PLAN", "FMP_BASE_URL", "SIMULATED_CLOCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SIMULATED_CLOCK", str(CLOCK))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def market(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedServer]:
    with SimulatedServer(GeneratedMarket(seed=7, symbol_count=20), CLOCK) as server:
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
    assert (code, "dbt build" in told) == (1, True)


def test_status_shows_tables_and_budget(data_dir: Path) -> None:
    run("calendar")
    code, told = run("status")
    assert (code, "market_calendar" in told) == (0, True)
    assert "plan premium: 0 of 750 calls in the last minute" in told


def test_unusable_warehouse_is_one_line(data_dir: Path) -> None:
    (data_dir / "warehouse.duckdb").write_text("not a database at all, but long enough to look at")
    code, told = run("calendar")
    assert (code, "warehouse.duckdb can't be opened" in told) == (1, True)
