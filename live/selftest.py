"""The self-test at the service's start: golden vectors through the views that it will ask.

live/golden/ has, per relation that the views read, literal rows, and in marts.states_1m.csv what
the views must make of them, by an implementation of its own (tests/golden.py). The views are made
again, from their text in live.duckdb, in a scratch database in memory: nothing here is touched.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from live.database import fetch_rows
from live.live_tables import LiveTables
from live.prepared import Basis, PreparedRows
from live.warehouse import LiveWarehouse

GOLDEN = Path(__file__).parent / "golden"
RESULT = "marts.states_1m"
PREPARED = "intermediate.int_states_prepared"
TOLERANCE = 1e-9
NEWEST_MINUTES = 20
"""Of these, the vectors are asked for once more as the loop reads: bounded."""

Row = dict[str, Any]

TABLES = """
select
    concat_ws('.', case when database_name = 'published' then database_name end,
        schema_name, table_name) as relation,
    string_agg(format('"{}" {}', column_name, data_type), ', ' order by column_index) as columns
from duckdb_columns()
where not internal and (
    database_name = 'published'
    or (database_name, schema_name, table_name) in (
        select (database_name, schema_name, table_name) from duckdb_tables()
        where database_name = current_database()
    )
)
group by all
"""
VIEWS = """
select schema_name || '.' || view_name as relation, sql from duckdb_views()
where database_name = current_database() and not internal
"""
KEPT = "from intermediate.live_tables"


def failed_self_test(warehouse: LiveWarehouse) -> str | None:
    """Return what the views give otherwise than they must; None where all is right."""
    listed = warehouse.read(KEPT)
    kept = {row["table_name"]: row["definition"] for row in listed}
    tables = {row["relation"]: row["columns"] for row in warehouse.read(TABLES)}
    views = {row["relation"]: row["sql"] for row in warehouse.read(VIEWS)}
    with duckdb.connect() as scratch:
        scratch.execute("set TimeZone = 'UTC'; attach ':memory:' as published")
        for relation, columns in tables.items():
            if relation not in kept:
                _create(scratch, relation, f"create table {relation} ({columns})")
        try:
            _load(scratch)
            for row in listed:
                scratch.execute(
                    "insert into intermediate.live_tables select unnest($row)", {"row": row}
                )
            _create_views(scratch, views, kept)
            return _difference(scratch)
        except duckdb.Error as error:
            return f"the golden vectors can't be asked for: {' '.join(str(error).split())}"


def _create(scratch: duckdb.DuckDBPyConnection, relation: str, statement: str) -> None:
    schema, _, _ = relation.rpartition(".")
    scratch.execute(f"create schema if not exists {schema}")
    scratch.execute(statement)


def _load(scratch: duckdb.DuckDBPyConnection) -> None:
    for path in GOLDEN.glob("*.csv"):
        if path.stem != RESULT:
            scratch.execute(
                f"insert into {path.stem} by name from read_csv($path, nullstr = '')",
                {"path": str(path)},
            )


def _create_views(
    scratch: duckdb.DuckDBPyConnection, views: dict[str, str], kept: dict[str, str]
) -> None:
    """Make the views, and the tables that are kept of some of them, in an order that works."""
    left = views | {name: f"create table {name} as from {view}" for name, view in kept.items()}
    while left:
        made = [name for name, statement in left.items() if _is_made(scratch, name, statement)]
        if not made:
            relation, statement = next(iter(left.items()))
            _create(scratch, relation, statement)  # raises what is wrong with it
        left = {name: statement for name, statement in left.items() if name not in made}


def _is_made(scratch: duckdb.DuckDBPyConnection, relation: str, statement: str) -> bool:
    try:
        _create(scratch, relation, statement)
    except duckdb.CatalogException:
        return False
    return True


def _difference(scratch: duckdb.DuckDBPyConnection) -> str | None:
    wanted = _golden_rows(scratch)
    newest = max(row["bar_at"] for row in wanted)
    since = newest.replace(minute=newest.minute - newest.minute % NEWEST_MINUTES)
    for relation, start in ((RESULT, None), (RESULT, since), (PREPARED, newest)):
        scratch.execute("set variable rows_from = $start::timestamp", {"start": start})
        if relation == PREPARED:
            _prepare(scratch, newest)
        found = _rows(scratch, f"from {relation} where bar_at >= coalesce($since, bar_at)", start)
        differing = list(_differing(wanted, found, start))
        if differing:
            more = f" (and {len(differing) - 1} more)" if len(differing) > 1 else ""
            return f"{relation} differs from live/golden: {differing[0]}{more}"
    return None


def _prepare(scratch: duckdb.DuckDBPyConnection, minute: datetime) -> None:
    """Do what the loop does before the bars of a minute come, and have them come."""
    bars: pa.Table = scratch.execute(
        "delete from raw.bars_1m where bar_at = $minute returning *", {"minute": minute}
    ).to_arrow_table()
    live_tables = LiveTables(scratch)
    live_tables.drop_bars_from(minute)
    session_date, provider = (bars[name][0].as_py() for name in ("session_date", "provider"))
    basis = Basis(session_date, "golden", provider, frozenset(bars["symbol"].to_pylist()))
    PreparedRows(scratch, live_tables).prepare(minute, basis, None)
    scratch.register("bars", bars)
    scratch.execute("insert into raw.bars_1m by name from bars")


def _golden_rows(scratch: duckdb.DuckDBPyConnection) -> list[Row]:
    """Return the wanted rows, in the types of the view; a column that it lacks is an error."""
    path = GOLDEN / f"{RESULT}.csv"
    with path.open(newline="") as file:
        names = ", ".join(next(csv.reader(file)))
    scratch.execute(f"create table golden as select {names} from {RESULT} limit 0")
    scratch.execute(
        "insert into golden by name from read_csv($path, nullstr = '')", {"path": str(path)}
    )
    return _rows(scratch, "from golden where bar_at >= coalesce($since, bar_at)", None)


def _rows(scratch: duckdb.DuckDBPyConnection, query: str, since: datetime | None) -> list[Row]:
    return fetch_rows(scratch.execute(query, {"since": since}))


def _differing(wanted: list[Row], found: list[Row], since: datetime | None) -> Iterator[str]:
    """Yield each wanted cell that is not found as it should be."""
    by_key = {(row["symbol"], row["bar_at"]): row for row in found}
    for row in wanted:
        if since is not None and row["bar_at"] < since:
            continue
        where = f"{row['symbol']} at {row['bar_at']}"
        got = by_key.get((row["symbol"], row["bar_at"]))
        if got is None:
            yield f"{where} has no row"
            continue
        for name, value in row.items():
            if not _is_same(value, got[name]):
                yield f"{name} of {where} is {got[name]}, not {value}"


def _is_same(wanted: Any, got: Any) -> bool:
    if isinstance(wanted, float) and isinstance(got, float):
        return math.isclose(wanted, got, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(wanted == got)
