"""A recorded day: what it brought, and a snapshot that knows no other day."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from live.feeds.replay import Step, steps_of
from live.served import named_statements
from live.sessions import Session

DAY = named_statements("day.sql")

READ_BY_THE_SERVICE = {
    "marts.coming_session",
    "marts.market_sessions",
    "marts.watchlist",
    "marts.signal_rules",
    "marts.signals",
    "marts.entries_1m",
    "intermediate.int_nightly_inputs",
}
"""What the service and the report read of a snapshot, besides the views of live.duckdb."""

COMING = {"marts.coming_session": "marts.market_sessions"}
"""The session to come is, on a recorded day, that day."""

NOTHING_RECORDED = (
    "the snapshot has no bars of any session: "
    "run make ingest (or python -m ingest import) and make features"
)


class ReplayError(RuntimeError):
    """The day can't be replayed; the message says why and what to do."""


@dataclass(frozen=True)
class Day:
    """What a session brought."""

    session: Session
    symbols: list[str]
    """Those on its watchlist that have bars; all that have bars where it had no watchlist."""
    had_watchlist: bool
    steps: list[Step]
    quotes: pa.Table


@contextmanager
def recorded(snapshot: Path, target: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open `target` (none: no file) with the snapshot attached as `recorded`."""
    with duckdb.connect(str(target) if target else ":memory:") as connection:
        connection.execute("set TimeZone = 'UTC'")
        escaped = str(snapshot).replace("'", "''")
        connection.execute(f"attach '{escaped}' as recorded (read_only)")
        yield connection


def read_day(snapshot: Path, session_date: date, every_minutes: int | None) -> Day:
    """Return a recorded day, its bars as they stand now, in steps of `every_minutes`.

    None: each version of a bar when it landed then. Raises ReplayError where nothing is recorded.
    """
    with recorded(snapshot) as connection:
        session = _session(connection, session_date)
        watched = _rows(connection, "watched", session_date)
        symbols = [symbol for (symbol,) in watched or _rows(connection, "traded", session_date)]
        if not symbols:
            raise ReplayError(_nobody_watched(connection, session_date))
        values: dict[str, Any] = {"session_date": session_date, "symbols": symbols}
        if every_minutes is None:
            bars = connection.sql(DAY["landed"], params=values)
        else:
            bars = connection.sql(DAY["closed"], params=values | {"every_minutes": every_minutes})
        steps = list(steps_of(bars.to_arrow_table()))
        quotes = connection.sql(
            DAY["quotes"],
            params={
                "symbols": symbols,
                "pre_open_at": session.pre_open_at,
                "post_close_at": session.post_close_at,
            },
        ).to_arrow_table()
    if not any(step.at < session.ends_at for step in steps):
        raise ReplayError(
            f"the bars of {session_date} all landed after the session (they were bought, nobody "
            "watched them live): replay it without --as-landed"
        )
    return Day(session, symbols, bool(watched), steps, quotes)


def replayable(snapshot: Path) -> list[date]:
    """Return the sessions of which bars are recorded, oldest first."""
    with recorded(snapshot) as connection:
        return [row[0] for row in connection.execute(DAY["replayable"]).fetchall()]


def newest_replayable(snapshot: Path) -> date:
    """Return the newest session that can be replayed; raise ReplayError where there is none."""
    days = replayable(snapshot)
    if not days:
        raise ReplayError(NOTHING_RECORDED)
    return days[-1]


def cut_snapshot(snapshot: Path, target: Path, day: Day, relations: Collection[str]) -> None:
    """Write to `target` what `relations` of the snapshot hold of one session.

    A relation that knows no session is copied whole. Signals that were sent then are left out, the
    session to come is the one recorded, and its watchlist has the day's symbols.
    """
    with recorded(snapshot, target) as connection:
        for relation in sorted({*relations, *READ_BY_THE_SERVICE}):
            connection.execute(f"create schema if not exists {relation.split('.')[0]}")
            source = COMING.get(relation, relation)
            columns = connection.execute(f"describe recorded.{source}").fetchall()
            where = "session_date = $day" if "session_date" in {c for c, *_ in columns} else "true"
            if relation == "marts.signals":
                where = "false"
            values = {"day": day.session.session_date} if "$day" in where else None
            connection.execute(
                f"create table {relation} as select * from recorded.{source} where {where}",
                values,
            )
        if not day.had_watchlist:
            connection.execute(
                "insert into marts.watchlist by name "
                "select $day as session_date, symbol, row_number() over (order by symbol) as rank "
                "from (select unnest($symbols) as symbol)",
                {"day": day.session.session_date, "symbols": day.symbols},
            )


def change_rules(day_snapshot: Path, rules: Mapping[str, float]) -> None:
    """Give a day's snapshot other rules."""
    with duckdb.connect(str(day_snapshot)) as connection:
        for rule, value in rules.items():
            connection.execute(f"update marts.signal_rules set {rule} = $value", {"value": value})


def _session(connection: duckdb.DuckDBPyConnection, session_date: date) -> Session:
    rows = _rows(connection, "session", session_date)
    if not rows:
        raise ReplayError(
            f"{session_date} is no session of the exchange that the snapshot knows: "
            "choose another DATE"
        )
    return Session(*rows[0])


def _rows(
    connection: duckdb.DuckDBPyConnection, name: str, session_date: date
) -> list[tuple[Any, ...]]:
    return connection.execute(DAY[name], {"session_date": session_date}).fetchall()


def _nobody_watched(connection: duckdb.DuckDBPyConnection, session_date: date) -> str:
    days = [str(day) for (day,) in connection.execute(DAY["replayable"]).fetchall()]
    if not days:
        return NOTHING_RECORDED
    return (
        f"the snapshot has no bars of {session_date}: choose another DATE "
        f"(the newest of {len(days)} with bars: {', '.join(days[-5:])}), "
        "or ingest them and run make features"
    )
