"""live.duckdb: today's bars and signals, the views over them, and the published snapshot beside it.

One thread writes (the monitor's); routes read through `read`, from any thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from datetime import date, datetime
from pathlib import Path
from typing import Any, cast

import duckdb
import pyarrow as pa

from ingest.copying import copy_apart
from ingest.warehouse import Landing, connect, land, open_warehouse
from live.broadcast import Message
from live.feeds import Polled
from live.flush import day_tables, forget_before
from live.live_tables import LiveTables
from live.messages import Rules
from live.served import ServedRows
from live.sessions import Session
from live.signals import Entry, Signal

log = logging.getLogger(__name__)

REPLAY_PAGE = 500
CLOSE_SECONDS = 0.5
FRESHEN_SECONDS = 2.0
"""How long a copy waits for the tables of the views."""

ENTRY_COLUMNS = [field.name for field in fields(Entry)]


class NotFreshError(RuntimeError):
    """Bars have landed that the tables of the views don't have yet."""


class SnapshotMissingError(RuntimeError):
    """There is no published snapshot to read history from."""


@contextmanager
def open_live(live_path: Path, published_path: Path) -> Iterator[LiveWarehouse]:
    """Open live.duckdb for writing, with the newest snapshot attached as `published`."""
    with ExitStack() as stack:
        connection = stack.enter_context(open_warehouse(live_path, wait_seconds=5.0))
        warehouse = LiveWarehouse(connection, published_path)
        try:
            yield warehouse
        finally:
            if not warehouse.close():
                warehouse.left_open = stack.pop_all()


class LiveWarehouse:
    """The live database while it is open."""

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
        self._live_tables = LiveTables(self._connection)
        self._served: ServedRows | None = None
        self._rules: Rules | None = None
        self._unkept_requests: list[tuple[pa.Table, str, datetime]] = []

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
            self._attached, self._rules = version, None
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

    def session_at(self, now: datetime) -> Session | None:
        """Return the session that runs now or has not been flushed yet, or the next one."""
        rows = self.read(
            "select session_date, pre_open_at, open_at, close_at, post_close_at "
            "from published.marts.market_sessions "
            "where post_close_at > $now - interval 1 day order by session_date limit 3",
            {"now": now},
        )
        sessions = (Session(**row) for row in rows)
        return next((session for session in sessions if now < session.ends_at), None)

    def watchlist(self, session_date: date) -> list[dict[str, Any]]:
        """Return the rows of marts.watchlist for a session, best first."""
        return self.read(
            "select * from published.marts.watchlist where session_date = $session_date "
            "order by rank",
            {"session_date": session_date},
        )

    def published_for(self) -> date | None:
        """Return the session that the snapshot was made for."""
        rows = self.read("select session_date from published.marts.coming_session")
        return rows[0]["session_date"] if rows else None

    def rules(self) -> Rules:
        """Return the rules in force."""
        if self._rules is None:
            names = [field.name for field in fields(Rules)]
            (row,) = self.read(f"select {', '.join(names)} from published.marts.signal_rules")
            self._rules = Rules(**row)
        return self._rules

    def feature_definitions(self) -> tuple[list[str], str]:
        """Return the model inputs of the views here, in order, and their definition hash."""
        rows = self.read(
            "select feature, is_model_input, definition_hash from marts.feature_definitions "
            "order by ordinal"
        )
        names = [row["feature"] for row in rows if row["is_model_input"]]
        return names, str(rows[0]["definition_hash"]) if rows else ""

    def land_poll(self, polled: Polled, provider: str, landed_at: datetime) -> Landing:
        """Land what a poll brought, all of it or nothing; return what became of the bars.

        Its requests are to be kept, by `keep_books`.
        """
        with self.transaction():
            bars = self._land_polled(polled, provider, landed_at)
            for other, brought in polled.others.items():
                bars += self._land_polled(brought, other, landed_at)
            if bars.inserted or bars.revised:
                self._is_fresh.clear()
        for who, brought in ((provider, polled), *polled.others.items()):
            if brought.requests:
                requests = pa.Table.from_pylist(brought.requests)
                self._unkept_requests.append((requests, who, landed_at))
        return bars

    def keep_books(self) -> None:
        """Keep what was asked of providers and what the views gave. No signal waits for this."""
        if not self._unkept_requests and not (self._served and self._served.has_unkept):
            return
        try:
            with self.transaction():
                for requests, provider, landed_at in self._unkept_requests:
                    self._land("fetch_log", requests, provider, landed_at)
                if self._served:
                    self._served.keep()
        except BaseException:
            self._served = None  # it remembers as kept what is not
            raise
        self._unkept_requests = []

    def _land_polled(self, polled: Polled, provider: str, landed_at: datetime) -> Landing:
        bars = Landing()
        for table, batches in (("bars_1m", polled.bars), ("quotes", polled.quotes)):
            rows = [batch for batch in batches if batch.num_rows]
            if rows:
                landing = self._land(table, pa.concat_tables(rows), provider, landed_at)
                bars = landing if table == "bars_1m" else bars
        return bars

    def store_signals(self, signals: Sequence[Signal], provider: str, landed_at: datetime) -> None:
        """Keep signals in raw.signals; they are on disk when this returns."""
        self.store("signals", [signal.as_row() for signal in signals], provider, landed_at)

    def store(
        self, table: str, rows: Sequence[dict[str, Any]], provider: str, landed_at: datetime
    ) -> None:
        """Add rows of the service's own to raw.<table>; they are on disk when this returns."""
        with self.transaction():
            self._connection.register("made", pa.Table.from_pylist(list(rows)))
            self._connection.execute(
                f"insert into raw.{table} by name "
                "select *, $provider as provider, $landed_at as landed_at from made",
                {"provider": provider, "landed_at": landed_at},
            ).fetchall()
            self._connection.unregister("made")

    @contextmanager
    def trial(
        self, bars: pa.Table, provider: str, landed_at: datetime
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Have bars, and what the views make of them, stand for the length of a block.

        Only the connection that it yields sees them, and nothing of them is left at the end.
        """
        moments = bars["bar_at"].to_pylist()
        with self._writing:
            self._connection.execute("begin")
            try:
                self._land("bars_1m", bars, provider, landed_at)
                self._want_rows(min(moments))
                self._live_tables.freshen(min(moments), max(moments))
                yield self._connection
            finally:
                self._connection.execute("rollback")

    # Whole results are always fetched: a relation refuses a connection with an unfinished one.

    def _land(self, table: str, rows: pa.Table, provider: str, landed_at: datetime) -> Landing:
        return land(self._connection, table, rows, provider=provider, landed_at=landed_at)

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

    def freshen(self, session_date: date, since: datetime) -> None:
        """Remake what is kept of the views in tables, as far as bars from `since` on reach."""
        _, newest = self.changes(session_date, since)
        if newest is not None:
            with self.transaction():
                self._want_rows(since)
                self._live_tables.freshen(since, newest)
        self._is_fresh.set()

    def remake_live_tables(self) -> None:
        """Remake all that is kept of the views in tables.

        At a start they may lack what landed right before the last run was killed.
        """
        with self.transaction():
            self._live_tables.remake()
        self._is_fresh.set()

    def changes(
        self, session_date: date, landed_at: datetime
    ) -> tuple[datetime | None, datetime | None]:
        """Return the bar_at of the earliest bar that landed at `landed_at`, and of the newest."""
        (bounds,) = self._connection.execute(
            "select min(bar_at) filter (where landed_at = $landed_at), max(bar_at) "
            "from raw.bars_1m where session_date = $session_date",
            {"session_date": session_date, "landed_at": landed_at},
        ).fetchall()
        return cast("tuple[datetime | None, datetime | None]", bounds)

    def _want_rows(self, since: datetime) -> None:
        """Bound what the views read (dbt_project/macros/bounds.sql); no value changes."""
        self._connection.execute("set variable rows_from = $since", {"since": since})

    def serve(
        self,
        session_date: date,
        symbols: Sequence[str],
        since: datetime,
        newest: datetime,
        evaluated_at: datetime,
    ) -> pa.Table:
        """Evaluate a session's bars from `since` to the newest; return the rows that are entries.

        All rows are to be kept with the moment of the evaluation (raw.served_features), for the
        parity report, by `keep_books`.
        """
        self._served = self._served or ServedRows(self._connection)
        with self.transaction():
            self._want_rows(since)
            self._live_tables.freshen(since, newest)
            entries = self._served.evaluate(
                session_date, self.snapshot, symbols, since, evaluated_at
            )
            self._is_fresh.set()
        return entries

    def last_signals(self, session_date: date) -> dict[str, datetime]:
        """Return each symbol's latest signal of a session: its bar_at."""
        rows = self._connection.execute(
            "select symbol, max(bar_at) from raw.signals "
            "where session_date = $session_date group by symbol",
            {"session_date": session_date},
        ).fetchall()
        return dict(rows)

    def last_seq(self) -> int:
        """Return the highest seq that any stored signal has; 0 before the first."""
        (row,) = self.read(
            "select greatest((select coalesce(max(seq), 0) from raw.signals), "
            "(select coalesce(max(seq), 0) from published.marts.signals)) as seq"
        )
        return int(row["seq"])

    def signals_since(self, seq: int, limit: int = REPLAY_PAGE) -> list[Message]:
        """Return the stored signals after `seq`, oldest first, at most `limit` of them."""
        rows = self.read(
            "select seq, symbol, state, payload from raw.signals where seq > $seq "
            "union all by name "
            "select seq, symbol, state, payload from published.marts.signals as old "
            "where seq > $seq "
            "and not exists (select 1 from raw.signals as own where own.seq = old.seq) "
            "order by seq limit $limit",
            {"seq": seq, "limit": limit},
        )
        return [Message(*row.values()) for row in rows]

    def days(self) -> list[date]:
        """Return the sessions that have bars here, oldest first."""
        rows = self._connection.execute(
            "select distinct session_date from raw.bars_1m order by session_date"
        ).fetchall()
        return [row[0] for row in rows]

    def day_tables(self, session_date: date) -> dict[str, pa.Table]:
        """Return a session's rows of every raw table that the warehouse is to have."""
        return day_tables(self._connection, session_date)

    def forget_before(self, session_date: date, flushed: Set[date]) -> None:
        """Drop the days before a session, once all of them are flushed.

        Signals stay, as clients may still resume from them.
        """
        if any(day < session_date and day not in flushed for day in self.days()):
            return
        with self.transaction():
            forget_before(self._connection, session_date)
            self._live_tables.forget_before(session_date)


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


def to_entries(rows: pa.Table) -> list[Entry]:
    """Return the entries that the rows of `LiveWarehouse.serve` stand for."""
    return [Entry(**row) for row in rows.select(ENTRY_COLUMNS).to_pylist()]


def fetch_rows(result: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Return a query's rows by the columns' names."""
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
