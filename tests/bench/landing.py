"""Landing: minute bars a second from parsed answers to committed rows, and the memory it takes.

`python -m tests.bench.landing` lands batches as the minute job does (answers of one session each,
ledger lines, one transaction a batch, the warehouse opened for each), then twice as many symbols,
and prints the ratio to a bare insert of the same rows measured in the same run.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import typer

from ingest import batches
from ingest.batches import Batch, Summary
from ingest.clock import SimulatedClock
from ingest.logs import silence
from ingest.providers.errors import FetchRecord
from ingest.providers.fmp import Answer
from ingest.warehouse import open_warehouse

AT = datetime(2025, 9, 2, 12, 30)
FIRST = date(2025, 3, 3)
BARS = 800
"""Minute bars of one session of an active name, extended hours included."""


def answer_of(symbol: str, session: date) -> Answer:
    """Return a parsed answer: one session's bars, made up."""
    rng = np.random.default_rng([len(symbol), session.toordinal()])
    start = np.datetime64(datetime.combine(session, datetime.min.time()), "us")
    close = 5 + rng.normal(0, 0.01, BARS).cumsum().clip(-3, 3)
    table = pa.table(
        {
            "symbol": pa.array([symbol] * BARS),
            "session_date": pa.array([session] * BARS, pa.date32()),
            "bar_at": pa.array(
                start + np.arange(480, 480 + BARS) * np.timedelta64(60_000_000, "us")
            ),
            "open": close,
            "high": close + 0.01,
            "low": close - 0.01,
            "close": close,
            "volume": rng.integers(100, 9000, BARS).astype("f8"),
        }
    )
    record = FetchRecord("bars_1m", AT, symbol, session, session, outcome="ok", row_count=BARS)
    return Answer(table, record)


def land_symbols(warehouse: Path, symbols: int, sessions: int) -> tuple[int, float]:
    """Land all bars of `symbols`; return rows and the seconds that landing took."""
    batch = Batch(warehouse, SimulatedClock(AT, 0, 0), Summary(), "fmp")
    rows, seconds = 0, 0.0
    for day in range(sessions):
        for number in range(symbols):
            answer = answer_of(f"S{number:04d}", FIRST + timedelta(days=day))
            batch.add("bars_1m", answer)
            rows += BARS
            if batch.is_due:
                seconds += _timed(batch)
    return rows, seconds + _timed(batch)


def _timed(batch: Batch) -> float:
    started = time.perf_counter()
    batch.land()
    return time.perf_counter() - started


def bare_insert(warehouse: Path, symbols: int, sessions: int) -> float:
    """Return the seconds that plain inserts of the same batches take, committed one by one."""
    seconds, waiting = 0.0, []
    with open_warehouse(warehouse) as connection:
        for day in range(sessions):
            waiting += [
                answer_of(f"S{number:04d}", FIRST + timedelta(days=day)).table
                for number in range(symbols)
            ]
            if len(waiting) < batches.BATCH_ANSWERS and day < sessions - 1:
                continue
            started = time.perf_counter()
            connection.register("rows", pa.concat_tables(waiting))
            connection.execute(
                "insert into raw.bars_1m select *, 'fmp', timestamp '2025-09-02' from rows"
            )
            connection.unregister("rows")
            seconds += time.perf_counter() - started
            waiting = []
    return seconds


def main(symbols: int = 50, sessions: int = 60, measure: bool = False) -> None:
    """Print rows a second and memory, for `symbols` and for twice as many."""
    if measure:
        with tempfile.TemporaryDirectory(prefix="landing") as folder:
            silence()
            rows, seconds = land_symbols(Path(folder) / "warehouse.duckdb", symbols, sessions)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            bare = bare_insert(Path(folder) / "bare.duckdb", symbols, sessions)
        print(
            f"{rows:,} bars of {symbols} symbols: {rows / seconds:,.0f} bars/s from parsed ", end=""
        )
        print(f"answers to committed rows, {rows / bare:,.0f} by bare inserts ", end="")
        print(f"({bare / seconds:.0%}), peak memory {peak:,.0f} MB", flush=True)
        return
    for count in (symbols, 2 * symbols):
        command = [sys.executable, "-m", "tests.bench.landing", "--measure"]
        command += ["--symbols", str(count), "--sessions", str(sessions)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    typer.run(main)
