"""The market calendar: extended hours, half days, daylight saving, and landing it once."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from ingest.calendar import ensure_calendar, known_session, land_calendar, market_calendar
from ingest.clock import SimulatedClock
from ingest.warehouse import Landing, land, open_warehouse

CLOCK = SimulatedClock.starting(datetime(2025, 9, 2, 12, 30), 1)


def session(day: date) -> dict[str, object]:
    rows = market_calendar(date(2024, 1, 1), date(2024, 12, 31)).to_pylist()
    return next(row for row in rows if row["session_date"] == day)


def test_summer_session_in_utc() -> None:
    assert session(date(2024, 7, 2)) == {
        "session_date": date(2024, 7, 2),
        "pre_open_at": datetime(2024, 7, 2, 8, 0),
        "open_at": datetime(2024, 7, 2, 13, 30),
        "close_at": datetime(2024, 7, 2, 20, 0),
        "post_close_at": datetime(2024, 7, 3, 0, 0),
        "is_half_day": False,
    }


def test_half_day_ends_early_in_winter() -> None:
    assert session(date(2024, 11, 29)) == {
        "session_date": date(2024, 11, 29),
        "pre_open_at": datetime(2024, 11, 29, 9, 0),
        "open_at": datetime(2024, 11, 29, 14, 30),
        "close_at": datetime(2024, 11, 29, 18, 0),
        "post_close_at": datetime(2024, 11, 29, 22, 0),
        "is_half_day": True,
    }


@pytest.mark.parametrize("day", [date(2024, 7, 4), date(2024, 7, 6), date(2024, 3, 29)])
def test_holidays_and_weekends_are_no_sessions(day: date) -> None:
    days = market_calendar(date(2024, 1, 1), date(2024, 12, 31))["session_date"].to_pylist()
    assert day not in days


@pytest.mark.parametrize(
    ("at", "known"),
    [
        (datetime(2025, 8, 31, 12, 0), date(2025, 8, 29)),  # Sunday
        (datetime(2025, 9, 2, 13, 29), date(2025, 8, 29)),  # before the open after Labor Day
        (datetime(2025, 9, 2, 13, 30), date(2025, 9, 2)),
    ],
)
def test_profiles_are_known_as_of_the_opened_session(at: datetime, known: date) -> None:
    assert known_session(at) == known


def days(connection: duckdb.DuckDBPyConnection) -> tuple[date, date]:
    row = connection.execute(
        "select min(session_date), max(session_date) from raw.market_calendar"
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def test_calendar_spans_the_past_and_a_year_ahead(tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "w.duckdb") as connection:
        ensure_calendar(connection, CLOCK)
        first, last = days(connection)
    assert first == date(2015, 1, 2)
    assert last >= date(2026, 9, 2)


def test_calendar_in_place_is_left_alone(tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "w.duckdb") as connection:
        ensure_calendar(connection, CLOCK)
        assert ensure_calendar(connection, CLOCK) == Landing()


def test_calendar_that_runs_short_is_extended(tmp_path: Path) -> None:
    later = SimulatedClock.starting(datetime(2025, 12, 1), 1)
    with open_warehouse(tmp_path / "w.duckdb") as connection:
        ensure_calendar(connection, CLOCK)
        landing = ensure_calendar(connection, later)
        assert landing.inserted > 50
        assert days(connection)[1] >= date(2026, 12, 1)


def test_session_that_was_called_off_is_removed(tmp_path: Path) -> None:
    closed = market_calendar(date(2024, 1, 1), date(2024, 12, 31)).slice(0, 1)
    mourning = closed.set_column(0, "session_date", pa.array([date(2025, 1, 9)]))
    with open_warehouse(tmp_path / "w.duckdb") as connection:
        land_calendar(connection, CLOCK)
        land(
            connection,
            "market_calendar",
            mourning,
            provider="exchange_calendars",
            landed_at=CLOCK.now(),
        )
        land_calendar(connection, CLOCK)
        found = connection.execute(
            "select count(*) from raw.market_calendar where session_date = '2025-01-09'"
        ).fetchone()
    assert found == (0,)
