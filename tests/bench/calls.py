"""What two mornings cost: the commands of `make ingest`, as a user runs them, and their calls.

`python -m tests.bench.calls --plan premium` scans a simulated market of 8,000 symbols from nothing,
with 120 sessions of minute bars for the watchlist, and once more on the next morning. It prints the
calls by endpoint against the plain way: profile, daily and minute bars of every symbol.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

import duckdb
import typer

from ingest.budget import MB
from ingest.clock import SimulatedClock
from ingest.settings import ROOT
from ingest.simulator.generated import GeneratedMarket
from ingest.simulator.server import SimulatedServer
from tests.bench.copied_market import CopiedMarket

MORNINGS = (datetime(2025, 9, 2, 9, 0), datetime(2025, 9, 3, 9, 0))
COMPANIES = 1000
SESSIONS = 120

INGEST = [sys.executable, "-m", "ingest"]
DBT = [str(Path(sys.executable).with_name("dbt")), "--quiet", "run", "--select"]
STEPS = (
    [*INGEST, "calendar"],
    [*INGEST, "universe"],
    [*INGEST, "profiles"],
    [*INGEST, "splits"],
    [*DBT, "+daily_requests"],
    [*INGEST, "plan"],
    [*INGEST, "daily"],
    [*DBT, "+watchlist", "+minute_requests"],
    [*INGEST, "minute"],
)


def scan(
    market: CopiedMarket, start: datetime, speed: float, plan: str, folder: Path
) -> Counter[str]:
    """Run a morning's commands; return the calls by path, and by status where it is not 200."""
    clock = SimulatedClock.starting(start, speed)
    with SimulatedServer(market, clock, plan=plan) as server:
        environment = os.environ | {
            "DATA_DIR": str(folder),
            "FMP_BASE_URL": server.base_url,
            "FMP_API_KEY": "demo",
            "FMP_PLAN": plan,
            "SIMULATED_CLOCK": str(clock),
            "DBT_PROJECT_DIR": str(ROOT / "dbt_project"),
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "COLUMNS": "120",
        }
        for step in STEPS:
            started = time.monotonic()
            print(f"\n$ {' '.join(step).removeprefix(sys.executable)}", flush=True)
            subprocess.run(step, env=environment, cwd=ROOT, check=True)
            print(f"[{time.monotonic() - started:.0f} s]", flush=True)
        asked = list(server.requests)
    calls = Counter(request.path.removeprefix("/stable/") for request in asked)
    return calls + Counter(f"  of them {r.status}" for r in asked if r.status != 200)


def spent(folder: Path, start: datetime) -> tuple[int, float]:
    """Return calls and bytes of the ledger since `start`."""
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(
            "select sum(attempts), sum(byte_count) from raw.fetch_log where requested_at >= $start",
            {"start": start},
        ).fetchall()[0]


def main(plan: str = "premium", symbols: int = 8000, speed: float = 20.0) -> None:
    """Print what two mornings cost on `plan`; exit with 1 where the first takes too many calls."""
    market = CopiedMarket(GeneratedMarket(seed=7, symbol_count=COMPANIES), symbols // COMPANIES)
    told, shares = [], []
    with tempfile.TemporaryDirectory(prefix="calls") as name:
        for start, sessions in zip(MORNINGS, (SESSIONS, 1), strict=True):
            calls = scan(market, start, speed, plan, Path(name))
            count, byte_count = spent(Path(name), start)
            plain = symbols * (2 + sessions)
            shares.append(count / plain)
            told.append(f"\n{plan}, morning of {start:%Y-%m-%d}, {symbols:,} symbols:")
            told += [f"  {path:<45}{number:>8,}" for path, number in calls.items()]
            told.append(
                f"  {count:,} calls, {byte_count / MB:,.1f} MB; the plain way (profile, daily and "
                f"{sessions} minute call(s) a symbol): {plain:,} = {plain / count:,.0f} times"
            )
    print("\n".join(told))
    raise typer.Exit(shares[0] > 1 / 20)


if __name__ == "__main__":
    typer.run(main)
