"""Publishing: what a snapshot costs after one new session, with a history and with a longer one.

`python -m tests.bench.publishing` builds two warehouses, adds a session, lets dbt build it and
publishes, with a plain copy of the file beside it, measured in the same run.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import typer

from ingest.publish import Published, publish
from tests.bench.market_bars import land_market
from tests.warehouse_builder import run_dbt

FIRST = date(2021, 1, 4)
"""Early enough for ten times the history to be over."""


@dataclass(frozen=True)
class Cost:
    """What publishing cost; seconds and rows are medians."""

    sessions: int
    file_mb: float
    rows: float
    all_rows: int
    publish_seconds: float
    copy_seconds: float
    """Of a plain copy that is on disk then, as what is published is."""


def timed(action: Callable[[], object]) -> float:
    """Return the seconds that `action` takes, with the disk idle before."""
    os.sync()
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def synced_copy(source: Path, target: Path) -> None:
    """Copy a file and wait until it is on disk."""
    shutil.copyfile(source, target)
    with target.open("rb+") as file:
        os.fsync(file.fileno())


def execute(path: Path, *statements: str) -> list[tuple]:
    """Return what the last statement on the database at `path` answers."""
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            rows = connection.execute(statement).fetchall()
        return rows


def hold_back(warehouse: Path, held: Path, sessions: int) -> list[tuple]:
    """Move the newest sessions' bars to the database `held`; return the dates."""
    newest = f"select distinct session_date from raw.bars_1m order by 1 desc limit {sessions}"
    dates = execute(warehouse, newest)
    statements = [f"attach '{held}' as held"]
    for table in ("bars_1m", "bars_1d"):
        rows = f"from raw.{table} where session_date >= '{dates[-1][0]}'"
        statements += [f"create table held.{table} as {rows}", f"delete {rows}"]
    execute(warehouse, *statements)
    return sorted(dates)


def land_session(warehouse: Path, held: Path, session_date: object) -> None:
    """Land the held bars of one session."""
    landing = (
        f"insert into raw.{table} from held.{table} where session_date = '{session_date}'"
        for table in ("bars_1m", "bars_1d")
    )
    execute(warehouse, f"attach '{held}' as held (read_only)", *landing)


def publish_built(warehouse: Path) -> Published:
    """Publish a warehouse that dbt has just built."""
    with duckdb.connect(str(warehouse)) as connection:
        models = connection.execute("select model from intermediate.built_models").fetchall()
        return publish(connection.cursor(), warehouse, [*(name for (name,) in models), "bars_1m"])


def measure(folder: Path, symbols: int, sessions: int, repetitions: int) -> Cost:
    """Publish after each of `repetitions` new sessions on top of a history of `sessions`.

    dbt publishes too; its versions are put aside for the ones from before the new session.
    """
    warehouse, held = folder / "warehouse.duckdb", folder / "held.duckdb"
    land_market(warehouse, symbols, sessions + repetitions, first=FIRST)
    dates = hold_back(warehouse, held, repetitions)
    for _ in range(2):
        run_dbt(folder, "run")
    rows, publishing, copying = [], [], []
    for (session_date,) in dates:
        (folder / "published").rename(folder / "before")
        land_session(warehouse, held, session_date)
        run_dbt(folder, "run")
        shutil.rmtree(folder / "published")
        (folder / "before").rename(folder / "published")
        made: list[Published] = []
        publishing.append(timed(lambda made=made: made.append(publish_built(warehouse))))
        assert made[0].rows is not None, made[0]
        rows.append(made[0].rows)
        copying.append(timed(lambda: synced_copy(warehouse, folder / "copy")))
    ((all_rows,),) = execute(
        warehouse,
        "select sum(estimated_size)::bigint from duckdb_tables() where database_name = 'warehouse'",
    )
    return Cost(
        sessions,
        warehouse.stat().st_size / 1e6,
        statistics.median(rows),
        all_rows,
        statistics.median(publishing),
        statistics.median(copying),
    )


def main(symbols: int = 20, sessions: int = 60, times: int = 10, repetitions: int = 3) -> None:
    """Print the cost with a history of `sessions` and of `times` as many, and the ratios."""
    print(f"duckdb {duckdb.__version__}, {symbols} symbols, one new session")
    costs = []
    for count in (sessions, times * sessions):
        with tempfile.TemporaryDirectory(prefix="publishing") as folder:
            cost = measure(Path(folder), symbols, count, repetitions)
        costs.append(cost)
        print(f"{cost.sessions:,} sessions, file {cost.file_mb:,.1f} MB: ", end="")
        print(f"{cost.rows:,.0f} of {cost.all_rows:,} rows brought over, ", end="")
        print(f"{cost.publish_seconds:.2f} s, plain copy {cost.copy_seconds:.2f} s ", end="")
        print(f"(ratio {cost.publish_seconds / cost.copy_seconds:.2f})", flush=True)
    few, many = costs
    print(f"{times} times the history: file x{many.file_mb / few.file_mb:.1f}, ", end="")
    print(f"rows x{many.rows / few.rows:.1f}, ", end="")
    print(f"publish x{many.publish_seconds / few.publish_seconds:.1f}, ", end="")
    print(f"plain copy x{many.copy_seconds / few.copy_seconds:.1f}")


if __name__ == "__main__":
    typer.run(main)
