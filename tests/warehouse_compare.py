"""Two warehouses held against each other, row for row."""

from __future__ import annotations

from pathlib import Path

import duckdb


def built(data_dir: Path) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(str(data_dir / "warehouse.duckdb"), read_only=True)


def differing_tables(left: Path, right: Path) -> list[str]:
    """Return the tables of intermediate and marts that are not equal, row for row."""
    found = []
    with built(left) as connection:
        connection.execute(f"attach '{right / 'warehouse.duckdb'}' as other (read_only)")
        tables = connection.execute(
            "select schema_name || '.' || table_name from duckdb_tables() "
            "where database_name = 'warehouse' and schema_name in ('intermediate', 'marts') "
            "and table_name not like 'built_%'"
        ).fetchall()
        for (table,) in tables:
            columns = [row[:2] for row in connection.execute(f"describe {table}").fetchall()]
            keys = [name for name, kind in columns if kind != "DOUBLE"]
            values = [name for name, kind in columns if kind == "DOUBLE"]
            on = " and ".join(f"l.{name} is not distinct from r.{name}" for name in keys) or "true"
            same = " and ".join(
                f"(l.{name} is not distinct from r.{name} or "
                f"abs(l.{name} - r.{name}) <= 1e-9 * greatest(1, abs(l.{name})))"
                for name in values
            )
            ((count,),) = connection.execute(
                "select count(*) from (select *, true as is_there from " + table + ") as l "
                f"full join (select *, true as is_there from other.{table}) as r on {on} "
                f"where l.is_there is null or r.is_there is null or not ({same or 'true'})"
            ).fetchall()
            if count:
                found.append(f"{table}: {count} rows")
    assert len(tables) > 20
    return found
