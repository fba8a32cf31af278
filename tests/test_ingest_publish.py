"""Publishing by dbt: whoever runs it and from where; what stops it is said in one line."""

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

from ingest.publish import KEPT_VERSIONS, Plugin, publish
from ingest.settings import ROOT


def dbt_run(folder: Path, scratch: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "DBT_PROJECT_DIR"}
    return subprocess.run(
        [
            sys.executable, "-m", "dbt.cli.main", "--quiet", "run", "--select", "signal_rules",
            "--target-path", str(scratch / "target"), "--log-path", str(scratch / "logs"), *options,
        ],
        cwd=folder,
        env=environment | {"DATA_DIR": str(scratch), "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"},
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


def test_published_is_the_warehouse_byte_for_byte(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    changes = [
        (BIG,),
        ("insert into big select i, hash(i), 'new' from range(300000, 400000) as r(i)",),
        ("create table small as select 1 as a", "delete from big where i % 7 = 0"),
        ("update big set s = 'other' where i between 1000 and 9000",),
        ("insert into big select i, hash(i), 'more' from range(400000, 900000) as r(i)",),
        ("drop table small", "delete from big where i > 100000"),
        ("drop table big",),
        (BIG,),
    ]
    sizes = []
    for statements in changes:
        change(warehouse, *statements)
        version = publish(warehouse).path
        sizes.append(version.stat().st_size)
        assert version.read_bytes() == warehouse.read_bytes()
        assert (tmp_path / "published/warehouse.duckdb").resolve() == version
    assert min(sizes[5:]) < max(sizes) / 2, "the file never shrank"
    assert len(list((tmp_path / "published").glob("*_v*"))) <= KEPT_VERSIONS


def test_one_changed_row_writes_little(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    published_twice(warehouse)
    change(warehouse, "create table note as select 'one row'")
    published = publish(warehouse)
    assert 0 < published.written_bytes < published.size_bytes / 10


def test_swapped_rows_under_one_checksum_are_brought_over(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    for generation in range(6):
        swap = "case i when 500 then 501 when 501 then 500 else i end"
        value = f"hash({swap})" if generation % 4 < 2 else "hash(i)"
        change(
            warehouse, f"create or replace table t as select {value} as h from range(20000) as r(i)"
        )
        assert publish(warehouse).path.read_bytes() == warehouse.read_bytes()


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
    assert in_full.written_bytes == in_full.size_bytes
    assert recycled.written_bytes < recycled.size_bytes / 10
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
    assert published.written_bytes == published.size_bytes


def test_version_with_a_second_name_stays(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    (tmp_path / "backup.duckdb").hardlink_to(published_twice(warehouse))
    published = publish(warehouse)
    assert published.written_bytes == published.size_bytes


def test_unfinished_version_is_discarded(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    oldest = published_twice(warehouse)
    leftover = oldest.rename(oldest.with_name("warehouse_v000003.duckdb.partial"))
    leftover.chmod(0o644)
    leftover.write_bytes(b"torn")
    change(warehouse, "delete from big where i > 10")
    version = publish(warehouse).path
    assert version.name == "warehouse_v000003.duckdb"
    assert version.read_bytes() == warehouse.read_bytes()
    assert not leftover.exists()


def test_failed_copy_leaves_the_last_snapshot(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    published_twice(warehouse)
    link = tmp_path / "published/warehouse.duckdb"
    last = link.resolve()
    with pytest.raises(OSError, match="could not be copied"):
        publish(tmp_path / "gone.duckdb")
    assert link.resolve() == last
    assert last.read_bytes() == warehouse.read_bytes()
    assert not list((tmp_path / "published").glob("*.partial"))


def test_publishing_keeps_the_lock_of_the_warehouse(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("create table t as select 1 as a")
        connection.execute("checkpoint")
        publish(warehouse)
        other = subprocess.run(
            [sys.executable, "-c", "import duckdb, sys; duckdb.connect(sys.argv[1])", warehouse],
            capture_output=True,
            text=True,
            check=False,
        )
    assert "lock" in other.stderr
