"""Renewing a retired snapshot: of each table, the partitions that changed since are brought over.

A table that is built session by session has a ledger of what each partition was made from, and the
snapshot has the ledger as it was: where the two say the same, nothing is read. Other tables are
compared day by day, by the hashes of their rows. Views and table functions are made again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from ingest.transaction import transaction

CHANGED_PARTITIONS = Path(__file__).with_name("changed_partitions.sql").read_text()

MOST_CHANGED = 0.1
"""The share of the ledgers' partitions beyond which a copy of the file takes less time."""

LEDGER = ("intermediate", "built_partitions")

NOT_RENEWED = """
select count(*) from (
    select database_name from duckdb_indexes()
    union all select database_name from duckdb_sequences()
    union all select database_name from duckdb_types() where not internal
    union all select database_name from duckdb_functions() where function_type = 'macro'
) where database_name in ('warehouse', 'snapshot')
"""

Table = tuple[str, str]
"""Schema and name."""


class NotRenewableError(RuntimeError):
    """The snapshot can't be renewed, or not in less time than a copy of the file takes."""


def renew(connection: duckdb.DuckDBPyConnection, path: Path, ledgered: Collection[str]) -> int:
    """Make the snapshot at `path` hold what the database `warehouse` holds.

    Return the number of rows that were brought over.
    `ledgered` names the tables whose ledger says what they hold now. The file is of no use where
    this raises NotRenewableError, duckdb.Error or OSError.
    """
    with attached(connection, path):
        ((others,),) = connection.execute(NOT_RENEWED).fetchall()
        if others:
            raise NotRenewableError("there are indexes, sequences, types or scalar macros")
        wanted, held = tables(connection, "warehouse"), tables(connection, "snapshot")
        alike = [table for table, definition in wanted.items() if held.get(table) == definition]
        by_ledger = find_changed_partitions(connection, alike, ledgered)
        with transaction(connection):
            drop_views(connection)
            for table in held.keys() - alike:
                connection.execute(f"drop table snapshot.{quoted(*table)}")
            renew_schemas(connection)
            for table in wanted.keys() - alike:
                connection.execute(wanted[table])
            rows = sum(
                bring_partitions(connection, table)
                if table in by_ledger
                else bring_days(connection, table)
                for table in wanted
            )
        check_counts(connection, wanted)
        make_views(connection)
        make_table_functions(connection)
        connection.execute("checkpoint snapshot")
    return rows


@contextmanager
def attached(connection: duckdb.DuckDBPyConnection, path: Path) -> Iterator[None]:
    """Attach `path` as `snapshot`, where names without a database are looked up meanwhile.

    Nothing is logged beside the file: whoever is interrupted starts with another one.
    """
    literal = str(path).replace("'", "''")
    connection.execute(f"attach '{literal}' as snapshot (recovery_mode no_wal_writes)")
    try:
        connection.execute("use snapshot")
        yield
    finally:
        connection.execute("use warehouse")
        connection.execute("detach snapshot")


def quoted(*names: str) -> str:
    """Return a name as SQL has it.

    >>> quoted("marts", 'a"b')
    '"marts"."a""b"'
    """
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def tables(connection: duckdb.DuckDBPyConnection, database: str) -> dict[Table, str]:
    """Return the tables of a database with their definitions."""
    rows = connection.execute(
        "select schema_name, table_name, sql from duckdb_tables() "
        "where database_name = $database order by table_oid",
        {"database": database},
    ).fetchall()
    return {(schema, name): definition for schema, name, definition in rows}


def find_changed_partitions(
    connection: duckdb.DuckDBPyConnection, alike: Collection[Table], ledgered: Collection[str]
) -> set[Table]:
    """Fill the temp table changed_partitions; return the tables that it speaks of."""
    by_ledger = {table for table in alike if table[1] in ledgered}
    if not by_ledger:
        return set()
    connection.execute(CHANGED_PARTITIONS, {"tables": [name for _, name in by_ledger]})
    ((changed, known),) = connection.execute(
        "select (select count(*) from changed_partitions), "
        "(select count(*) from warehouse.intermediate.built_partitions)"
    ).fetchall()
    if changed > MOST_CHANGED * known:
        raise NotRenewableError(f"{changed:,} partitions changed")
    return by_ledger


def renew_schemas(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the schemas that are missing."""
    schemas = connection.execute(
        "select schema_name from duckdb_schemas() where database_name = 'warehouse'"
    ).fetchall()
    for (schema,) in schemas:
        connection.execute(f"create schema if not exists snapshot.{quoted(schema)}")


def bring_partitions(connection: duckdb.DuckDBPyConnection, table: Table) -> int:
    """Exchange the changed partitions of a table with a ledger; return the rows brought."""
    schema, name = table
    ((by_symbol, changed),) = connection.execute(
        "select count(symbol) > 0, count(*) from changed_partitions where table_name = $name",
        {"name": name},
    ).fetchall()
    if not changed:
        return 0
    keys = "symbol, session_date" if by_symbol else "session_date"
    scope = f"({keys}) in (select {keys} from changed_partitions where table_name = $name)"
    return exchange(connection, quoted(schema, name), scope, {"name": name})


def bring_days(connection: duckdb.DuckDBPyConnection, table: Table) -> int:
    """Exchange the days on which a table's rows differ; return the rows brought.

    Its first column with a date or time says the day; without one the table is exchanged whole.
    """
    name = quoted(*table)
    dated = connection.execute(
        f"select column_name from (describe warehouse.{name}) "
        "where column_type in ('DATE', 'TIMESTAMP') limit 1"
    ).fetchall()
    day = f"{quoted(dated[0][0])}::date" if dated else "date 'infinity'"
    days = (
        f"select {day} as changed_day, count(*) as row_count, bit_xor(hash(hash(stored))) as hash, "
        "sum(hash(stored)) as hash_sum from {database}." + name + " as stored group by changed_day"
    )
    wanted, held = days.format(database="warehouse"), days.format(database="snapshot")
    ((changed,),) = connection.execute(
        "create or replace temp table changed_days as "
        f"with wanted as ({wanted}), held as ({held}) select distinct changed_day from "
        "((from wanted except from held) union all (from held except from wanted))"
    ).fetchall()
    if not changed:
        return 0
    scope = f"exists (from changed_days where changed_day is not distinct from {day})"
    return exchange(connection, name, scope, {})


def exchange(
    connection: duckdb.DuckDBPyConnection, table: str, scope: str, values: dict[str, str]
) -> int:
    """Put the warehouse's rows in `scope` in the place of the snapshot's; return how many."""
    connection.execute(f"delete from snapshot.{table} where {scope}", values)
    ((count,),) = connection.execute(
        f"insert into snapshot.{table} from warehouse.{table} where {scope}", values
    ).fetchall()
    return int(count)


def check_counts(connection: duckdb.DuckDBPyConnection, wanted: Collection[Table]) -> None:
    """Raise NotRenewableError where a table has not as many rows as its original."""
    for table in wanted:
        name = quoted(*table)
        ((same,),) = connection.execute(
            f"select count(*) = (select count(*) from warehouse.{name}) from snapshot.{name}"
        ).fetchall()
        if not same:
            raise NotRenewableError(f"{name} holds other rows than its ledger says")


def views(connection: duckdb.DuckDBPyConnection, database: str) -> list[tuple[str, str, str]]:
    """Return schema, name and definition of the views of a database."""
    return connection.execute(
        "select schema_name, view_name, sql from duckdb_views() "
        "where database_name = $database and not internal order by view_oid",
        {"database": database},
    ).fetchall()


def drop_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Drop the views of the snapshot."""
    for schema, name, _ in views(connection, "snapshot"):
        connection.execute(f"drop view snapshot.{quoted(schema, name)}")


def make_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the warehouse's views; one that reads another that is not there yet waits for it."""
    waiting = [definition for _, _, definition in views(connection, "warehouse")]
    while waiting:
        failed = [definition for definition in waiting if not is_made(connection, definition)]
        if len(failed) == len(waiting):
            raise NotRenewableError(f"this view fails: {failed[0]}")
        waiting = failed


def make_table_functions(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the warehouse's table functions in the place of the snapshot's."""
    query = (
        "select schema_name, function_name, parameters, macro_definition from duckdb_functions() "
        "where database_name = $database and function_type = 'table_macro'"
    )
    for schema, name, *_ in connection.execute(query, {"database": "snapshot"}).fetchall():
        connection.execute(f"drop macro table snapshot.{quoted(schema, name)}")
    for schema, name, parameters, body in connection.execute(
        query, {"database": "warehouse"}
    ).fetchall():
        names = ", ".join(quoted(parameter) for parameter in parameters)
        connection.execute(f"create macro snapshot.{quoted(schema, name)}({names}) as table {body}")


def is_made(connection: duckdb.DuckDBPyConnection, definition: str) -> bool:
    """Make what `definition` says, if that can be done yet."""
    with suppress(duckdb.Error):
        connection.execute(definition)
        return True
    return False
