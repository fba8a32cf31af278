"""What live.duckdb holds: today's bars and signals, and the views over them.

One thread writes (the monitor's).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from datetime import date, datetime
from pathlib import Path
from typing import Any, cast

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from ingest.warehouse import Landing, land, open_warehouse
from live.broadcast import Message
from live.database import LiveDatabase
from live.feeds import Polled
from live.flush import day_tables, forget_before
from live.live_tables import MINUTE, LiveTables
from live.messages import Rules
from live.prepared import Basis, PreparedRows
from live.served import ServedRows
from live.sessions import Session
from live.signals import Entry, Signal

REPLAY_PAGE = 500

ENTRY_COLUMNS = [field.name for field in fields(Entry)]


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


class LiveWarehouse(LiveDatabase):
    """The live database by what it is for: land, evaluate, keep, tell."""

    def _use(self, connection: duckdb.DuckDBPyConnection) -> None:
        super()._use(connection)
        self._live_tables = LiveTables(self._connection)
        self._prepared = PreparedRows(self._connection, self._live_tables)
        self._stale_since: datetime | None = None
        """The earliest bar that the tables with a row per bar don't have as it is."""
        self._evaluated_until: datetime | None = None
        """The newest bar at the last evaluation; the other live tables know of it."""
        self._served: ServedRows | None = None
        self._unkept_requests: list[tuple[pa.Table, str, datetime]] = []
        self._rules: Rules
        self._rules_of: Path | None = None
        """The snapshot that the rules were read from."""

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
        if self._rules_of != self.snapshot_path:
            names = [field.name for field in fields(Rules)]
            (row,) = self.read(f"select {', '.join(names)} from published.marts.signal_rules")
            self._rules, self._rules_of = Rules(**row), self.snapshot_path
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
        bars, brought = Landing(), {provider: polled} | polled.others
        if any(batch.num_rows for part in brought.values() for batch in part.bars + part.quotes):
            with self.transaction():
                for who, part in brought.items():
                    bars += self._land_polled(part, who, landed_at)
                if bars.inserted or bars.revised:
                    self._is_fresh.clear()
        for who, part in brought.items():
            if part.requests:
                requests = pa.Table.from_pylist(part.requests)
                self._unkept_requests.append((requests, who, landed_at))
        return bars

    def _land_polled(self, polled: Polled, provider: str, landed_at: datetime) -> Landing:
        bars = Landing()
        for table, batches in (("bars_1m", polled.bars), ("quotes", polled.quotes)):
            rows = [batch for batch in batches if batch.num_rows]
            if rows:
                landing = self._land(table, pa.concat_tables(rows), provider, landed_at)
                bars = landing if table == "bars_1m" else bars
        for batch in polled.bars:
            self._prepared.expect(provider, pc.unique(batch["symbol"]).to_pylist())
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

    def store_signals(self, signals: Sequence[Signal], provider: str, landed_at: datetime) -> None:
        """Keep signals in raw.signals; they are on disk when this returns."""
        self.store("signals", [signal.as_row() for signal in signals], provider, landed_at)

    def store(
        self, table: str, rows: Sequence[dict[str, Any]], provider: str, landed_at: datetime
    ) -> None:
        """Add rows of the service's own to raw.<table>; they are on disk when this returns."""
        with self.transaction():
            made = pa.Table.from_pylist(list(rows))  # noqa: F841 (the statement reads it)
            self._connection.execute(
                f"insert into raw.{table} by name "
                "select *, $provider as provider, $landed_at as landed_at from made",
                {"provider": provider, "landed_at": landed_at},
            ).fetchall()

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
                self._live_tables.want_rows(min(moments))
                self._live_tables.freshen(min(moments), max(moments))
                yield self._connection
            finally:
                self._connection.execute("rollback")

    # Whole results are always fetched: a relation refuses a connection with an unfinished one.

    def _land(self, table: str, rows: pa.Table, provider: str, landed_at: datetime) -> Landing:
        return land(self._connection, table, rows, provider=provider, landed_at=landed_at)

    def freshen(self, session_date: date, since: datetime) -> None:
        """Remake what is kept of the views in tables, as far as bars from `since` on reach."""
        self._prepared.outdate(since)
        _, newest = self.changes(session_date, since)
        if newest is not None:
            with self.transaction():
                self._live_tables.want_rows(since)
                self._live_tables.freshen(since, newest)
        self._is_fresh.set()

    def remake_live_tables(self) -> None:
        """Remake all that is kept of the views in tables.

        At a start they may lack what landed right before the last run was killed.
        """
        self._prepared.forget()
        with self.transaction():
            self._live_tables.remake()
        self._stale_since = self._evaluated_until = None
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

    def serve(
        self,
        session_date: date,
        symbols: Sequence[str],
        since: datetime,
        newest: datetime,
        evaluated_at: datetime,
        provider: str,
    ) -> pa.Table:
        """Evaluate a session's bars from `since` to the newest; return the rows that are entries.

        All rows are to be kept with the moment of the evaluation (raw.served_features), for the
        parity report, by `keep_books`. Bars of the newest minute whose rows are prepared are only
        put beside those; the live tables are then to be made fresh, by `prepare`.
        """
        self._served = self._served or ServedRows(self._connection)
        basis = self._basis(session_date, provider, symbols)
        are_prepared = since == newest and self._prepared.hold(newest, basis)
        with self.transaction():
            stale_since = min(since, self._stale_since or since)
            if are_prepared and not self._are_marks_due(since, newest):
                self._stale_since = stale_since
            else:
                self._live_tables.want_rows(stale_since)
                self._live_tables.freshen(stale_since, newest)
                self._stale_since = None
            self._evaluated_until = newest
            self._prepared.outdate(since)
            rows = self._served.evaluate(
                session_date,
                self.snapshot,
                symbols,
                since,
                evaluated_at,
                are_prepared=are_prepared,
            )
        if self._stale_since is None:
            self._is_fresh.set()
        return rows.filter(rows["is_entry"])

    def _basis(self, session_date: date, provider: str, symbols: Sequence[str]) -> Basis:
        return Basis(session_date, self.snapshot, provider, frozenset(symbols))

    def _are_marks_due(self, since: datetime, newest: datetime) -> bool:
        """Whether the bars from `since` to the newest end a step of the other live tables."""
        if self._evaluated_until is None:
            return True
        since = min(since, self._evaluated_until + MINUTE)
        return self._live_tables.are_marks_due(since, newest)

    def prepare(
        self, session_date: date, symbols: Sequence[str], minute: datetime, provider: str
    ) -> None:
        """Work out what is known before the bars of a minute that has none yet.

        No signal waits for this. The live tables are fresh when it returns.
        """
        basis = self._basis(session_date, provider, symbols)
        if self._prepared.hold(minute, basis):
            return
        try:
            with self.transaction():
                self._prepared.prepare(minute, basis, self._stale_since)
        except BaseException:
            self._prepared.forget()
            raise
        self._stale_since = None
        self._is_fresh.set()

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


def to_entries(rows: pa.Table) -> list[Entry]:
    """Return the entries that the rows of `LiveWarehouse.serve` stand for."""
    return [Entry(**row) for row in rows.select(ENTRY_COLUMNS).to_pylist()]
