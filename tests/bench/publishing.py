"""Publishing: what a new snapshot costs when few rows changed, of N rows and of ten times as many.

`python -m tests.bench.publishing` builds a warehouse, publishes until a version can be recycled,
changes the same few rows of either size and publishes again, with a plain copy of the file beside
it, measured in the same run.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import typer

from ingest.publish import KEPT_VERSIONS, publish
from ingest.warehouse import open_warehouse

CHANGED = 1_000
"""Rows that land between two publications."""

BARS = """
insert into raw.bars_1m
select
    'S' || (i // 800 % 500), date '2025-03-03' + (i // 400000)::int,
    timestamp '2025-03-03 08:00' + to_minutes(i % 800) + to_days((i // 400000)::int),
    5 + random(), 6 + random(), 4 + random(), 5 + random(), (random() * 9000)::int,
    'fmp', timestamp '2025-09-02'
from range($first, $last) as made(i)
"""


@dataclass(frozen=True)
class Cost:
    """What publishing cost; seconds are medians."""

    rows: int
    file_mb: float
    written_mb: float
    publish_seconds: float
    copy_seconds: float
    """Of a plain copy, which is in memory when the call returns."""

    synced_copy_seconds: float
    """Of a plain copy that is on disk then, as what is published is."""


def land(warehouse: Path, first: int, last: int) -> None:
    """Land made-up bars number `first` to `last` and checkpoint."""
    with open_warehouse(warehouse) as connection:
        connection.execute(BARS, {"first": first, "last": last})
        connection.execute("checkpoint")


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


def measure(folder: Path, rows: int, repetitions: int) -> Cost:
    """Publish a warehouse of `rows` bars after each of `repetitions` small changes."""
    warehouse = folder / "warehouse.duckdb"
    land(warehouse, 0, rows)
    for number in range(KEPT_VERSIONS):
        land(warehouse, rows + number * CHANGED, rows + (number + 1) * CHANGED)
        publish(warehouse)
    copied = folder / "copy"
    published, publishing, copying, syncing = [], [], [], []
    for number in range(KEPT_VERSIONS, KEPT_VERSIONS + repetitions):
        land(warehouse, rows + number * CHANGED, rows + (number + 1) * CHANGED)
        publishing.append(timed(lambda: published.append(publish(warehouse))))
        copying.append(timed(lambda: shutil.copyfile(warehouse, copied)))
        copied.unlink()
        syncing.append(timed(lambda: synced_copy(warehouse, copied)))
        copied.unlink()
    return Cost(
        rows,
        published[-1].size_bytes / 1e6,
        statistics.median(each.written_bytes for each in published) / 1e6,
        statistics.median(publishing),
        statistics.median(copying),
        statistics.median(syncing),
    )


def main(rows: int = 2_000_000, repetitions: int = 5) -> None:
    """Print the cost for `rows` and for ten times as many, and the ratios."""
    print(f"duckdb {duckdb.__version__}, {CHANGED:,} rows landed between publications")
    costs = []
    for count in (rows, 10 * rows):
        with tempfile.TemporaryDirectory(prefix="publishing") as folder:
            cost = measure(Path(folder), count, repetitions)
        costs.append(cost)
        print(f"{cost.rows:,} rows, file {cost.file_mb:,.1f} MB: ", end="")
        print(f"{cost.written_mb:,.1f} MB written ({cost.written_mb / cost.file_mb:.1%}), ", end="")
        print(f"{cost.publish_seconds:.2f} s, plain copy {cost.copy_seconds:.2f} s ", end="")
        print(f"(ratio {cost.publish_seconds / cost.copy_seconds:.2f}), ", end="")
        print(f"onto disk {cost.synced_copy_seconds:.2f} s ", end="")
        print(f"(ratio {cost.publish_seconds / cost.synced_copy_seconds:.2f})", flush=True)
    few, many = costs
    print(f"ten times the rows: file x{many.file_mb / few.file_mb:.1f}, ", end="")
    print(f"written x{many.written_mb / few.written_mb:.1f}, ", end="")
    print(f"publish x{many.publish_seconds / few.publish_seconds:.1f}, ", end="")
    print(f"plain copy x{many.copy_seconds / few.copy_seconds:.1f}, ", end="")
    print(f"onto disk x{many.synced_copy_seconds / few.synced_copy_seconds:.1f}")


if __name__ == "__main__":
    typer.run(main)
