"""Bars, profiles and splits that users bring as Parquet or CSV files.

Columns are taken by name; extra ones are ignored. Files are read in batches, so memory stays flat.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from ingest.batches import Summary
from ingest.clock import Clock
from ingest.providers.errors import FetchRecord
from ingest.transaction import interrupts_held, transaction
from ingest.warehouse import land, open_warehouse

BATCH_ROWS = 500_000

SYMBOL = "replace(upper(trim(symbol::varchar)), '.', '-')"
PRICES = {
    name: f"try_cast({name} as double)" for name in ("open", "high", "low", "close", "volume")
}


@dataclass(frozen=True)
class FileTable:
    """How one kind of file becomes rows of a raw table."""

    table: str
    required: tuple[str, ...]
    columns: dict[str, str]
    """Raw column to SQL over the file's columns."""

    optional: dict[str, str]
    """The same for columns that a file may lack, and then holds the default beside it."""


def _or_default(name: str, data_type: str, default: str) -> str:
    return f"coalesce(try_cast({name} as {data_type}), {default})"


_TEXTS = ("company_name", "sector", "industry", "country")

BARS_1M = FileTable(
    "bars_1m",
    ("symbol", "bar_at", *PRICES),
    {
        "symbol": SYMBOL,
        "session_date": "(try_cast(bar_at as timestamp) at time zone 'UTC' "
        "at time zone 'America/New_York')::date",
        "bar_at": "try_cast(bar_at as timestamp)",
        **PRICES,
    },
    {},
)
BARS_1D = FileTable(
    "bars_1d",
    ("symbol", "session_date", *PRICES),
    {
        "symbol": SYMBOL,
        "session_date": "try_cast(try_cast(session_date as timestamp) as date)",
        **PRICES,
    },
    {},
)
PROFILES = FileTable(
    "profiles",
    ("symbol", "market_cap", "exchange"),
    {
        "symbol": SYMBOL,
        "market_cap": "try_cast(market_cap as double)",
        "exchange": "upper(trim(exchange))",
    },
    {
        **{name: f"{name}::varchar" for name in _TEXTS},
        "price": "try_cast(price as double)",
        "as_of_date": "try_cast(try_cast(as_of_date as timestamp) as date)",
        "is_etf": _or_default("is_etf", "boolean", "false"),
        "is_fund": _or_default("is_fund", "boolean", "false"),
        "is_adr": _or_default("is_adr", "boolean", "false"),
        "is_actively_trading": _or_default("is_actively_trading", "boolean", "true"),
    },
)
SPLITS = FileTable(
    "splits",
    ("symbol", "split_date", "numerator", "denominator"),
    {
        "symbol": SYMBOL,
        "split_date": "try_cast(try_cast(split_date as timestamp) as date)",
        "numerator": "try_cast(numerator as double)",
        "denominator": "try_cast(denominator as double)",
    },
    {},
)
DEFAULTS = {
    "is_etf": "false",
    "is_fund": "false",
    "is_adr": "false",
    "is_actively_trading": "true",
}
DATE_COLUMNS = {"session_date", "split_date"}
"""Columns that a file may also call `date`."""


class ImportFileError(ValueError):
    """A file that can't be imported; the message names it and what it lacks."""


@dataclass(frozen=True)
class UserFile:
    """One file to import, checked: it exists, is Parquet or CSV, and has the columns."""

    path: Path
    kind: FileTable
    names: frozenset[str]


def check_file(path: Path, kind: FileTable) -> UserFile:
    """Return the file if it can be imported; raise ImportFileError otherwise."""
    if not path.is_file():
        raise ImportFileError(f"{path} is no file: check the path")
    try:
        with duckdb.connect() as connection:
            described = connection.execute(f"describe {_source(path)}", [str(path)]).fetchall()
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise ImportFileError(f"{path} can't be read as Parquet or CSV: {reason}") from error
    names = frozenset(name.lower() for name, *_ in described)
    missing = [n for n in kind.required if n not in names and not _is_called_date(n, names)]
    if missing:
        raise ImportFileError(
            f"{path} lacks the columns {', '.join(missing)}: {kind.table} needs "
            f"{', '.join(kind.required)}"
        )
    return UserFile(path, kind, names)


def _is_called_date(name: str, names: frozenset[str]) -> bool:
    return name in DATE_COLUMNS and "date" in names


def _source(path: Path) -> str:
    if path.suffix.lower() in (".parquet", ".pq"):
        return "select * from read_parquet($1)"
    return "select * from read_csv($1, all_varchar = true)"


def _select(file: UserFile) -> str:
    columns = dict(file.kind.columns)
    for name, expression in file.kind.optional.items():
        if name in file.names:
            columns[name] = expression
        elif name in DEFAULTS:
            columns[name] = DEFAULTS[name]
    aliases = [
        f"date as {name}"
        for name in file.kind.required
        if name not in file.names and _is_called_date(name, file.names)
    ]
    renamed = ", ".join(["*", *aliases])
    selected = ", ".join(f"{expression} as {name}" for name, expression in columns.items())
    return f"with source as ({_source(file.path)}), renamed as (select {renamed} from source) " + (
        f"select {selected} from renamed"
    )


def count_rows(file: UserFile) -> int | None:
    """Return a Parquet file's rows; None for CSV, which would have to be read for it."""
    if file.path.suffix.lower() not in (".parquet", ".pq"):
        return None
    with duckdb.connect() as connection:
        row = connection.execute(
            "select sum(num_rows) from parquet_file_metadata($1)", [str(file.path)]
        ).fetchone()
    return int(row[0]) if row else None


def first_bar_date(files: list[UserFile]) -> date | None:
    """Return the first session of the bars in `files`, or None where there are no bars."""
    dates: list[date | None] = []
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        for file in files:
            if "session_date" in file.kind.columns:
                row = connection.execute(
                    f"select min(session_date) from ({_select(file)})", [str(file.path)]
                ).fetchone()
                assert row is not None
                dates.append(row[0])
    return min((d for d in dates if d is not None), default=None)


def profiles_date(files: list[UserFile], given: date | None) -> tuple[date | None, str | None]:
    """Return the as_of_date for profiles that have none, and a line that says what was assumed.

    Raises ImportFileError where profiles without dates come with neither `given` nor bars.
    """
    undated = [f for f in files if f.kind is PROFILES and "as_of_date" not in f.names]
    if given is not None or not undated:
        return given, None
    first = first_bar_date(files)
    if first is None:
        raise ImportFileError(
            f"{undated[0].path} has no as_of_date: give --profiles-as-of YYYY-MM-DD, the day that "
            "the profiles were known"
        )
    as_of = first - timedelta(days=1)
    return as_of, f"profiles have no as_of_date: taken as known on {as_of}, before the first bar"


def import_file(
    file: UserFile,
    *,
    warehouse: Path,
    clock: Clock,
    provider: str,
    as_of_date: date | None,
    summary: Summary,
    advance: Callable[[int], None] = lambda rows: None,
) -> None:
    """Land a file batch by batch; `advance` is told of each batch's rows.

    Run again after an interruption it lands what is missing and changes nothing else.
    """
    request = FetchRecord(
        "import", clock.now(), params=json.dumps({"file": file.path.name, "for": file.kind.table})
    )
    with duckdb.connect() as source:
        source.execute("set TimeZone = 'UTC'")
        selected = source.sql(_select(file), params=[str(file.path)])
        reader: pa.RecordBatchReader = selected.to_arrow_reader(BATCH_ROWS)
        for batch in reader:
            rows = _dated(pa.Table.from_batches([batch]), file.kind, as_of_date)
            with (
                open_warehouse(warehouse) as connection,
                interrupts_held(),
                transaction(connection),
            ):
                landing = land(
                    connection,
                    file.kind.table,
                    rows,
                    provider=provider,
                    landed_at=clock.now(),
                    request_id=request.request_id,
                )
            summary.count_landing(file.kind.table, landing)
            request.row_count += rows.num_rows
            advance(rows.num_rows)
    request.outcome = "ok" if request.row_count else "empty"
    with open_warehouse(warehouse) as connection:
        line = pa.Table.from_pylist([asdict(request)])
        land(connection, "fetch_log", line, provider=provider, landed_at=clock.now())


def _dated(rows: pa.Table, kind: FileTable, as_of_date: date | None) -> pa.Table:
    if kind is not PROFILES or "as_of_date" in rows.column_names:
        return rows
    return rows.append_column("as_of_date", pa.array([as_of_date] * rows.num_rows, pa.date32()))
