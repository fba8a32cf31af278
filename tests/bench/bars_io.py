"""What the bench's programs read and write: inputs as Parquet in, marts as Parquet out.

`python -m tests.bench.bars_io BARS_DB OUT_DIR` takes the minute bars of a warehouse out, with all
that the programs need beside them, into OUT_DIR/inputs: a step of its own, not timed. It assumes no
splits in the bars' time, and one provider.
"""

from __future__ import annotations

import json
import resource
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
import typer

MARTS = ("features", "labels")
Frames = dict[str, pl.DataFrame]
"""Of each mart, by its name: rows."""


@dataclass(frozen=True)
class Inputs:
    """What a program computes from."""

    bars: pl.DataFrame
    """symbol, session_date, bar_at, open, high, low, close, volume; symbol is categorical."""
    calendar: pl.DataFrame
    """raw.market_calendar."""
    daily_state: pl.DataFrame
    """symbol, session_date, previous_close, atr5_pct, pump_days_60d."""
    newest_landing: datetime
    """Sessions that ended by then have labels."""


Program = Callable[[pl.DataFrame, Inputs], Iterable[tuple[str, Frames]]]
"""Takes some symbols' bars; yields rows of both marts, each part under a name."""


DAILY_STATE = """
with series as (
    select
        symbol, session_date, close,
        high / lag(close) over by_session - 1 >= 0.08 as is_pump_day,
        greatest(high, lag(close) over by_session) - least(low, lag(close) over by_session)
            as true_range,
        row_number() over by_session as number,
    from raw.bars_1d
    window by_session as (partition by symbol order by session_date)
),
daily as (
    select
        symbol, session_date, close as previous_close,
        case when number > 5 then avg(true_range) over last_5 / close end as atr5_pct,
        case when number >= 20
            then (count(*) filter (where is_pump_day) over last_60)::integer
        end as pump_days_60d,
    from series
    window
        last_5 as (partition by symbol order by session_date rows 4 preceding),
        last_60 as (partition by symbol order by session_date rows 59 preceding)
)
select bars.symbol, bars.session_date, previous_close, atr5_pct, pump_days_60d
from (select distinct symbol, session_date from raw.bars_1m) as bars
asof inner join daily
    on bars.symbol = daily.symbol and bars.session_date > daily.session_date
"""


def export(warehouse: Path, folder: Path, symbols: list[str] | None = None) -> None:
    """Write the inputs as Parquet: bars as they landed, calendar, daily state, newest landing.

    Only `symbols`, if given. The daily state is the warehouse's where dbt has built it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(warehouse), read_only=True) as connection:

        def copy(query: str, name: str) -> None:
            connection.execute(f"copy ({query}) to '{folder / name}.parquet'")

        def count(query: str) -> int:
            return connection.execute(query).fetchall()[0][0]

        chosen = "true"
        if symbols is not None:
            names = ", ".join(f"'{symbol}'" for symbol in symbols)
            chosen = f"symbol in ({names})"
        assert not count(f"select count(*) from raw.splits where {chosen}"), "splits"
        assert count("select count(distinct provider) from raw.bars_1m") == 1, "one provider"
        built = count(
            "select count(*) from information_schema.tables where table_name = 'int_daily_state'"
        )
        state = "select * from intermediate.int_daily_state" if built else DAILY_STATE
        copy(
            "select symbol, session_date, bar_at, open, high, low, close, volume from raw.bars_1m "
            f"where {chosen}",
            "bars",
        )
        copy("select * from raw.market_calendar", "calendar")
        copy(
            "select symbol, session_date, previous_close, atr5_pct, pump_days_60d "
            f"from ({state}) where {chosen}",
            "daily_state",
        )
        copy("select max(landed_at) as landed_at from raw.bars_1m", "newest_landing")


def read_inputs(folder: Path) -> Inputs:
    """Read what `export` wrote."""
    bars = pl.scan_parquet(folder / "bars.parquet")
    bars = bars.with_columns(pl.col("symbol").cast(pl.Categorical)).collect()
    daily = pl.read_parquet(folder / "daily_state.parquet")
    daily = daily.with_columns(pl.col("symbol").cast(pl.Categorical))
    calendar = pl.read_parquet(folder / "calendar.parquet")
    newest = pl.read_parquet(folder / "newest_landing.parquet").item()
    return Inputs(bars, calendar, daily, newest)


def empty_folders(out: Path) -> None:
    """Make `out`/features and `out`/labels, without what an earlier run left there."""
    for name in MARTS:
        shutil.rmtree(out / name, ignore_errors=True)
        (out / name).mkdir(parents=True)


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Write by pyarrow, uncompressed, with dictionaries for text alone.

    CPU time of the others: sink_parquet uncompressed 1.3, lz4 1.7, zstd level 1 2.2 times this one.
    """
    text = ["symbol", "session_segment"]
    pq.write_table(
        frame.to_arrow(), path, compression="none", use_dictionary=text, write_statistics=False
    )


def run(program: Program, folder: Path, out: Path, symbols_per_batch: int = 5) -> int:
    """Write both marts of the inputs in `folder` as Parquet below `out`; return the bars' number.

    `symbols_per_batch`: 0 is the whole market at once.
    """
    empty_folders(out)
    inputs = read_inputs(folder)
    rows = 0
    for number, bars in enumerate(batches(inputs.bars, symbols_per_batch)):
        for part, frames in program(bars, inputs):
            rows += len(frames["features"])
            for mart, frame in frames.items():
                write_parquet(frame, out / mart / f"{number:04d}_{part}.parquet")
    return rows


def batches(bars: pl.DataFrame, symbols: int) -> Iterator[pl.DataFrame]:
    """Yield the bars of that many symbols at a time; all at once for 0."""
    if not symbols:
        yield bars
        return
    batch = bars.select(pl.col("symbol").to_physical() // symbols).with_row_index("row")
    for part in batch.partition_by("symbol", include_key=False):
        yield bars[part["row"]]


def report(program: Program, bars_db: Path, out_dir: Path, symbols_per_batch: int) -> None:
    """Run a program on the inputs in OUT_DIR, and print its rows, seconds and peak as JSON.

    Where they are missing they are exported first, and the peak is then that of both.
    """
    folder = out_dir / "inputs"
    if not (folder / "bars.parquet").exists():
        export(bars_db, folder)
    before, started = cpu_seconds(), time.perf_counter()
    rows = run(program, folder, out_dir, symbols_per_batch)
    result = {
        "rows": rows,
        "seconds": round(time.perf_counter() - started, 3),
        "cpu_seconds": round(cpu_seconds() - before, 3),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print(json.dumps(result), flush=True)


def cpu_seconds() -> float:
    """Return the CPU time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main(bars_db: Path, out_dir: Path) -> None:
    """Export the inputs of BARS_DB to OUT_DIR/inputs."""
    export(bars_db, out_dir / "inputs")


if __name__ == "__main__":
    typer.run(main)
