"""The databases on disk: open one, wait for its lock, land rows in it.

A process that holds a DuckDB file for writing shuts out every other one, so a job opens the
warehouse for one batch at a time and never while it downloads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

import duckdb
import pyarrow as pa
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random

from ingest.transaction import interrupts_held

RAW_SCHEMA = Path(__file__).with_name("raw_schema.sql").read_text()

POSITIVE_PRICES = " and ".join(
    f"coalesce(isfinite({price}) and {price} > 0, false)"
    for price in ("open", "high", "low", "close")
)

REAL_BAR = (
    "greatest(open, high, low, close) < 1e15 and least(open, high, low, close) > 1e-9 "
    "and coalesce(volume, 0) < 1e15"
)
"""Far beyond what was ever traded, and far from where products and sums become infinite."""


@dataclass(frozen=True)
class RawTable:
    """How rows land in one raw table: what identifies a row, and which rows are impossible."""

    key: tuple[str, ...]
    """Columns that name a row. Empty: rows are appended as they come."""

    rejects: tuple[tuple[str, str], ...] = ()
    """(reason, SQL condition that a row must meet) pairs, in order."""

    revisions: str | None = None
    """Where superseded versions go; None: they are overwritten."""


_BARS = (
    ("no positive price", POSITIVE_PRICES),
    ("high below low", "high >= low"),
    ("volume is negative or infinite", "volume is null or (isfinite(volume) and volume >= 0)"),
    ("beyond any real price or volume", REAL_BAR),
)

RAW_TABLES = {
    "universe": RawTable(("symbol",), (("no symbol", "trim(symbol) <> ''"),)),
    "market_calendar": RawTable(("session_date",)),
    "profiles": RawTable(("symbol", "as_of_date", "provider")),
    "bars_1d": RawTable(("symbol", "session_date", "provider"), _BARS),
    "bars_1m": RawTable(
        ("symbol", "bar_at", "provider"),
        (*_BARS, ("not the start of a minute", "bar_at = date_trunc('minute', bar_at)")),
        revisions="bar_revisions",
    ),
    "quotes": RawTable(
        ("symbol", "quoted_at", "provider"),
        (("no real price", "coalesce(bid, 0) between 0 and 1e15 and coalesce(ask, 0) < 1e15"),),
    ),
    "splits": RawTable(
        ("symbol", "split_date", "provider"),
        (
            ("no positive ratio", "numerator > 0 and denominator > 0"),
            ("beyond any real ratio", "numerator / denominator between 1e-6 and 1e6"),
        ),
    ),
    "symbol_changes": RawTable(
        ("change_date", "old_symbol", "provider"), (("no new symbol", "new_symbol is not null"),)
    ),
    "delistings": RawTable(("symbol", "delisted_date", "provider")),
    "fetch_log": RawTable(("request_id",)),
    "rejected_rows": RawTable(()),
    "model_runs": RawTable(("run_id", "horizon_minutes")),
    "signals": RawTable(("seq",)),
    "provisional_events": RawTable(("symbol", "bar_at", "event")),
}


@dataclass(frozen=True)
class Landing:
    """What landing a batch did, in rows."""

    inserted: int = 0
    revised: int = 0
    unchanged: int = 0
    rejected: int = 0

    def __add__(self, other: Landing) -> Landing:
        return Landing(
            self.inserted + other.inserted,
            self.revised + other.revised,
            self.unchanged + other.unchanged,
            self.rejected + other.rejected,
        )


class DatabaseLockedError(RuntimeError):
    """Another process holds the database for writing."""


class DatabaseUnusableError(RuntimeError):
    """The database can't be opened: its path, its disk or its file is at fault."""


@contextmanager
def open_database(
    path: Path, *, read_only: bool = False, wait_seconds: float = 60.0
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the DuckDB file at `path`, waiting while another process holds its lock.

    Raises DatabaseLockedError after `wait_seconds`, DatabaseUnusableError where waiting won't help.
    """
    connection = connect(path, read_only=read_only, wait_seconds=wait_seconds)
    try:
        yield connection
    finally:
        connection.close()


def connect(
    path: Path, *, read_only: bool = False, wait_seconds: float = 60.0
) -> duckdb.DuckDBPyConnection:
    """Return a connection as `open_database` does, for the caller to close."""
    return retry(
        retry=retry_if_exception_type(DatabaseLockedError),
        stop=stop_after_delay(wait_seconds),
        wait=wait_random(0.05, 0.25),
        reraise=True,
    )(_connect)(path, read_only)


@contextmanager
def open_warehouse(
    path: Path, *, wait_seconds: float = 60.0
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse (or live.duckdb) for writing, with its raw tables in place."""
    with open_database(path, wait_seconds=wait_seconds) as connection:
        with interrupts_held():
            connection.execute(RAW_SCHEMA)
        yield connection


def _connect(path: Path, read_only: bool) -> duckdb.DuckDBPyConnection:
    try:
        if not read_only:
            path.parent.mkdir(parents=True, exist_ok=True)
        with interrupts_held():
            connection = duckdb.connect(str(path), read_only=read_only)
            connection.execute("set TimeZone = 'UTC'")
    except (duckdb.Error, OSError) as error:
        if "Could not set lock" in str(error) or "Conflicting lock" in str(error):
            raise DatabaseLockedError(
                f"{path} is in use by another process: wait for it to end, "
                f"or read the published snapshot instead ({error})"
            ) from error
        if "replaying WAL" in str(error):
            raise DatabaseUnusableError(damaged_log(path, str(error))) from error
        raise DatabaseUnusableError(
            f"{path} can't be opened: check the path, its permissions and the disk ({error})"
        ) from error
    return connection


def damaged_log(path: Path, said: str) -> str:
    """Tell how to go on without the damaged part of a log. (What a kill leaves half written at its
    end is no damage: DuckDB leaves that out by itself.)"""
    log, aside = f"{path}.wal", f"{path}.wal.damaged"
    place = re.search(r"byte position (\d+)", said)
    command, kept = f"mv {log} {aside}", "goes back to the last good state"
    if place:
        command = f"cp {log} {aside} && truncate -s {place[1]} {log}"
        kept = "keeps all that is whole before the damage"
    return f"{log} is damaged: `{command}` {kept}; the next run buys the bars after it ({said})"


def land(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    rows: pa.Table,
    *,
    provider: str,
    landed_at: datetime,
    request_id: str | None = None,
) -> Landing:
    """Land `rows` in `raw.<table>`; landing the same rows again changes nothing.

    `rows` has the table's columns by name (any order; missing ones become NULL) without provider
    and landed_at. NaN becomes NULL. Of rows with one key the last counts. Impossible rows go to
    raw.rejected_rows with the reason. A row that differs from the stored one replaces it; where the
    table keeps revisions, the superseded version moves there. Call it inside a transaction when
    several landings must hold together.
    """
    spec = RAW_TABLES[table]
    columns = _columns()[table]
    _stage(connection, spec, columns, rows, provider, landed_at)
    rejected, doubles, known = _count(connection, table, spec)
    if rejected:
        _reject(connection, table, columns, provider, landed_at, request_id)
    if doubles:
        _drop_doubles(connection, spec)
    if known:
        landing = _merge(connection, table, spec, columns, landed_at)
    else:
        landing = Landing(inserted=_insert(connection, table, columns))
    return landing + Landing(unchanged=doubles, rejected=rejected)


@cache
def _columns() -> dict[str, dict[str, str]]:
    """Return the columns of every raw table and their types."""
    columns: dict[str, dict[str, str]] = {}
    with duckdb.connect() as connection:
        connection.execute(RAW_SCHEMA)
        for table, name, data_type in connection.execute(
            "select table_name, column_name, data_type from duckdb_columns() "
            "where schema_name = 'raw' order by table_name, column_index"
        ).fetchall():
            columns.setdefault(table, {})[name] = data_type
    return columns


def _stage(
    connection: duckdb.DuckDBPyConnection,
    spec: RawTable,
    columns: dict[str, str],
    rows: pa.Table,
    provider: str,
    landed_at: datetime,
) -> None:
    """Make the temporary table incoming_rows: the rows as they land, and why one must not."""

    def expression(name: str, data_type: str) -> str:
        if name == "provider":
            return "$provider as provider"
        if name == "landed_at":
            return "$landed_at::timestamp as landed_at"
        if name not in rows.column_names:
            return f"null::{data_type} as {name}"
        if data_type == "DOUBLE":
            return f"nullif(try_cast({name} as double), 'nan'::double) as {name}"
        return f"try_cast({name} as {data_type}) as {name}"

    selected = ", ".join(expression(name, data_type) for name, data_type in columns.items())
    connection.execute(
        f"create or replace temp table incoming_rows as select *, {_fault(spec, columns)} "
        f"from (select {selected} from rows)",
        {"provider": provider, "landed_at": landed_at},
    )


def _fault(spec: RawTable, columns: dict[str, str]) -> str:
    """SQL for the column `fault` (no raw table has one): the first rule that a row breaks."""
    rules = [(f"no {c}", _is_given(c, columns[c])) for c in spec.key]
    if "session_date" in columns:
        rules.append(("no session_date", _is_given("session_date", "DATE")))
    rules += list(spec.rejects)
    reasons = " ".join(f"when not coalesce({test}, false) then '{why}'" for why, test in rules)
    return f"case {reasons} end as fault" if rules else "null::varchar as fault"


def _count(
    connection: duckdb.DuckDBPyConnection, table: str, spec: RawTable
) -> tuple[int, int, int]:
    """Return how many incoming rows have a fault, of the others how many share a key with one
    of them, and how many stored rows have the key of an incoming one."""
    distinct, known = "count(*)", "0"
    if spec.key:
        distinct = f"count(distinct ({', '.join(spec.key)}))"
        known = (
            f"(select count(*) from raw.{table} semi join incoming_rows "
            f"using ({', '.join(spec.key)}))"
        )
    ((rejected, doubles, known_rows),) = connection.execute(
        "select count(fault), count(*) filter (where fault is null) "
        f"- {distinct} filter (where fault is null), {known} from incoming_rows"
    ).fetchall()
    return rejected, doubles, known_rows


def _reject(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    columns: dict[str, str],
    provider: str,
    landed_at: datetime,
    request_id: str | None,
) -> None:
    fields = ", ".join(c for c in columns if c not in ("provider", "landed_at"))
    connection.execute(
        f"""
        insert into raw.rejected_rows
        with described as (
            select distinct to_json(struct_pack({fields}))::varchar as row_text, fault
            from incoming_rows where fault is not null
        )
        select $table, row_text, fault, $request_id, $provider, $landed_at from described
        where row_text not in (
            select row_text from raw.rejected_rows
            where table_name = $table and provider = $provider and row_text is not null
        )
        """,
        {
            "table": table,
            "request_id": request_id,
            "provider": provider,
            "landed_at": landed_at,
        },
    )
    connection.execute("delete from incoming_rows where fault is not null")


def _drop_doubles(connection: duckdb.DuckDBPyConnection, spec: RawTable) -> None:
    connection.execute(
        "delete from incoming_rows where rowid not in "
        f"(select max(rowid) from incoming_rows group by {', '.join(spec.key)})"
    )


def _is_given(column: str, data_type: str) -> str:
    """SQL for: not null and, where it is a time, not 'infinity'."""
    return f"isfinite({column})" if data_type in ("DATE", "TIMESTAMP") else f"{column} is not null"


def _merge(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    spec: RawTable,
    columns: dict[str, str],
    landed_at: datetime,
) -> Landing:
    names = ", ".join(columns)
    same_key = " and ".join(f"stored.{c} = incoming_rows.{c}" for c in spec.key)
    values = [c for c in columns if c not in (*spec.key, "provider", "landed_at")]
    differs = " or ".join(f"stored.{c} is distinct from incoming_rows.{c}" for c in values)
    known = _changed(
        connection,
        "create or replace temp table superseded as select stored.*, "
        "incoming_rows.rowid as row_id, "
        f"{differs or 'false'} as is_revised "
        f"from raw.{table} as stored inner join incoming_rows on {same_key}",
    )
    same = _changed(
        connection,
        "delete from incoming_rows where rowid in "
        "(select row_id from superseded where not is_revised)",
    )
    revised = known - same
    if revised:
        connection.execute("delete from superseded where not is_revised")
        if spec.revisions:
            connection.execute(
                f"insert into raw.{spec.revisions} ({names}, superseded_at) "
                f"select {names}, $landed_at from superseded",
                {"landed_at": landed_at},
            )
        connection.execute(
            f"delete from raw.{table} as stored using superseded as incoming_rows where {same_key}"
        )
    landed = _insert(connection, table, columns)
    return Landing(inserted=landed - revised, revised=revised, unchanged=same)


def _insert(connection: duckdb.DuckDBPyConnection, table: str, columns: dict[str, str]) -> int:
    names = ", ".join(columns)
    return _changed(
        connection, f"insert into raw.{table} ({names}) select {names} from incoming_rows"
    )


def _changed(connection: duckdb.DuckDBPyConnection, statement: str) -> int:
    """Run a statement; return how many rows it made or removed."""
    return int(connection.execute(statement).fetchall()[0][0])
