"""What the warehouse costs: building it, keeping it up to date, and a live read of it.

`make bench`, or `python -m tests.bench.warehouse [PART ...]` with the parts build, full, daily,
windows, steps, live, live_all. Times are ratios against a peer that ran beside: two Polars programs
that compute the same columns (polars_rolling.py as one writes it, polars_features.py tuned for it;
held equal by tests/test_bench_polars.py), or the same run on less history. Databases go to a
temporary folder, `--folder` keeps them.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from statistics import median

import duckdb
import typer

from ingest.settings import ROOT
from live.prepared import plan_states
from live.served import planned_read
from tests.bench.market_bars import land_market

FEATURES_AND_LABELS = (
    "int_landed_bars", "int_bars_1m_lagged", "int_session_bars", "int_session_inputs",
    "int_usual_volume_by_minute", "features_1m", "labels_1m",
)  # fmt: skip
"""The models that do what the Polars programs do."""

STEPS = {
    "int_bars_1m_lagged": "intermediate/int_bars_1m_lagged",
    "int_usual_volume_by_minute": "intermediate/int_usual_volume_by_minute",
    "int_spread_marks (in features)": "intermediate/int_spread_marks",
    "features_1m": "marts/features_1m",
    "labels_1m": "marts/labels_1m",
}
"""What the time of features and labels goes into: models by path."""

LONG_AGO = date(2020, 10, 1)
READS = 25


@dataclass(frozen=True)
class Run:
    """One `dbt run`."""

    seconds: float
    """From the first model to the last, without dbt's start-up."""

    wall_seconds: float
    peak_mb: float
    model_seconds: dict[str, float]

    @property
    def minute_seconds(self) -> float:
        """The seconds of features and labels."""
        return sum(self.model_seconds[name] for name in FEATURES_AND_LABELS)


def dbt_run(data_dir: Path, *options: str) -> Run:
    """Run dbt on the warehouse in `data_dir`."""
    environment = os.environ | {
        "DATA_DIR": str(data_dir),
        "DBT_TARGET_PATH": str(data_dir / "target"),
        "DBT_LOG_PATH": str(data_dir / "logs"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    command = [sys.executable, "-W", "ignore", "-m", "dbt.cli.main", "--quiet", "run", *options]
    command += ["--project-dir", "dbt_project", "--profiles-dir", "dbt_project"]
    wall_seconds, peak_mb, _ = measured(command, environment)
    results = json.loads((data_dir / "target" / "run_results.json").read_text())
    seconds = {row["unique_id"].split(".")[-1]: row["execution_time"] for row in results["results"]}
    return Run(results["elapsed_time"], wall_seconds, peak_mb, seconds)


def measured(command: list[str], environment: dict[str, str]) -> tuple[float, float, str]:
    """Run a command; return its seconds, its peak memory in MB, and what it printed."""
    started = time.perf_counter()
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(printed + f"failed: {' '.join(command)}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024, printed


def polars_run(module: str, data_dir: Path, *options: str) -> dict[str, float]:
    """Run a peer program over the bars of a built warehouse; return what it measured."""
    out = data_dir / module
    out.mkdir(exist_ok=True)
    warehouse = str(data_dir / "warehouse.duckdb")
    export = [sys.executable, "-m", "tests.bench.bars_io", warehouse, str(out)]
    measured(export, dict(os.environ))
    command = [sys.executable, "-m", f"tests.bench.{module}", warehouse, str(out), *options]
    _, _, printed = measured(command, dict(os.environ))
    result: dict[str, float] = json.loads(printed.splitlines()[-1])
    return result


def bench_build(folder: Path, symbols: int, sessions: int) -> None:
    """Features and labels of a market from nothing, against Polars."""
    data_dir = folder / f"market_{symbols}_{sessions}"
    bars = landed(data_dir, symbols, sessions)
    run = dbt_run(data_dir, "--full-refresh")
    print(f"\n{symbols} symbols x {sessions} sessions, {bars:,} bars", flush=True)
    print(
        f"  SQL features and labels {run.minute_seconds:.1f} s, peak {run.peak_mb:,.0f} MB; "
        f"whole dbt run after start-up {run.seconds:.1f} s"
    )
    for name in FEATURES_AND_LABELS:
        print(f"    {name:28s}{run.model_seconds[name]:6.1f} s")
    for module in ("polars_rolling", "polars_features"):
        peer = polars_run(module, data_dir)
        print(
            f"  {module}: {peer['seconds']:.1f} s, peak {peer['peak_mb']:,.0f} MB: "
            f"SQL takes {run.minute_seconds / peer['seconds']:.1f} times the time and "
            f"{run.peak_mb / peer['peak_mb']:.2f} times the memory",
            flush=True,
        )


def landed(data_dir: Path, symbols: int, sessions: int, first: date | None = None) -> int:
    """Land a market where it has not been landed; return its bars."""
    path = data_dir / "warehouse.duckdb"
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        land_market(path, symbols, sessions, **({"first": first} if first else {}))
    with duckdb.connect(str(path), read_only=True) as connection:
        return int(connection.execute("select count(*) from raw.bars_1m").fetchall()[0][0])


def bench_daily(folder: Path, symbols: int, sessions: int) -> None:
    """A day's run on ten times the history, against the same on one time."""
    runs = {}
    for times in (1, 10):
        data_dir = folder / f"daily_{symbols}_{sessions * times}"
        bars = landed(data_dir, symbols, sessions * times, LONG_AGO)
        with duckdb.connect(str(data_dir / "warehouse.duckdb")) as connection:
            newest = "(select max(session_date) from raw.bars_1m)"
            for table in ("bars_1m", "bars_1d"):
                connection.execute(
                    f"create table {table} as from raw.{table} where session_date = {newest}"
                )
            for table in ("bars_1d", "bars_1m"):
                connection.execute(f"delete from raw.{table} where session_date = {newest}")
        dbt_run(data_dir, "--full-refresh")
        dbt_run(data_dir)  # leaves a retired snapshot of this history, as the day before does
        with duckdb.connect(str(data_dir / "warehouse.duckdb")) as connection:
            for table in ("bars_1m", "bars_1d"):
                connection.execute(f"insert into raw.{table} from {table}")
                connection.execute(f"drop table {table}")
        runs[times] = run = dbt_run(data_dir)
        print(
            f"daily run, {symbols} symbols, {bars:,} bars of history: {run.seconds:.1f} s after "
            f"start-up, {run.wall_seconds:.1f} s in all, peak {run.peak_mb:,.0f} MB",
            flush=True,
        )
    slower = sorted(
        runs[10].model_seconds,
        key=lambda name: runs[1].model_seconds[name] - runs[10].model_seconds[name],
    )[:5]
    print(
        f"  ten times the history: {runs[10].wall_seconds / runs[1].wall_seconds:.2f} times the "
        f"time, {runs[10].seconds / runs[1].seconds:.2f} after start-up; most of it in "
        + ", ".join(
            f"{name} +{runs[10].model_seconds[name] - runs[1].model_seconds[name]:.2f} s"
            for name in slower
        )
    )


def bench_live(folder: Path, symbols: int) -> None:
    """All features of each symbol's newest bar, from live.duckdb with a full day of bars."""
    data_dir = folder / f"live_{symbols}"
    landed(data_dir, symbols, 7)
    dbt_run(data_dir, "--full-refresh")
    make_today(data_dir)
    dbt_run(data_dir, "--target", "live", "--select", "tag:live")
    with duckdb.connect(str(data_dir / "live.duckdb")) as connection:
        connection.execute("set TimeZone = 'UTC'")
        published = data_dir / "published" / "warehouse.duckdb"
        connection.execute(f"attach '{published}' as published (read_only)")
        ((count, newest),) = connection.execute(
            "select count(*), max(bar_at) from raw.bars_1m"
        ).fetchall()
        print(f"\nlive, {symbols:,} symbols, {count:,} bars of today; medians of {READS}")
        query = "from marts.features_1m where bar_at >= $newest"
        unbounded = timed(lambda: connection.execute(query, {"newest": newest}).fetchall())
        connection.execute(f"set variable rows_from = timestamp '{newest}'")
        read = timed(lambda: connection.execute(query, {"newest": newest}).fetchall())
        print(f"  one read of all features {read:.1f} ms; unbounded {unbounded:.1f} ms", end="")
        print(f" ({unbounded / read:.1f} times)")
        planning = planning_ms(connection, f"from marts.features_1m where bar_at >= '{newest}'")
        nothing = timed(lambda: connection.execute("select 1").fetchall())
        print(f"  of it DuckDB plans for {planning:.1f} ms; `select 1` takes {nothing:.2f} ms")
        print("  " + states_read(connection, newest, symbols))
        for name, seconds in freshening(connection, newest).items():
            print(f"  keeping {name} fresh, a minute of all symbols: {seconds:.1f} ms")


def states_read(connection: duckdb.DuckDBPyConnection, newest: datetime, symbols: int) -> str:
    """Return how long the newest bars' states take: from the views, and beside prepared rows."""
    connection.execute(
        "insert into intermediate.int_bars_prepared by name "
        "from intermediate.int_known_before where bar_at = $newest",
        {"newest": newest},
    )
    plan_states(connection, symbols)

    def read(query: str) -> float:
        return timed(lambda: connection.execute(query).fetchall())

    views_ms = read(f"from marts.states_1m where bar_at >= '{newest}'")
    prepared_ms = read(planned_read(newest))
    return f"one read of all states {views_ms:.1f} ms; beside prepared rows {prepared_ms:.1f} ms"


def make_today(data_dir: Path) -> None:
    """Put a full day of bars into live.duckdb: the newest session's, as of the coming one."""
    with duckdb.connect(str(data_dir / "live.duckdb")) as connection:
        connection.execute((ROOT / "ingest" / "raw_schema.sql").read_text())
        published = data_dir / "published" / "warehouse.duckdb"
        connection.execute(f"attach '{published}' as published (read_only)")
        connection.execute(
            """
            insert into raw.bars_1m by name
            select
                bars.* replace (
                    coming.session_date as session_date,
                    bars.bar_at + (coming.open_at - newest.open_at) as bar_at
                )
            from published.raw.bars_1m as bars
            inner join published.marts.market_sessions as newest using (session_date)
            cross join published.marts.coming_session as coming
            where bars.session_date = (select max(session_date) from published.raw.bars_1m)
            """
        )


def freshening(connection: duckdb.DuckDBPyConnection, newest: datetime) -> dict[str, float]:
    """Return the milliseconds that keeping each live table fresh takes for the newest minute."""
    tables = connection.execute("from intermediate.live_tables").fetchall()

    def freshen(name: str, definition: str, newest_input: str) -> None:
        connection.execute("begin")
        values = {"newest": newest}
        connection.execute(f"delete from {name} where {newest_input} >= $newest", values)
        connection.execute(
            f"insert into {name} by name from {definition} where {newest_input} = $newest", values
        )
        connection.execute("rollback")

    return {
        name: timed(lambda n=name, d=definition, i=newest_input: freshen(n, d, i))
        for name, definition, newest_input, _ in tables
    }


def planning_ms(connection: duckdb.DuckDBPyConnection, query: str) -> float:
    """Return the median milliseconds that DuckDB takes to bind, optimize and plan a query."""
    connection.execute("set enable_profiling = 'no_output'; set profiling_mode = 'detailed'")
    milliseconds = []
    for _ in range(READS):
        connection.execute(query).fetchall()
        profile = json.loads(connection.get_profiling_information(format="json"))
        phases = ("planner", "optimizer", "physical_planner")
        milliseconds.append(sum(profile[phase]["total_time"] for phase in phases) * 1000)
    connection.execute("pragma disable_profiling")
    return median(milliseconds)


def timed(work: Callable[[], object]) -> float:
    """Return the median milliseconds of doing something."""
    milliseconds = []
    for _ in range(READS):
        started = time.perf_counter()
        work()
        milliseconds.append((time.perf_counter() - started) * 1000)
    return median(milliseconds)


def bench_windows(folder: Path) -> None:
    """What DuckDB's windows cost: CPU seconds a million bars, beside a copy of the same bars."""
    data_dir = folder / "market_50_60"
    landed(data_dir, 50, 60)
    window = "partition by symbol, session_date order by bar_at"
    half_hour = "range between interval 30 minutes preceding and current row"
    queries = {
        "a copy": "",
        "one lag": f", lag(close) over ({window}) as a",
        "thirty lags": "".join(f", lag(close, {k}) over ({window}) as a{k}" for k in range(1, 31)),
        "one sum so far": f", sum(volume) over ({window} rows unbounded preceding) as a",
        "one high of half an hour": f", max(high) over ({window} {half_hour}) as a",
        "high and low of half an hour": f", max(high) over ({window} {half_hour}) as a, "
        f"min(low) over ({window} {half_hour}) as b",
    }
    with duckdb.connect(str(data_dir / "warehouse.duckdb"), read_only=True) as connection:
        print("\nCPU seconds a million bars")
        for name, columns in queries.items():
            query = f"create or replace temp table t as select *{columns} from raw.bars_1m"
            spent = []
            for _ in range(3):
                before = cpu_seconds()
                ((rows,),) = connection.execute(query).fetchall()
                spent.append((cpu_seconds() - before) / rows * 1e6)
            print(f"  {name:30s}{min(spent):6.2f}", flush=True)


def bench_steps(folder: Path) -> None:
    """Where the time of features and labels goes: CPU seconds a million bars of each step."""
    data_dir = folder / "market_50_120"
    bars = landed(data_dir, 50, 120)
    dbt_run(data_dir, "--full-refresh")
    compiled = data_dir / "target" / "compiled" / "repump" / "models"
    steps = {name: (compiled / f"{path}.sql").read_text() for name, path in STEPS.items()}
    known_before = (compiled / "intermediate" / "int_known_before.sql").read_text()
    windows = known_before.partition("known_before as (")[0].rstrip(",\n ")
    steps["of it windows"] = f"{windows} select * from windowed"
    with duckdb.connect(str(data_dir / "warehouse.duckdb")) as connection:
        connection.execute(
            "insert into intermediate.build_scope "
            "select distinct symbol, session_date from intermediate.int_bars_1m_lagged"
        )
        print("\nCPU seconds a million bars: to compute, and to write")
        for name, query in steps.items():
            seconds = []
            for statement in (
                f"select count(*), bit_xor(hash(columns(*))) from ({query})",
                f"create or replace temp table made as {query}",
                "create or replace table main.stored as from made; checkpoint",
            ):
                before = cpu_seconds()
                connection.execute(statement).fetchall()
                seconds.append((cpu_seconds() - before) / bars * 1e6)
            print(f"  {name:30s}{seconds[0]:6.2f}{seconds[2]:6.2f}", flush=True)


def cpu_seconds() -> float:
    """Return the CPU seconds of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


PARTS: dict[str, Callable[[Path], None]] = {
    "build": lambda folder: bench_build(folder, 50, 120),
    "full": lambda folder: bench_build(folder, 500, 120),
    "daily": lambda folder: bench_daily(folder, 50, 120),
    "windows": bench_windows,
    "steps": bench_steps,
    "live": lambda folder: bench_live(folder, 50),
    "live_all": lambda folder: bench_live(folder, 8000),
}


def main(parts: list[str] = typer.Argument(None), folder: Path | None = None) -> None:  # noqa: B008
    """Run the parts, or all of them."""
    with tempfile.TemporaryDirectory(prefix="bench") as scratch:
        for part in parts or PARTS:
            PARTS[part](folder or Path(scratch))
    print(f"\nduckdb {duckdb.__version__}, {os.cpu_count()} cores, ", end="")
    print(
        f"peak of this program {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB"
    )


if __name__ == "__main__":
    typer.run(main)
