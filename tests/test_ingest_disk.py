"""A full disk, a path that can't be written, a damaged log: clear errors, the last good state."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from ingest import bars
from ingest.clock import SimulatedClock
from ingest.simulator.server import SimulatedServer
from ingest.warehouse import DatabaseUnusableError, damaged_log, open_warehouse
from tests.ingest_jobs import MARKET, START, job_of, live_symbols, rows_of, want_daily


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock.starting(START, 60)


@pytest.fixture
def server(clock: SimulatedClock) -> Iterator[SimulatedServer]:
    with SimulatedServer(MARKET, clock, plan="ultimate") as server:
        yield server


def run_daily(
    server: SimulatedServer,
    clock: SimulatedClock,
    data_dir: Path,
    limit: Callable[[], None] | None = None,
) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "ingest", "daily"],
        env={
            **os.environ,
            "FMP_API_KEY": "demo",
            "FMP_BASE_URL": server.base_url,
            "FMP_PLAN": "ultimate",
            "DATA_DIR": str(data_dir),
            "SIMULATED_CLOCK": str(clock),
        },
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=limit,
    )
    return done.returncode, done.stdout + done.stderr


def no_file_larger_than(most: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


@pytest.mark.parametrize("most", [20_000])
def test_full_disk_is_told_and_leaves_the_last_good_state(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path, most: int
) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    want_daily(warehouse, *live_symbols(8))
    status, told = run_daily(server, clock, tmp_path, lambda: no_file_larger_than(most))
    assert (status, "Traceback" in told) == (1, False)
    assert "check the disk" in told
    assert rows_of(warehouse, "select count(*) from raw.bars_1d") == [(0,)]
    assert run_daily(server, clock, tmp_path)[0] == 0
    assert rows_of(warehouse, "select count(*) from raw.bars_1d") == [(40,)]


def test_answers_that_did_not_land_are_told(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    job = job_of(server, clock, tmp_path)
    want_daily(job.warehouse, *live_symbols(8))
    job.track = lambda *_: lambda: spoil(job.warehouse)  # once an answer has come
    with pytest.raises(DatabaseUnusableError):
        bars.run_daily(job)
    assert "the last 8 answers did not land: they will be bought again" in job.summary.notes


def spoil(file: Path) -> None:
    file.write_text("no database any more")


def test_path_that_is_no_folder_is_told(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    status, told = run_daily(server, clock, tmp_path / "file")
    assert (status, "Traceback" in told, str(tmp_path / "file") in told) == (1, False, True)


def damaged(data_dir: Path) -> Path:
    """Leave a warehouse whose log has a flipped byte, as a process that was killed may."""
    path = data_dir / "w.duckdb"
    with open_warehouse(path) as connection:
        connection.execute("create table good as select 1 as one")
    code = (
        "import os, duckdb; c = duckdb.connect(os.sys.argv[1]); "
        "c.execute('create table later as select range as n from range(1000)'); "
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    wal = path.with_name("w.duckdb.wal")
    content = bytearray(wal.read_bytes())
    content[len(content) // 2] ^= 0xFF
    wal.write_bytes(content)
    return path


def test_damaged_log_is_told_with_the_way_on(tmp_path: Path) -> None:
    path = damaged(tmp_path)
    with pytest.raises(DatabaseUnusableError) as told, open_warehouse(path):
        pass
    command = re.search("`(.+)`", str(told.value))
    assert command is not None
    subprocess.run(command[1], shell=True, check=True)
    assert rows_of(path, "select one from good") == [(1,)]
    assert (tmp_path / "w.duckdb.wal.damaged").exists()


def test_log_that_can_not_be_read_at_all_is_to_be_moved(tmp_path: Path) -> None:
    told = damaged_log(tmp_path / "w.duckdb", "replaying WAL: data may be corrupt")
    assert f"`mv {tmp_path}/w.duckdb.wal {tmp_path}/w.duckdb.wal.damaged`" in told


def test_clock_of_the_market_is_in_the_log(
    server: SimulatedServer, clock: SimulatedClock, tmp_path: Path
) -> None:
    want_daily(tmp_path / "warehouse.duckdb", *live_symbols(1))
    run_daily(server, clock, tmp_path)
    lines = (tmp_path / "ingest.log").read_text().splitlines()
    told_at = datetime.fromisoformat(lines[0].split('"at": "')[1][:19])
    assert START <= told_at <= clock.now()
    assert not any("demo" in line for line in lines)
