"""Proof by the number: many recorded sessions through the live loop, each held against batch.

`python -m tests.bench.replay [MARKET ...]` with the markets generated, real_2018, real_2025. Prints
a line per session and the sums; ends with status 1 where a cell differs or a signal does.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from itertools import repeat
from pathlib import Path

import duckdb
import typer

from ingest.settings import Settings
from ingest.simulator.generated import GeneratedMarket
from live.recorded import read_day, replayable
from live.replay import Stage, stage
from tests.test_parity import EVERY_SYMBOL_PASSES
from tests.warehouse_builder import REAL, land_generated, land_real, run_dbt

FIRST, LAST = date(2024, 10, 15), date(2024, 12, 27)


@dataclass(frozen=True)
class Outcome:
    """What came of one session."""

    session_date: date
    steps: int
    rows: int
    cells: int
    """Values compared: served rows times features."""
    differing: int
    unexplained: int
    signals: int
    offline: int
    is_same: bool
    seconds: float


def replay(scratch: Stage, session_date: date, every_minutes: int) -> Outcome:
    """Replay one session, in a process of its own."""
    started = time.perf_counter()
    replayed = scratch.replay(read_day(scratch.snapshot, session_date, every_minutes))
    rows = max(row["rows_compared"] for row in replayed.report)
    return Outcome(
        session_date,
        len(replayed.day.steps),
        rows,
        rows * len(replayed.report),
        len(replayed.cells),
        replayed.unexplained,
        len(replayed.signals),
        len(replayed.offline),
        replayed.replayed == replayed.offline and rows == replayed.bar_count,
        time.perf_counter() - started,
    )


def build(market: str, data_dir: Path, symbols: int) -> Settings:
    """Land and build a market where it has not been; return settings that use it."""
    warehouse = data_dir / "warehouse.duckdb"
    if not warehouse.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        if market == "generated":
            generated = GeneratedMarket()
            names = generated.watchlist_grade()[:symbols]
            land_generated(warehouse, generated, names, FIRST, LAST)
        else:
            year = int(market.removeprefix("real_"))
            query = f"select distinct symbol from '{REAL}/minute_{year}.parquet' order by 1"
            land_real(warehouse, year, [symbol for (symbol,) in duckdb.sql(query).fetchall()])
        run_dbt(data_dir, "run", "--vars", EVERY_SYMBOL_PASSES)
    return Settings(data_dir=data_dir, dbt_vars=EVERY_SYMBOL_PASSES, _env_file=None)  # type: ignore[call-arg]


def outcomes(
    settings: Settings, sessions: int, every_minutes: int, workers: int
) -> Iterator[Outcome]:
    """Replay the newest sessions, several at a time."""
    processes = multiprocessing.get_context("spawn")  # DuckDB has threads, which no fork survives
    with stage(settings) as scratch, ProcessPoolExecutor(workers, processes) as pool:
        days = replayable(scratch.snapshot)[-sessions:]
        yield from pool.map(replay, repeat(scratch), days, repeat(every_minutes))


def main(
    markets: list[str] = typer.Argument(None),  # noqa: B008
    sessions: int = 20,
    every: int = 1,
    symbols: int = 50,
    workers: int = os.cpu_count() or 1,
    folder: Path | None = None,
) -> None:
    """Replay the newest SESSIONS of each market, bars coming EVERY so many minutes."""
    is_proven = True
    with tempfile.TemporaryDirectory(prefix="replay_bench") as scratch:
        for market in markets or ["generated", "real_2018", "real_2025"]:
            settings = build(market, (folder or Path(scratch)) / market, symbols)
            started = time.perf_counter()
            done = []
            for outcome in outcomes(settings, sessions, every, workers):
                done.append(outcome)
                verdict = "the same" if outcome.is_same else "NOT THE SAME"
                print(
                    f"{market} {outcome.session_date}: {outcome.steps:4d} steps, "
                    f"{outcome.rows:6,} rows, {outcome.cells:9,} cells, "
                    f"{outcome.differing} differ, {outcome.signals} signals, "
                    f"{outcome.offline} offline, {verdict}, {outcome.seconds:.1f} s",
                    flush=True,
                )
            seconds = time.perf_counter() - started
            print_sums(market, done, seconds)
            is_proven &= all(one.is_same and not one.differing for one in done)
    raise typer.Exit(0 if is_proven else 1)


def print_sums(market: str, done: list[Outcome], seconds: float) -> None:
    """Print what all sessions of a market come to."""
    print(
        f"{market}: {len(done)} sessions, {sum(one.steps for one in done):,} steps, "
        f"{sum(one.rows for one in done):,} rows, {sum(one.cells for one in done):,} cells: "
        f"{sum(one.differing for one in done)} differ, "
        f"{sum(one.unexplained for one in done)} unexplained; "
        f"{sum(one.signals for one in done)} signals, "
        f"{sum(not one.is_same for one in done)} sessions with other ones; "
        f"{seconds:.0f} s, {len(done) / seconds * 60:.1f} sessions a minute",
        flush=True,
    )


if __name__ == "__main__":
    typer.run(main)
