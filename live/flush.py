"""Flushing: at the end of a session its day goes from live.duckdb into the warehouse."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa

from ingest.warehouse import open_warehouse

DAY_TABLES = {
    "bars_1m": ("session_date", "= $day"),
    "bar_revisions": ("session_date", "= $day"),
    "quotes": ("quoted_at", "< $day + interval 2 day"),
    "signals": ("session_date", "<= $day"),
    "provisional_events": ("session_date", "<= $day"),
    "fetch_log": ("requested_at", "< $day + interval 2 day"),
    "rejected_rows": ("landed_at", "< $day + interval 2 day"),
    "served_features": ("session_date", "= $day"),
    "served_inputs": ("session_date", "= $day"),
}
"""The raw tables of a day: the column that says how old a row is, and which of live.duckdb's rows
the warehouse is to have of it."""

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


def day_tables(live: duckdb.DuckDBPyConnection, session_date: date) -> dict[str, pa.Table]:
    """Return a session's rows of live.duckdb that the warehouse is to have, by raw table."""
    return {
        table: live.sql(
            f"select * from raw.{table} where {column} {bound}", params={"day": session_date}
        ).to_arrow_table()
        for table, (column, bound) in DAY_TABLES.items()
    }


def forget_before(live: duckdb.DuckDBPyConnection, session_date: date) -> None:
    """Drop the raw rows of live.duckdb that are older than a session, but for its signals."""
    for table in DAY_TABLES.keys() - {"signals"}:
        column, _ = DAY_TABLES[table]
        live.execute(f"delete from raw.{table} where {column} < $day", {"day": session_date})
