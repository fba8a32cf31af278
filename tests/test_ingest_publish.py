"""Publishing: a snapshot is the warehouse, costs what changed, and leaves readers alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest
from dbt_common.exceptions import DbtRuntimeError

from ingest import copying
from ingest import publish as publishing
from ingest.publish import KEPT_VERSIONS, Plugin
from ingest.settings import ROOT
from tests.warehouse_builder import publish_file as publish


def dbt_run(folder: Path, scratch: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "DBT_PROJECT_DIR"}
    return subprocess.run(
        [
            sys.executable, "-m", "dbt.cli.main", "--quiet", "run", "--select", "signal_rules",
            "--target-path", str(scratch / "target"), "--log-path", str(scratch / "logs"), *options,
        ],
        cwd=folder,
        env=environment
        | {
            "DATA_DIR": str(scratch),
            "PYTHONPATH": str(ROOT),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip


def test_dbt_publishes_from_the_root_and_from_its_folder(tmp_path: Path) -> None:
    for folder, options in (
        (ROOT, ["--project-dir", "dbt_project"]),
        (ROOT / "dbt_project", []),
    ):
        done = dbt_run(folder, tmp_path, *options)
        assert done.returncode == 0, done.stdout
    assert (tmp_path / "published/warehouse.duckdb").readlink() == Path("warehouse_v000002.duckdb")


def connect(path: str) -> None:
    credentials = SimpleNamespace(path=path, attach=None)
    Plugin.update_connection_config(None, credentials, {})  # type: ignore[arg-type]


def test_broken_warehouse_stops_dbt_at_once(tmp_path: Path) -> None:
    (tmp_path / "warehouse.duckdb").write_text("not a database")
    with pytest.raises(DbtRuntimeError, match="can't be opened"):
        connect(str(tmp_path / "warehouse.duckdb"))


def test_paths_of_the_profile_count_from_data_dir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    connect("warehouse.duckdb")
    with duckdb.connect(str(tmp_path / "warehouse.duckdb"), read_only=True) as connection:
        assert connection.execute("select 1").fetchall() == [(1,)]


BIG = "create table big as select i, hash(i) as h, 's' || i as s from range(300000) as r(i)"


def change(warehouse: Path, *statements: str) -> None:
    with duckdb.connect(str(warehouse)) as connection:
        for statement in (*statements, "checkpoint"):
            connection.execute(statement)


def contents(path: Path) -> dict[str, tuple[object, ...]]:
    """Return for each table and view of the file its columns, and its rows as hashes."""
    with duckdb.connect(str(path), read_only=True) as connection:
        names = connection.execute(
            "select table_schema || '.' || table_name, table_type from information_schema.tables"
        ).fetchall()
        return {
            name: (
                kind,
                str(connection.execute(f"describe {name}").fetchall()),
                *connection.execute(
                    f"select count(*), bit_xor(hash(hash(t))), sum(hash(t)) from {name} as t"
                ).fetchall(),
            )
            for name, kind in names
        }


def published_twice(warehouse: Path) -> Path:
    """Publish twice; return the older version, which the next one is made from."""
    change(warehouse, BIG)
    older = publish(warehouse)
    publish(warehouse)
    return older.path


@contextmanager
def reader(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that reads `path`, says what it counts, and again for every line it gets."""
    code = (
        "import duckdb, sys\n"
        "connection = duckdb.connect(sys.argv[1], read_only=True)\n"
        "for line in sys.stdin:\n"
        "    print(connection.execute('select count(*), sum(i), max(s) from big').fetchall(), "
        "flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline()


def test_published_is_the_warehouse(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    changes = [
        (BIG,),
        ("insert into big select i, hash(i), 'new' from range(300000, 400000) as r(i)",),
        ("create table small as select 1 as a", "delete from big where i % 7 = 0"),
        ("update big set s = 'other' where i between 1000 and 9000",),
        ("insert into big select i, hash(i), 'more' from range(400000, 900000) as r(i)",),
        ("drop table small", "delete from big where i > 100000"),
        ("create schema a", "create view b as select i from big", "create view a.c as from main.b"),
        (
            "create or replace view b as select i, s from big",
            "create or replace view a.c as from b",
        ),
        ("alter table big add column day date default '2025-01-02'",),
        ("insert into big values (1, 2, 'x', null), (1, 2, 'x', null), (1, 2, 'x', 'infinity')",),
        ("drop view b", "drop view a.c", "create table b as select 1", "create macro f(x) as x"),
        ("drop table big",),
        (BIG,),
    ]
    sizes = []
    for statements in changes:
        change(warehouse, *statements)
        version = publish(warehouse).path
        sizes.append(version.stat().st_size)
        assert contents(version) == contents(warehouse)
        assert (tmp_path / "published/warehouse.duckdb").resolve() == version
    assert min(sizes[5:]) < max(sizes) / 2, "the file never shrank"
    assert len(list((tmp_path / "published").glob("*_v*"))) <= KEPT_VERSIONS


def test_one_new_row_is_brought_alone(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    published_twice(warehouse)
    change(warehouse, "create table note as select 'one row'")
    published = publish(warehouse)
    assert published.rows == 1


def test_swapped_values_are_brought_over(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    for generation in range(6):
        swap = "case i when 500 then 501 when 501 then 500 else i end"
        value = f"hash({swap})" if generation % 4 < 2 else "hash(i)"
        change(
            warehouse, f"create or replace table t as select {value} as h from range(20000) as r(i)"
        )
        assert contents(publish(warehouse).path) == contents(warehouse)


def test_version_that_a_process_reads_stays(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    oldest = published_twice(warehouse)
    content = oldest.read_bytes()
    with reader(oldest) as process:
        before = answer(process)
        change(warehouse, "delete from big where i % 2 = 0")
        in_full = publish(warehouse)
        change(warehouse, "create table note as select 'one row'")
        publish(warehouse)
        recycled = publish(warehouse)  # beside the one that is read
        assert answer(process) == before
    assert in_full.rows is None
    assert recycled.rows is not None
    assert oldest.read_bytes() == content


def test_version_too_old_stays_readable(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    oldest = published_twice(warehouse)
    with reader(oldest) as process:
        before = answer(process)
        with reader(publish(warehouse).path) as newer:
            answer(newer)
            with reader(publish(warehouse).path) as newest:
                answer(newest)
                change(warehouse, "delete from big where i % 2 = 0")
                for _ in range(2):
                    publish(warehouse)
        assert not oldest.exists()
        assert answer(process) == before


def test_version_open_without_a_lock_stays(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    with published_twice(warehouse).open("rb"):
        published = publish(warehouse)
    assert published.rows is None


def test_version_with_a_second_name_stays(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    (tmp_path / "backup.duckdb").hardlink_to(published_twice(warehouse))
    published = publish(warehouse)
    assert published.rows is None


def test_unfinished_version_is_discarded(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    oldest = published_twice(warehouse)
    leftover = oldest.rename(oldest.with_name("warehouse_v000003.duckdb.partial"))
    leftover.chmod(0o644)
    leftover.write_bytes(b"torn")
    change(warehouse, "delete from big where i > 10")
    version = publish(warehouse).path
    assert version.name == "warehouse_v000003.duckdb"
    assert contents(version) == contents(warehouse)
    assert not leftover.exists()


def test_failed_copy_leaves_the_last_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    change(warehouse, BIG)
    last = publish(warehouse).path
    monkeypatch.setattr(copying, "COPY", "raise SystemExit('disk full')")
    with pytest.raises(OSError, match=r"could not be copied.*disk full"):
        publish(warehouse)
    assert (tmp_path / "published/warehouse.duckdb").resolve() == last
    assert contents(last) == contents(warehouse)
    assert not list((tmp_path / "published").glob("*.partial"))


@pytest.mark.parametrize("moment", ["exchange", "check_counts", "make_views"])
def test_killed_while_renewing_leaves_the_last_snapshot(tmp_path: Path, moment: str) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    published_twice(warehouse)
    change(warehouse, "delete from big where i > 200000")
    code = (
        "import os, sys; from pathlib import Path; from ingest import renewal\n"
        "from tests.warehouse_builder import publish_file\n"
        f"renewal.{moment} = lambda *given: os.kill(os.getpid(), 9)\n"
        "publish_file(Path(sys.argv[1]))"
    )
    done = subprocess.run([sys.executable, "-c", code, warehouse], cwd=ROOT, check=False)
    folder = tmp_path / "published"
    assert done.returncode == -9
    assert (folder / "warehouse.duckdb").readlink() == Path("warehouse_v000002.duckdb")
    assert len(contents(folder / "warehouse.duckdb")) == 1
    assert [path.suffix for path in folder.glob("*v000003*")] == [".partial"]
    assert contents(publish(warehouse).path) == contents(warehouse)
    assert not list(folder.glob("*.partial*"))


def test_publishing_keeps_the_lock_of_the_warehouse(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("create table t as select 1 as a")
        connection.execute("checkpoint")
        publishing.publish(connection.cursor(), warehouse)
        publishing.publish(connection.cursor(), warehouse)
        assert publishing.publish(connection.cursor(), warehouse).rows == 0
        other = subprocess.run(
            [sys.executable, "-c", "import duckdb, sys; duckdb.connect(sys.argv[1])", warehouse],
            capture_output=True,
            text=True,
            check=False,
        )
    assert "lock" in other.stderr


LEDGERED = """
create schema intermediate;
create table intermediate.built_partitions as
select 'made' as model, null::varchar as symbol, date '2025-01-01' + day::int as session_date,
    1::ubigint as fingerprint, 'first' as invocation_id
from range(100) as days(day);
create table intermediate.int_landed_bars
    (symbol varchar, session_date date, bars_fingerprint ubigint);
create table made as select session_date, hash(i, session_date) as h
from intermediate.built_partitions cross join range(5000) as r(i)
"""

REMAKE = """
create or replace temp table remade as
select date '2025-01-01' + (random() * 100)::int + {n} as session_date from range(4)
union select date '2025-01-01' + 100 + {n};
delete from made where session_date in (from remade);
insert into made select session_date, hash(i, session_date, {n})
from remade cross join range(5000) as r(i);
delete from intermediate.built_partitions where session_date in (from remade);
insert into intermediate.built_partitions
select 'made', null, session_date, 1, 'run {n}' from remade
"""


def test_file_stays_small_over_many_publications(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    change(warehouse, LEDGERED)
    shares, renewed = [], 0
    for n in range(30):
        change(warehouse, REMAKE.format(n=n))
        published = publish(warehouse, ["made"])
        renewed += published.rows is not None
        shares.append(published.path.stat().st_size / warehouse.stat().st_size)
        assert contents(published.path) == contents(warehouse)
    assert renewed > 20
    assert max(shares) < 2


def test_ledger_that_does_not_tell_is_noticed(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    change(warehouse, LEDGERED)
    for _ in range(2):
        publish(warehouse, ["made"])
    change(warehouse, "delete from made where session_date = '2025-01-05'")
    published = publish(warehouse, ["made"])
    assert "other rows than its ledger" in published.reason
    assert contents(published.path) == contents(warehouse)
