"""POST /sql: what is answered, what is refused, and that no query harms the service."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import duckdb
import httpx
import pyarrow as pa
import pytest

from ingest.settings import ROOT
from live.database import NotFreshError
from live.feeds import Polled
from live.prompt.copies import Copies
from live.prompt.runner import ENVIRONMENT
from live.warehouse import LiveWarehouse, open_live
from tests.live_fixture import DAY, MINUTE, HandClock, bar, bars, build, publish
from tests.live_server import Running, T, one_break_out, serving, wait_until


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    settings = build(tmp_path_factory.mktemp('it\'s a "folder"')).model_copy(
        update={"live_sql_seconds": 4.0, "live_requests_per_minute": 10_000}
    )
    with serving(settings) as service:
        wait_until(lambda: service.service.monitor.is_open)
        one_break_out(service)
        wait_until(lambda: service.service.broadcaster.last_seq == 1)
        yield service


def detail(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text[:500]
    return str(answer.json()["detail"])


def test_live_day_is_answered_with_names_and_types(running: Running) -> None:
    answer = running.sql("select symbol, bar_at, close from marts.states_1m where is_entry").json()
    assert answer["columns"] == [
        {"name": "symbol", "type": "VARCHAR"},
        {"name": "bar_at", "type": "TIMESTAMP"},
        {"name": "close", "type": "DOUBLE"},
    ]
    assert answer["rows"] == [["AAA", "2025-11-05T15:01:00Z", 5.2]]


def test_answer_tells_what_it_is_as_of(running: Running) -> None:
    answer = running.sql("select 1").json()
    assert answer["as_of"].startswith("2025-11-05T15:")
    assert answer["snapshot"] == "warehouse_v000001.duckdb"


def test_snapshot_is_beside_the_live_day(running: Running) -> None:
    query = "select count(*) from published.marts.watchlist semi join raw.bars_1m using (symbol)"
    assert running.sql(query).json()["rows"] == [[2]]


def test_parameters_are_bound(running: Running) -> None:
    answer = running.sql("select $a || 'x' as a", parameters={"a": "it's"})
    assert answer.json()["rows"] == [["it'sx"]]


def test_rows_stop_at_the_limit(running: Running) -> None:
    answer = running.sql("from range(100)", limit=3).json()
    assert (answer["rows"], answer["truncated"]) == ([[0], [1], [2]], True)


def test_all_rows_are_not_truncated(running: Running) -> None:
    answer = running.sql("from range(3)", limit=3).json()
    assert (len(answer["rows"]), answer["truncated"]) == (3, False)


def test_every_kind_of_value_is_json(running: Running) -> None:
    answer = running.sql(
        "select 1.5::decimal(9, 2), [1, null], {'a': date '2025-01-02'}, 'nan'::double, 'x'::blob, "
        "interval 90 second, map {1: 'b'}, timestamp '2025-01-02 03:04:05.6', null, time '10:00'"
    )
    assert answer.json()["rows"] == [
        [1.5, [1, None], {"a": "2025-01-02"}, None, "78", 90.0, [[1, "b"]],
         "2025-01-02T03:04:05.600000Z", None, "10:00:00"]
    ]  # fmt: skip


def test_plan_is_explained(running: Running) -> None:
    assert "plan" in running.sql("explain select 1").json()["rows"][0][0]


def test_new_bars_are_in_the_next_answer(running: Running) -> None:
    count = "select count(*) from marts.features_1m where symbol = 'BRK-B'"
    before = running.sql(count).json()["rows"][0][0]
    running.feed.bars += bars("BRK-B", running.clock.at, [7.0])
    running.clock.at += timedelta(minutes=1)
    wait_until(lambda: running.service.monitor.newest_bar_at == running.clock.at - MINUTE)
    assert running.sql(count).json()["rows"] == [[before + 1]]


def test_error_is_duckdbs_with_a_hint(running: Running) -> None:
    answer = running.sql("from nowhere")
    assert "nowhere does not exist" in detail(answer, 400)
    assert "show all tables" in answer.json()["extra"]["hint"]


REFUSED = [
    "from read_csv('/etc/passwd')",
    "from read_csv_auto('/etc/passwd')",
    "from read_text('/etc/passwd')",
    "from read_blob('/etc/passwd')",
    "from read_json('/etc/passwd')",
    "from read_parquet('/tmp/x.parquet')",
    "from sniff_csv('/etc/passwd')",
    "from glob('/*')",
    "from '/etc/passwd'",
    "from query_table('/etc/passwd')",
    "from query_table(['/etc/passwd'])",
    "from query('from read_text(''/etc/passwd'')')",
    "from query('select 1; select 2')",
    "from read_csv('https://example.com/x.csv')",
    "from 's3://bucket/x.parquet'",
    "attach '/tmp/other.duckdb'",
    "detach published",
    "use published",
    "copy (select 1) to '/tmp/x.csv'",
    "copy raw.bars_1m from '/etc/passwd'",
    "explain analyze copy (select 1) to '/tmp/x.csv'",
    "export database '/tmp/x'",
    "import database '/tmp/x'",
    "install httpfs",
    "load httpfs",
    "set memory_limit = '100GB'",
    "reset lock_configuration",
    "set variable rows_from = now()",
    "pragma enable_logging",
    "pragma version",
    "call pragma_version()",
    "checkpoint",
    "vacuum",
    "create table x as select 1",
    "create temp table x as select 1",
    "create secret (type s3)",
    "create macro x() as 1",
    "insert into raw.bars_1m default values",
    "update raw.bars_1m set close = 1",
    "delete from raw.bars_1m",
    "drop table raw.bars_1m",
    "with x as (delete from raw.bars_1m returning *) from x",
    "explain analyze delete from raw.bars_1m",
    "explain analyze create table x as select 1",
    "prepare x as select 1",
    "begin",
    "select 1; select 2",
    "select 1; drop table raw.bars_1m",
    "",
    "-- nothing",
    "selec 1",
    "select getenv('HOME')",
    "from json",
    "from sys",
    "from job",
    "from connection",
    "select 'unterminated",
    "select '\x00' from \x00",
    "select " + "(" * 5_000 + "1" + ")" * 5_000,
    "select $missing",
]


@pytest.mark.parametrize("query", REFUSED, ids=[query[:50] for query in REFUSED])
def test_query_that_may_not_run_is_refused(running: Running, query: str) -> None:
    assert detail(running.sql(query), 400)


def test_files_of_the_databases_cannot_be_read(running: Running) -> None:
    snapshot = str(running.service.warehouse.snapshot_path).replace("'", "''")
    assert "disabled" in detail(running.sql(f"select 1 from read_blob('{snapshot}')"), 400)


def test_environment_holds_no_secret(running: Running) -> None:
    assert "disabled" in detail(running.sql("from read_text('/proc/self/environ')"), 400)
    assert ENVIRONMENT.keys() == {"MALLOC_ARENA_MAX"}


def test_secrets_are_none(running: Running) -> None:
    assert running.sql("from duckdb_secrets()").json()["rows"] == []


LIMITS = {400: "more than 1024 MB", 504: "longer than 4 s", 413: "larger than 8 MB"}
ENDLESS = "with recursive r as (select 1 as n union all select n + 1 from r) select max(n) from r"
BOMBS = [
    ("select list_sort(range(300000000))", 400),
    ("select repeat('x', 4000000000)", 400),
    ("select sum(hash(a.range, b.range)) from range(1000000) a, range(1000000) b", 504),
    (ENDLESS, 504),
    ("select repeat('x', 1000000) from range(100)", 413),
]


@pytest.mark.parametrize(("query", "status"), BOMBS, ids=[query[:50] for query, _ in BOMBS])
def test_bomb_ends_within_its_limits(running: Running, query: str, status: int) -> None:
    assert LIMITS[status] in detail(running.sql(query, limit=10_000), status)
    assert running.get("/").status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "select array_agg(range) from range(1000000000)",
        "select count(distinct a.range * b.range) from range(100000) a, range(100000) b",
        "from range(100000000) order by hash(range)",
        "select string_agg(range::varchar) from range(1000000000)",
    ],
)
def test_bomb_ends_at_one_limit_or_another(running: Running, query: str) -> None:
    answer = running.sql(query)
    assert LIMITS[answer.status_code] in answer.text
    assert running.get("/").status_code == 200


def test_third_query_at_once_is_refused(running: Running) -> None:
    threads = [threading.Thread(target=running.sql, args=[ENDLESS]) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: running.service.prompt.running == 2)
        assert "run already" in detail(running.sql("select 1"), 429)
    finally:
        for thread in threads:
            thread.join(60)
    assert running.sql("select 1").status_code == 200


def test_no_process_outlives_its_query(running: Running) -> None:
    running.sql(ENDLESS)
    wait_until(lambda: not processes())


def test_process_ends_itself_without_the_service() -> None:
    job = {"database": ":memory:", "seconds": 0.2, "memory_mb": 1024}
    code = f"from live.prompt.child import limit_process\nlimit_process({job})\nwhile True: pass"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == -signal.SIGALRM


@pytest.mark.parametrize("limit", [0, -1, 10_001])
def test_limit_has_bounds(running: Running, limit: int) -> None:
    assert "limit is 1 to 10,000" in detail(running.sql("select 1", limit=limit), 400)


def test_body_without_a_query_is_refused(running: Running) -> None:
    answer = httpx.post(f"http://{running.address}/sql", json={"sql": "select 1"}, trust_env=False)
    assert answer.status_code == 400


def test_schema_describes_query_and_answer(running: Running) -> None:
    schema = running.get("/schema").json()
    answers = schema["paths"]["/sql"]["post"]["responses"]
    assert answers.keys() >= {"200", "400", "413", "429", "503", "504"}
    assert "truncated" in schema["components"]["schemas"]["SqlAnswer"]["properties"]


def test_copy_is_kept_until_the_day_changes(tmp_path: Path) -> None:
    with copies(tmp_path) as (warehouse, kept):
        first = kept.take()
        assert kept.take() is first
        land(warehouse, freshen=True)
        assert kept.take() is not first


def test_copy_goes_with_its_last_reader(tmp_path: Path) -> None:
    with copies(tmp_path) as (warehouse, kept):
        first = kept.take()
        land(warehouse, freshen=True)
        kept.take()
        assert bar_count(first.database) == 0
        kept.give_back(first)
        assert not first.folder.exists()


def test_copy_has_what_is_only_in_the_log(tmp_path: Path) -> None:
    with copies(tmp_path) as (warehouse, kept):
        land(warehouse, freshen=True)
        assert (tmp_path / "live.duckdb.wal").exists()
        assert bar_count(kept.take().database) == 1


def test_new_snapshot_needs_a_new_copy(tmp_path: Path) -> None:
    with copies(tmp_path) as (warehouse, kept):
        first = kept.take()
        publish(tmp_path, 2)
        warehouse.refresh()
        assert kept.take().published.name == "warehouse_v000002.duckdb" != first.published.name


def test_half_taken_in_day_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("live.database.FRESHEN_SECONDS", 0.01)
    with copies(tmp_path) as (warehouse, kept):
        land(warehouse, freshen=False)
        with pytest.raises(NotFreshError):
            kept.take()


def test_failed_copy_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.copying.COPY", "raise SystemExit('disk full')")
    with copies(tmp_path) as (_, kept):
        with pytest.raises(OSError, match="disk full"):
            kept.take()
        assert not list((tmp_path / "live_sql").iterdir())


def test_copying_keeps_the_lock_of_the_database(tmp_path: Path) -> None:
    with copies(tmp_path) as (_, kept):
        kept.take()
        code = f"import duckdb; duckdb.connect({str(tmp_path / 'live.duckdb')!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
        assert b"Could not set lock" in done.stderr


def test_copies_taken_while_bars_land_are_whole(tmp_path: Path) -> None:
    batch, taken = 2_000, []
    with copies(tmp_path) as (warehouse, kept):
        warehouse.read("set global wal_autocheckpoint = '64KB'")
        landing = threading.Thread(target=land_batches, args=[warehouse, batch, 40])
        landing.start()
        while landing.is_alive():
            taken.append(kept.take())
            assert bar_count(taken[-1].database) % batch == 0
            kept.give_back(taken[-1])
        landing.join()
        assert bar_count(kept.take().database) == 40 * batch
    assert len({copy.version for copy in taken}) > 3


def land_batches(warehouse: LiveWarehouse, batch: int, count: int) -> None:
    for number in range(count):
        rows = pa.Table.from_pylist([bar(f"S{number}-{n}", T, 5.0 + n) for n in range(batch)])
        warehouse.land_poll(Polled(bars=[rows]), "fmp", T + number * MINUTE)
        warehouse.freshen(DAY, T)


def bar_count(database: Path) -> int:
    with duckdb.connect(str(database), read_only=True) as connection:
        ((count, _),) = connection.execute(
            "select count(*), bit_xor(hash(bars)) from raw.bars_1m as bars"
        ).fetchall()
    return int(count)


@contextmanager
def copies(data_dir: Path) -> Iterator[tuple[LiveWarehouse, Copies]]:
    settings = build(data_dir)
    with open_live(settings.live_path, settings.published_path) as warehouse:
        yield warehouse, Copies(warehouse, HandClock(T), data_dir / "live_sql")


def land(warehouse: LiveWarehouse, *, freshen: bool) -> None:
    polled = Polled(bars=[pa.Table.from_pylist([bar("AAA", T, 5.0)])])
    warehouse.land_poll(polled, "fmp", T)
    if freshen:
        warehouse.freshen(DAY, T)


def processes() -> list[str]:
    """The processes of queries that this one has now."""
    children = " ".join(path.read_text() for path in Path("/proc/self/task").glob("*/children"))
    return [pid for pid in children.split() if "live.prompt.child" in command_line(pid)]


def command_line(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
