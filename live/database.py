"""The file live.duckdb: its connections, the published snapshot beside it, transactions and copies.

One thread writes (the monitor's); routes read through `read`, from any thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import duckdb

from ingest.copying import copy_apart
from ingest.warehouse import connect

log = logging.getLogger(__name__)

CLOSE_SECONDS = 0.5
FRESHEN_SECONDS = 2.0
"""How long a copy waits for the tables of the views."""


class NotFreshError(RuntimeError):
    """Bars have landed that the tables of the views don't have yet."""


class SnapshotMissingError(RuntimeError):
    """There is no published snapshot to read history from."""


class LiveDatabase:
    """live.duckdb while it is open, with the newest snapshot attached as `published`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, published_path: Path) -> None:
        self._use(connection)
        ((path,),) = self._connection.execute(
            "select path from duckdb_databases() where database_name = current_database()"
        ).fetchall()
        self._path = Path(path)
        self._published_path = published_path
        self.left_open: ExitStack | None = None
        """Keeps a database from being closed while a statement runs."""
        self._reading = threading.Lock()
        self._writing = threading.RLock()
        self._in_transaction = False
        self._version = 0
        self._is_fresh = threading.Event()
        self._is_fresh.set()
        self.refresh()

    def _use(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("set global TimeZone = 'UTC'")
        self._root = connection
        """Idle but for `refresh`: a busy connection refuses to give cursors."""
        self._connection = connection.cursor()
        self._attached: Path | None = None

    def reopen(self) -> None:
        """Open the database anew where a failed write has closed it; what was committed is there.

        Raises DatabaseUnusableError where it can't be opened.
        """
        with self._reading, self._writing:
            self._connection.close()
            self._root.close()
            self._use(connect(self._path, wait_seconds=5.0))
        self.refresh()

    def close(self) -> bool:
        """Write DuckDB's log into the file; return whether no statement runs any more.

        Where one does (planning can't be interrupted), the file is left to the process's end: all
        that was committed is in the log, and the next start takes it in.
        """
        deadline = time.monotonic() + CLOSE_SECONDS
        while True:
            try:
                self._connection.close()
                with self._reading:
                    self._root.execute("checkpoint")
                    self._root.close()
            except duckdb.Error as error:
                if time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                log.warning("a statement still runs, live.duckdb is not checkpointed: %s", error)
                return False
            return True

    def interrupt(self) -> None:
        """Stop the statement that the writing thread runs."""
        self._connection.interrupt()

    def refresh(self) -> bool:
        """Attach the newest snapshot where it is not; return whether it changed."""
        version = snapshot_version(self._published_path)
        if version == self._attached:
            return False
        with self._reading:
            if self._attached is not None:
                self._root.execute("detach published")
                self._attached = None
            escaped = str(version).replace("'", "''")
            self._root.execute(f"attach '{escaped}' as published (read_only)")
            self._attached = version
        log.info("snapshot %s attached", version.name)
        return True

    @property
    def snapshot_path(self) -> Path:
        """The attached snapshot's file."""
        return self._attached or snapshot_version(self._published_path)

    @property
    def snapshot(self) -> str:
        """The name of the attached snapshot's file."""
        return self._attached.name if self._attached else "none"

    def read(self, sql: str, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the rows of a query. May be called from any thread; reads take turns."""
        with self._reading:
            cursor = self._root.cursor()
            try:
                return fetch_rows(cursor.execute(sql, parameters))
            finally:
                cursor.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Have all changes of a block made or none; a transaction in another is part of that one.

        They are on disk when the outermost block has ended.
        """
        with self._writing:
            if self._in_transaction:
                yield
                return
            was_fresh = self._is_fresh.is_set()
            self._in_transaction = True
            self._connection.execute("begin")
            try:
                yield
            except BaseException:
                self._connection.execute("rollback")
                if not was_fresh:
                    self._is_fresh.clear()
                raise
            finally:
                self._in_transaction = False
            self._connection.execute("commit")
            self._version += 1

    @property
    def version(self) -> int:
        """Grows with every change of the database."""
        return self._version

    def copy_to(self, target: Path) -> int:
        """Copy the database to `target` between two changes; return the version copied.

        The views say the same there. May be called from any thread. Raises NotFreshError, and
        OSError where it can't be written.
        """
        while self._is_fresh.wait(FRESHEN_SECONDS):
            with self._writing:
                if self._is_fresh.is_set():
                    copy_apart(*self._files(target))
                    return self._version
        raise NotFreshError("bars have landed that the views don't have yet: ask again")

    def _files(self, target: Path) -> list[tuple[Path, Path]]:
        """Return the database's file and its log, where it has one, and what they are copied to."""
        wal = self._path.with_name(f"{self._path.name}.wal")
        log_copy = [(wal, target.with_name(f"{target.name}.wal"))] if wal.exists() else []
        return [(self._path, target), *log_copy]


def snapshot_version(published_path: Path) -> Path:
    """Return the file that the link of the newest snapshot points to.

    Raises SnapshotMissingError where there is none.
    """
    try:
        return published_path.resolve(strict=True)
    except OSError as error:
        raise SnapshotMissingError(
            f"no published snapshot at {published_path}: run make features first"
        ) from error


def fetch_rows(result: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Return a query's rows by the columns' names."""
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
