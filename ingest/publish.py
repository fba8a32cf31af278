"""Publishing: after a good `dbt run` or `dbt build` the warehouse becomes a new read-only snapshot.

dbt loads this module as a plugin (dbt_project/profiles.yml), whoever runs it and from where, and
calls `publish_snapshot()` at the end of a good run (dbt_project/macros/publish_snapshot.sql).
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError
from pydantic import ValidationError

from ingest.copying import copy_apart, onto_disk
from ingest.recycling import open_unread
from ingest.renewal import NotRenewableError, renew
from ingest.settings import Settings, described
from ingest.warehouse import (
    RAW_SCHEMA,
    DatabaseLockedError,
    DatabaseUnusableError,
    open_database,
)

KEPT_VERSIONS = 3
"""The newest, one that a reader may hold for hours, and one to make the next from."""


MOST_GROWN = 1.5
"""A version of more times the warehouse's size has too many holes to be worth renewing."""


@dataclass(frozen=True)
class Published:
    """A new version, and how it was made."""

    path: Path
    rows: int | None
    """Rows that were brought over into a renewed version; None: the file was copied in full."""

    reason: str = ""
    """Why it was copied."""

    def __str__(self) -> str:
        in_full = self.rows is None
        how = f"copied in full: {self.reason}" if in_full else f"{self.rows:,} rows brought over"
        return f"{self.path} ({how}; {self.path.stat().st_size / 1e6:,.1f} MB)"


def publish(
    connection: duckdb.DuckDBPyConnection, warehouse: Path, ledgered: Collection[str] = ()
) -> Published:
    """Make a new version of the checkpointed `warehouse` and switch the link to it.

    The oldest version that nobody reads becomes the new one, where there is one, so that the cost
    follows what changed; `ledgered` names the tables whose ledger can be believed (renewal.py).
    A reader that has an older version open keeps it; the newest KEPT_VERSIONS files stay on disk.
    The switch is one rename, so there is always a snapshot.
    """
    folder = warehouse.parent / "published"
    folder.mkdir(exist_ok=True)
    for unfinished in folder.glob("*.partial"):
        unfinished.unlink()
    link = folder / "warehouse.duckdb"
    versions = sorted(folder.glob("warehouse_v*.duckdb"))
    number = int(versions[-1].stem.removeprefix("warehouse_v")) + 1 if versions else 1
    version = folder / f"warehouse_v{number:06d}.duckdb"
    partial = folder / f"{version.name}.partial"
    largest = MOST_GROWN * warehouse.stat().st_size
    retired = [old for old in versions if old.name != link.resolve().name]
    retired = [old for old in retired if old.stat().st_size <= largest]
    rows, reason = None, "no retired version is free"
    try:
        rows = renew_first(connection, retired, partial, ledgered)
    except (NotRenewableError, duckdb.Error) as error:
        partial.unlink()
        reason = str(error).splitlines()[0]
    if rows is None:
        copy_apart((warehouse, partial))
        onto_disk(partial)
    partial.chmod(0o444)
    partial.rename(version)
    next_link = folder / "next_link"
    next_link.unlink(missing_ok=True)
    next_link.symlink_to(version.name)
    next_link.replace(link)
    for old in sorted(folder.glob("warehouse_v*.duckdb"))[:-KEPT_VERSIONS]:
        old.unlink()
    return Published(version, rows, "" if rows is not None else reason)


def renew_first(
    connection: duckdb.DuckDBPyConnection,
    retired: list[Path],
    target: Path,
    ledgered: Collection[str],
) -> int | None:
    """Make the first of `retired` that nobody reads into `target`, on disk when this returns.

    Return the rows brought over; None where all are read.
    """
    for candidate in retired:
        opened = open_unread(candidate)
        if opened is not None:
            try:
                candidate.rename(target)
                rows = renew(connection, target, ledgered)
                os.fsync(opened)
                return rows
            finally:
                os.close(opened)
    return None


class Plugin(BasePlugin):
    """Gives dbt's connection the raw tables and the function `publish_snapshot()`."""

    def update_connection_config(self, creds: DuckDBCredentials, config: dict[str, Any]) -> None:
        """Put DATA_DIR before the paths, and wait while a job holds the database.

        Raises DbtRuntimeError, in one line, where the database can't be opened.
        """
        try:
            data_dir = Settings().data_dir
            creds.path = str(data_dir / creds.path)
            for attachment in creds.attach or []:
                attachment.path = str(data_dir / attachment.path)
            with open_database(Path(creds.path)):
                pass
        except ValidationError as error:
            raise DbtRuntimeError(described(error)) from error
        except (DatabaseLockedError, DatabaseUnusableError) as error:
            raise DbtRuntimeError(str(error)) from error

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Create what is missing of the raw tables, and the SQL function."""
        conn.execute("set TimeZone = 'UTC'")
        conn.execute(RAW_SCHEMA)
        assert self.creds is not None
        path = Path(self.creds.path).resolve()

        def publish_snapshot(ledgered: list[str]) -> str:
            return str(publish(conn.cursor(), path, ledgered))

        known = conn.execute(
            "select count(*) from duckdb_functions() where function_name = 'publish_snapshot'"
        ).fetchall()
        if known == [(0,)]:  # dbt configures a connection again after a failed attempt
            conn.create_function(
                "publish_snapshot", publish_snapshot, ["VARCHAR[]"], "VARCHAR", side_effects=True
            )
