"""After any dbt run the published snapshot is the warehouse: tables, views and their rows."""

from __future__ import annotations

import os
import shutil
from datetime import date
from pathlib import Path

import duckdb
import pytest

from ingest import renewal
from ingest.settings import ROOT
from tests.bench.market_bars import land_market
from tests.dbt_process import call_dbt

pytestmark = pytest.mark.long

SESSIONS = 60
HELD = ("bars_1m", "bars_1d")


def write(data_dir: Path, *statements: str) -> None:
    with duckdb.connect(str(data_dir / "warehouse.duckdb")) as connection:
        for statement in statements:
            connection.execute(statement)


def dbt(project: Path, data_dir: Path, *options: str) -> str:
    """Run dbt in a copy of the project; return the line that it says of publishing."""
    environment = os.environ | {"DATA_DIR": str(data_dir), "PYTHONPATH": str(ROOT)}
    done = call_dbt(["run", *options], project, environment, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:]
    return next(line for line in done.stdout.splitlines() if "Published" in line)


def contents(path: Path) -> dict[str, tuple[object, ...]]:
    """Return for each table and view its columns, its number of rows and hashes of them.

    Floating point is rounded: a view's sums depend on the order that rows lie in.
    """
    found = {}
    with duckdb.connect(str(path), read_only=True) as connection:
        for schema, name, kind in connection.execute(
            "select table_schema, table_name, table_type from information_schema.tables"
        ).fetchall():
            columns = connection.execute(f"describe {schema}.{name}").fetchall()
            values = ", ".join(
                f'round("{column[0]}", 9)' if column[1] == "DOUBLE" else f'"{column[0]}"'
                for column in columns
            )
            found[f"{schema}.{name}"] = (
                kind,
                str(columns),
                *connection.execute(
                    f"select count(*), bit_xor(hash(hash(row({values})))), "
                    f"sum(hash(row({values}))) from {schema}.{name}"
                ).fetchall(),
            )
    return found


def other_rows(data_dir: Path, version: Path) -> list[str]:
    """Return the tables that hold other rows than the warehouse, exactly."""
    found = []
    with duckdb.connect(str(data_dir / "warehouse.duckdb"), read_only=True) as connection:
        connection.execute(f"attach '{version}' as snapshot (read_only)")
        names = connection.execute(
            "select schema_name || '.' || table_name from duckdb_tables() "
            "where database_name = 'warehouse'"
        ).fetchall()
        for (name,) in names:
            ((count,),) = connection.execute(
                f"select count(*) from ((from {name} except all from snapshot.{name}) "
                f"union all (from snapshot.{name} except all from {name}))"
            ).fetchall()
            if count:
                found.append(f"{name}: {count}")
    assert len(names) > 30
    return found


def test_snapshot_is_the_warehouse_after_every_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, data_dir = tmp_path / "dbt_project", tmp_path / "data"
    data_dir.mkdir()
    shutil.copytree(
        ROOT / "dbt_project", project, ignore=shutil.ignore_patterns("target", "logs", "data")
    )
    land_market(data_dir / "warehouse.duckdb", 5, SESSIONS)
    with duckdb.connect(str(data_dir / "warehouse.duckdb")) as connection:
        days: list[date] = [
            row[0]
            for row in connection.execute(
                "select distinct session_date from raw.bars_1m order by 1"
            ).fetchall()
        ]
    revise = (
        "update raw.bars_1m set close = close + 0.01, high = high + 0.01, "
        "landed_at = landed_at + interval 1 minute where symbol = '{}' and session_date = '{}'"
    )
    for table in HELD:
        newest = f"raw.{table} where session_date = '{days[-1]}'"
        write(data_dir, f"create table held_{table} as from {newest}", f"delete from {newest}")
    link = data_dir / "published" / "warehouse.duckdb"

    def publication(*options: str) -> str:
        line = dbt(project, data_dir, *options)
        assert contents(link) == contents(data_dir / "warehouse.duckdb")
        assert not other_rows(data_dir, link)
        return line

    publication()
    first = shutil.copyfile(link, tmp_path / "first.duckdb")
    assert "copied in full" in publication()
    write(data_dir, *(f"insert into raw.{t} from held_{t}" for t in HELD))
    write(data_dir, *(f"drop table held_{t}" for t in HELD))
    assert "brought over" in publication(), "a new session"
    write(data_dir, revise.format("B0001", days[56]))
    assert "brought over" in publication(), "a revised session"
    gone = f"symbol = 'B0002' and session_date = '{days[55]}'"
    write(data_dir, f"delete from raw.bars_1m where {gone}")
    assert "brought over" in publication(), "a session that is gone"
    seed = next((project / "seeds").glob("*.csv"))
    lines = seed.read_text().splitlines()
    seed.write_text("\n".join(lines[:-1]) + "\n")
    write(data_dir, revise.format("B0004", days[57]))
    assert "brought over" in publication("--select", "signal_rules"), "a part of the models"
    write(data_dir, "update raw.profiles set is_etf = true where symbol = 'B0003'")
    assert "copied in full" in publication("--vars", "{label_up: 0.05}"), "another definition"

    monkeypatch.setattr(renewal, "MOST_CHANGED", 1e9)
    with duckdb.connect(str(data_dir / "warehouse.duckdb")) as connection:
        models = connection.execute("select model from intermediate.built_models").fetchall()
        renewal.renew(connection, Path(first), [*(name for (name,) in models), "bars_1m"])
    assert contents(Path(first)) == contents(data_dir / "warehouse.duckdb")
    assert not other_rows(data_dir, Path(first))
