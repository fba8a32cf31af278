"""The exchange's sessions: XNYS from `exchange_calendars`, with the extended hours around them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import duckdb
import pandas as pd
import pyarrow as pa

from ingest.clock import Clock
from ingest.warehouse import Landing, land

NEW_YORK = ZoneInfo("America/New_York")
PROVIDER = "exchange_calendars"
FIRST_DATE = date(2015, 1, 1)
DAYS_AHEAD = 370
"""How far past today the calendar is landed, so that a full year ahead stays in it for days."""


@lru_cache(maxsize=8)
def market_calendar(first: date, last: date) -> pa.Table:
    """Return the sessions from `first` to `last` (inclusive) with raw.market_calendar's columns.

    PRE begins 04:00 New York; RTH is the exchange's; POST ends 20:00, on half days 17:00. UTC.
    """
    import exchange_calendars  # noqa: PLC0415 - half a second to load, needed by few commands

    calendar = exchange_calendars.get_calendar("XNYS", start=str(first), end=str(last))
    schedule = calendar.schedule
    midnight = pd.DatetimeIndex(schedule.index).tz_localize(NEW_YORK)
    closes = pd.DatetimeIndex(schedule["close"])
    is_half_day = closes.tz_convert(NEW_YORK).hour < 16
    post_close = midnight + pd.to_timedelta(20 - 3 * is_half_day.astype(int), unit="h")
    return pa.table(
        {
            "session_date": pa.array(schedule.index.date, pa.date32()),
            "pre_open_at": _naive_utc(midnight + pd.Timedelta(hours=4)),
            "open_at": _naive_utc(pd.DatetimeIndex(schedule["open"])),
            "close_at": _naive_utc(closes),
            "post_close_at": _naive_utc(post_close),
            "is_half_day": pa.array(is_half_day, pa.bool_()),
        }
    )


def _naive_utc(stamps: pd.DatetimeIndex) -> pa.Array:
    return pa.array(stamps.tz_convert("UTC").tz_localize(None).to_numpy(), pa.timestamp("us"))


def new_york_date(at: datetime) -> date:
    """Return the date in New York at `at` (naive UTC)."""
    return at.replace(tzinfo=UTC).astimezone(NEW_YORK).date()


def day_began_at(now: datetime) -> datetime:
    """Return the latest 04:00 of New York by `now` (both naive, UTC): when PRE begins."""
    four = datetime.combine(new_york_date(now), time(4), NEW_YORK)
    began = four.astimezone(UTC).replace(tzinfo=None)
    return began if began <= now else began - timedelta(days=1)


def known_session(at: datetime) -> date:
    """Return the latest session that had opened (RTH) by `at` (naive UTC).

    Until the open a provider's profiles still tell the session before, so this is the date they
    are known as of.
    """
    first = max(FIRST_DATE, date(at.year - 1, 1, 1))
    sessions = market_calendar(first, date(at.year + 1, 1, 31)).to_pandas()
    opened = sessions[sessions["open_at"] <= pd.Timestamp(at)]
    return pd.Timestamp(opened["session_date"].iloc[-1]).date()


def land_calendar(connection: duckdb.DuckDBPyConnection, clock: Clock) -> Landing:
    """Land the calendar from 2015 to a year after the clock's today.

    Sessions that the calendar no longer has (a closing that was announced late) are removed.
    """
    now = clock.now()
    sessions = market_calendar(FIRST_DATE, (now + timedelta(days=DAYS_AHEAD)).date())
    landing = land(connection, "market_calendar", sessions, provider=PROVIDER, landed_at=now)
    connection.register("sessions", sessions)
    connection.execute(
        "delete from raw.market_calendar where provider = $provider and session_date <= "
        "(select max(session_date) from sessions) "
        "and session_date not in (select session_date from sessions)",
        {"provider": PROVIDER},
    )
    connection.unregister("sessions")
    return landing


def ensure_calendar(connection: duckdb.DuckDBPyConnection, clock: Clock) -> Landing:
    """Land the calendar where raw.market_calendar lacks the past, or a year ahead of the clock."""
    row = connection.execute(
        "select min(session_date), max(session_date) from raw.market_calendar"
    ).fetchone()
    assert row is not None
    first, last = row
    a_year_ahead = (clock.now() + timedelta(days=361)).date()  # the last session may be days before
    if first is not None and first <= FIRST_DATE + timedelta(days=5) and last >= a_year_ahead:
        return Landing()
    return land_calendar(connection, clock)
