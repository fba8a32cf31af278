"""The tables of live.duckdb that keep what the views say fresh, so that a read need not look far.

dbt lists them in intermediate.live_tables (macros/materializations/live_table.sql).
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

import duckdb

MINUTE = timedelta(minutes=1)


class LiveTables:
    """The tables kept of the views; statements run in the caller's transaction."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._tables = connection.execute("from intermediate.live_tables").fetchall()

    def freshen(self, since: datetime, newest: datetime) -> None:
        """Remake what the bars from `since` to `newest` can change."""
        since = self._after_the_bar_before(since)
        for name, definition, newest_input, step_minutes in self._tables:
            step = timedelta(minutes=step_minutes)
            if (newest + MINUTE - datetime.min) // step <= (since - datetime.min) // step:
                continue  # no row stands between the changed bars and the newest
            changed = {"since": since}
            self._connection.execute(f"delete from {name} where {newest_input} >= $since", changed)
            self._connection.execute(
                f"insert into {name} by name from {definition} "
                f"where {newest_input} between $since and $newest",
                changed | {"newest": newest},
            )

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
        self._connection.execute("set variable rows_from = $first", {"first": first})
        return first

    def remake(self) -> None:
        """Remake all of them: after a kill they may lack what landed right before it."""
        self._connection.execute("set variable rows_from = null")
        for name, definition, *_ in self._tables:
            self._connection.execute(f"delete from {name}")
            self._connection.execute(f"insert into {name} by name from {definition}")

    def forget_before(self, session_date: date) -> None:
        """Drop the rows of earlier sessions."""
        for name, *_ in self._tables:
            self._connection.execute(
                f"delete from {name} where session_date < $session_date",
                {"session_date": session_date},
            )
