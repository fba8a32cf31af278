"""A market of recorded bars, and the simulator's command line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path

import pandas as pd
import pytest
import requests
import typer
from typer.testing import CliRunner

from ingest.clock import SimulatedClock
from ingest.simulator.__main__ import main
from ingest.simulator.files import FileMarket
from tests.simulator_client import serving

MINUTES = """symbol,bar_at,open,high,low,close,volume
PBR.A,2025-01-03 14:30:00,5,5.2,4.9,5.1,100
PBR.A,2025-01-03 14:30:00,5,5.2,4.9,5.1,100
PBR.A,2025-01-03 14:31:00,5.1,5.3,5.1,5.2,
PBR.A,2025-01-03 22:00:00,5.2,5.2,5.2,5.2,7
PBR.A,2025-01-06 14:30:00,6,6.1,6,6.05,50.5
ZVZZT,2025-01-06 14:30:00,1,1,1,1,1
"""
DAILY = """symbol,date,open,high,low,close,volume
PBR.A,2025-01-02,4,4.5,3.9,4.4,900
OTHER,2025-01-02,4,4.5,3.9,4.4,900
"""
PROFILES = """symbol,company_name,exchange,sector,industry,country,market_cap
PBR.A,Petroleo,NYSE,Energy,Oil,Brazil,1000000
"""
COMMAND = typer.Typer(add_completion=False)
COMMAND.command()(main)
AFTER = datetime(2025, 1, 7, 6)


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    texts = {"bars_1m": MINUTES, "bars_1d": DAILY, "profiles": PROFILES}
    for name, text in texts.items():
        (tmp_path / f"{name}.csv").write_text(text)
    return {name: tmp_path / f"{name}.csv" for name in texts}


def test_symbols_are_those_with_minutes_with_hyphens(paths: dict[str, Path]) -> None:
    assert FileMarket(**paths).symbols() == ["PBR-A", "ZVZZT"]


def test_duplicates_are_served_as_they_are(paths: dict[str, Path]) -> None:
    with serving(FileMarket(**paths), AFTER) as client:
        rows = client.get(
            "historical-chart/1min", symbol="PBR-A", from_="2025-01-03", to="2025-01-03"
        ).json()
    assert [(row["date"][11:16], row["volume"]) for row in rows] == [
        ("09:31", None),
        ("09:30", 100),
        ("09:30", 100),
    ]


def test_daily_bars_come_from_the_file_or_from_minutes(paths: dict[str, Path]) -> None:
    bars = FileMarket(**paths).daily("PBR-A", date(2025, 1, 1), date(2025, 1, 31))
    assert bars.tolist() == [
        (date(2025, 1, 2), 4.0, 4.5, 3.9, 4.4, 900.0),
        (date(2025, 1, 3), 5.0, 5.3, 4.9, 5.2, 100.0),
        (date(2025, 1, 6), 6.0, 6.1, 6.0, 6.05, 50.5),
    ]


def test_profile_has_the_last_close_and_the_files_facts(paths: dict[str, Path]) -> None:
    with serving(FileMarket(**paths), AFTER) as client:
        row = client.get("profile", symbol="PBR-A").json()[0]
    assert (row["price"], row["marketCap"], row["country"]) == (6.05, 1_000_000, "Brazil")


def test_parquet_is_read_like_csv(paths: dict[str, Path], tmp_path: Path) -> None:
    table = pd.read_csv(paths["bars_1m"], parse_dates=["bar_at"])
    table.to_parquet(tmp_path / "minutes.parquet")
    bars = FileMarket(bars_1m=tmp_path / "minutes.parquet").minutes("PBR-A", date(2025, 1, 6))
    assert bars["close"].tolist() == [6.05]


@pytest.mark.parametrize(
    ("text", "message"),
    [("symbol,bar_at\nA,2025-01-03\n", "has no column open"), ("", "can't be read")],
)
def test_unusable_file_is_explained(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bars.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        FileMarket(bars_1m=path)


@contextmanager
def _running(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "ingest.simulator", "--symbols", "20", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_command_serves_until_told_to_stop(stop: signal.Signals) -> None:
    clock = SimulatedClock(datetime(2025, 9, 4, 15), 60, time.time())
    with _running("--clock", str(clock), "--key", "k") as (process, line):
        label, url = line.rsplit(" ", 1)
        rows = requests.get(f"{url.strip()}/actively-trading-list?apikey=k", timeout=10).json()
        os.kill(process.pid, stop)
        assert (label, len(rows), process.wait(10)) == ("simulated market:", 20, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--clock", "noon"], "SIMULATED_CLOCK is 'noon'"),
        (["--start", "noon"], "--start is 'noon'"),
        (["--start", "1990-01-02"], "lives from 2014-01-01"),
        (["--plan", "gold"], "plan is 'gold'"),
        (["--fault", "nonsense=1"], "fault 'nonsense' is unknown"),
        (["--bars-1m", "nowhere.parquet"], "nowhere.parquet is no file"),
    ],
)
def test_wrong_option_ends_with_one_line(options: list[str], message: str) -> None:
    result = CliRunner().invoke(COMMAND, ["--symbols", "20", *options])
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert result.output.startswith("error: ") and message in result.output


def test_taken_port_ends_with_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = CliRunner().invoke(COMMAND, ["--start", "2025-09-04", "--port", str(port)])
    assert result.exit_code == 1
    assert result.output.startswith(f"error: port {port} can't be used")
