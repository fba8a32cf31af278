"""Publishing: after a good `dbt run` or `dbt build` the warehouse becomes a new read-only snapshot.

dbt loads this module as a plugin (dbt_project/profiles.yml), whoever runs it and from where, and
calls `publish_snapshot()` at the end of a good run (dbt_project/macros/publish_snapshot.sql).
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError
from pydantic import ValidationError

from ingest import recycling
from ingest.settings import Settings, described
from ingest.warehouse import (
    RAW_SCHEMA,
    DatabaseLockedError,
    DatabaseUnusableError,
    open_database,
)

KEPT_VERSIONS = 3
"""The newest, one that a reader may hold for hours, and one to make the next from."""


@dataclass(frozen=True)
class Published:
    """A new version: its file, the size of it, and how much of that had to be written."""

    path: Path
    size_bytes: int
    written_bytes: int

    def __str__(self) -> str:
        written, size = (count / 1e6 for count in (self.written_bytes, self.size_bytes))
        return f"{self.path} ({written:,.1f} of {size:,.1f} MB written)"


def publish(warehouse: Path) -> Published:
    """Copy the checkpointed file `warehouse` to a new version and switch the link to it.

    The oldest version that nobody reads is made into the new one, where there is one, so that what
    is written follows what changed. A reader that has an older version open keeps it; the newest
    KEPT_VERSIONS files stay on disk. The switch is one rename, so there is always a snapshot.
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
    retired = [old for old in versions if old.name != link.resolve().name]
    written = copy_apart(warehouse, partial, retired)
    partial.chmod(0o444)
    partial.rename(version)
    next_link = folder / "next_link"
    next_link.unlink(missing_ok=True)
    next_link.symlink_to(version.name)
    next_link.replace(link)
    for old in sorted(folder.glob("warehouse_v*.duckdb"))[:-KEPT_VERSIONS]:
        old.unlink()
    return Published(version, version.stat().st_size, written)


def copy_apart(source: Path, target: Path, retired: list[Path]) -> int:
    """Copy in a process of its own (ingest/recycling.py says why); return the bytes written.

    Raises OSError where the copy fails; nothing is left of it then.
    """
    command = [sys.executable, "-I", recycling.__file__, str(source), str(target)]
    command += [str(path) for path in retired]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        target.unlink(missing_ok=True)
        reason = (done.stderr.strip().splitlines() or ["it was killed"])[-1]
        raise OSError(f"{source} could not be copied to {target.parent}: {reason}")
    return int(done.stdout)


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

        def publish_snapshot() -> str:
            return str(publish(path))

        known = conn.execute(
            "select count(*) from duckdb_functions() where function_name = 'publish_snapshot'"
        ).fetchall()
        if known == [(0,)]:  # dbt configures a connection again after a failed attempt
            conn.create_function(
                "publish_snapshot", publish_snapshot, [], "VARCHAR", side_effects=True
            )
