"""The tables of live.duckdb that keep what the views say fresh, so that a read need not look far.

dbt lists them in intermediate.live_tables (macros/materializations/live_table.sql).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import duckdb

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class LiveTable:
    """A table, the view that says what is in it, and the newest bar_at that a row may stand on."""

    name: str
    definition: str
    newest_input: str
    """An expression over the row."""
    step: timedelta
    """How far apart rows are."""

    def is_due(self, since: datetime, newest: datetime) -> bool:
        """Whether a row stands between the changed bars and the newest."""
        return (newest + MINUTE - datetime.min) // self.step > (since - datetime.min) // self.step


class LiveTables:
    """The tables kept of the views; statements run in the caller's transaction."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._tables = [
            LiveTable(name, definition, newest_input, timedelta(minutes=step_minutes))
            for name, definition, newest_input, step_minutes in connection.execute(
                "from intermediate.live_tables"
            ).fetchall()
        ]

    def want_rows(self, since: datetime | None) -> None:
        """Bound what the views read (dbt_project/macros/bounds.sql); no value changes."""
        self._connection.execute("set variable rows_from = $since", {"since": since})

    def freshen(self, since: datetime, newest: datetime) -> None:
        """Remake what the bars from `since` to `newest` can change."""
        since = self._after_the_bar_before(since)
        for table in self._tables:
            if table.is_due(since, newest):
                self._remake(table, since, newest)

    def freshen_bars(self, since: datetime, newest: datetime) -> None:
        """Remake, of the tables that have a row per bar, the rows from `since` to `newest`."""
        self.want_rows(since)
        for table in self._tables:
            if table.step == MINUTE:
                self._remake(table, since, newest)

    def drop_bars_from(self, since: datetime) -> None:
        """Drop, of the tables that have a row per bar, the rows from `since` on."""
        for table in self._tables:
            if table.step == MINUTE:
                self._drop(table, since)

    def are_marks_due(self, since: datetime, newest: datetime) -> bool:
        """Whether a step that is longer than a minute ends from `since` to the newest bar."""
        return any(table.step > MINUTE and table.is_due(since, newest) for table in self._tables)

    def _remake(self, table: LiveTable, since: datetime, newest: datetime) -> None:
        self._drop(table, since)
        self._connection.execute(
            f"insert into {table.name} by name from {table.definition} "
            f"where {table.newest_input} between $since and $newest",
            {"since": since, "newest": newest},
        ).fetchall()

    def _drop(self, table: LiveTable, since: datetime) -> None:
        self._connection.execute(
            f"delete from {table.name} where {table.newest_input} >= $since", {"since": since}
        ).fetchall()

    def _after_the_bar_before(self, since: datetime) -> datetime:
        """Return the first minute of which nothing was known before the bars from `since` on.

        Minutes in which no symbol had a bar have ended by now, and rows that stand on them are due.
        """
        ((before,),) = self._connection.execute(
            "select max(bar_at) from raw.bars_1m where bar_at < $since", {"since": since}
        ).fetchall()
        if before is None or before + MINUTE == since:
            return since
        first: datetime = before + MINUTE
        self.want_rows(first)
        return first

    def remake(self) -> None:
        """Remake all of them: after a kill they may lack what landed right before it."""
        self.want_rows(None)
        for table in self._tables:
            self._connection.execute(f"delete from {table.name}").fetchall()
            self._connection.execute(
                f"insert into {table.name} by name from {table.definition}"
            ).fetchall()

    def forget_before(self, session_date: date) -> None:
        """Drop the rows of earlier sessions."""
        for table in self._tables:
            self._connection.execute(
                f"delete from {table.name} where session_date < $session_date",
                {"session_date": session_date},
            )
