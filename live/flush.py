"""Flushing: at the end of a session its day goes from live.duckdb into the warehouse."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb
import pyarrow as pa

from ingest.warehouse import open_warehouse

FLUSH = Path(__file__).with_name("flush.sql").read_text()


def flush_day(warehouse_path: Path, tables: Mapping[str, pa.Table], wait_seconds: float) -> None:
    """Add a day's rows, by raw table, to the warehouse; doing it again changes nothing.

    Raises DatabaseLockedError where a job holds the warehouse for longer than `wait_seconds`.
    """
    with open_warehouse(warehouse_path, wait_seconds=wait_seconds) as connection:
        for name, rows in tables.items():
            connection.register(f"day_{name}", rows)
        connection.execute("begin")
        try:
            connection.execute(FLUSH)
        except duckdb.Error:
            connection.execute("rollback")
            raise
        connection.execute("commit")
