"""Files for people and programs, written from the published snapshot, each in one step."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from ingest.clock import Clock
from ingest.warehouse import open_database


class NotPublishedError(RuntimeError):
    """The snapshot, or a mart in it, is missing; the message says how to build it."""


def newest_version(published: Path) -> Path:
    """Return the versioned file that the link `published` points to.

    A client should open that one: it stays as it is when a newer one is published. Raises
    NotPublishedError.
    """
    if not published.exists():
        raise NotPublishedError(f"{published} is not there yet: run make demo or make features")
    return published.resolve()


@contextmanager
def open_snapshot(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the published snapshot, read only. Raises NotPublishedError where it lacks something."""
    version = newest_version(path)
    try:
        with open_database(version, read_only=True) as connection:
            yield connection
    except duckdb.CatalogException as error:
        reason = str(error).splitlines()[0]
        raise NotPublishedError(f"{path}: run `dbt build` first ({reason})") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which takes the place of `path` at the end, whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def export_watchlist(snapshot: Path, target: Path, clock: Clock) -> int:
    """Write the coming session's watchlist as JSON; return how many symbols it has."""
    with open_snapshot(snapshot) as connection:
        coming = connection.execute("select session_date from marts.coming_session").fetchone()
        if coming is None:
            raise NotPublishedError(
                f"{snapshot} knows no coming session, as its calendar is empty or has ended: "
                "run `python -m ingest calendar`, then `dbt build`"
            )
        cursor = connection.execute(
            "select * exclude (session_date) from marts.watchlist "
            "where session_date = $session_date order by rank",
            {"session_date": coming[0]},
        )
        names = [column[0] for column in cursor.description or []]
        rows = [[_json_value(value) for value in row] for row in cursor.fetchall()]
    watchlist: dict[str, Any] = {
        "session_date": coming[0].isoformat(),
        "generated_at": f"{clock.now().isoformat(timespec='seconds')}Z",
        "symbols": [dict(zip(names, row, strict=True)) for row in rows],
    }
    with replacing(target) as partial:
        partial.write_text(json.dumps(watchlist, indent=2, allow_nan=False) + "\n")
    return len(rows)


def _json_value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, int | str) else str(value)


def export_training_rows(snapshot: Path, target: Path) -> int:
    """Write marts.training_rows as Parquet; return how many rows it has."""
    with open_snapshot(snapshot) as connection, replacing(target) as partial:
        row = connection.execute(
            "copy (select * from marts.training_rows) to $target "
            "(format parquet, compression zstd)",
            {"target": str(partial)},
        ).fetchone()
    return int(row[0]) if row else 0
