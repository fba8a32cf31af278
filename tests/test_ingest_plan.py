"""What a scan will cost, before it starts: counted where it is known, far below the plain way."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import pytest

from ingest.budget import PLANS
from ingest.calendar import land_calendar
from ingest.clock import SimulatedClock
from ingest.plan import (
    Scan,
    Step,
    cost_text,
    duration_text,
    known_steps,
    minutes_needed,
    scan_steps,
    sessions_by_file,
)
from ingest.warehouse import open_warehouse

DAILY_REQUESTS = """
create or replace view marts.daily_requests as
select range::varchar as symbol, date '{session}' as from_date, date '2025-08-29' as to_date
from range({count})
"""
MORNING = Scan(symbols=8000, sessions=120, watchlist=50)


def test_morning_scan_takes_a_twentieth_of_the_plain_calls() -> None:
    steps = scan_steps(MORNING, has_screener=True, has_bulk=False, usual={})
    assert MORNING.plain_calls == 976_000
    assert sum(step.calls for step in steps) * 20 <= MORNING.plain_calls


def test_plan_without_screener_needs_a_call_a_symbol() -> None:
    profiles = scan_steps(MORNING, has_screener=False, has_bulk=False, usual={})[0]
    assert (profiles.endpoint, profiles.calls) == ("profile", 8000)


@pytest.mark.parametrize(
    ("plan", "calls", "minutes"),
    [("premium", 7500, 10), ("ultimate", 3000, 1), ("free", 250, 1440)],
)
def test_time_is_the_pace_of_the_plan(plan: str, calls: int, minutes: float) -> None:
    assert minutes_needed(calls, 0, PLANS[plan]) == minutes


def test_files_take_their_pauses() -> None:
    assert Step("eod_bulk", 3, 2e6).minutes(PLANS["ultimate"]) == 1


def test_bytes_beyond_the_plan_wait_for_their_window() -> None:
    assert minutes_needed(1, 25_000_000_000, PLANS["starter"]) == 30 * 24 * 60


@pytest.mark.parametrize(
    ("minutes", "text"), [(0.1, "6 s"), (10, "10 min"), (180, "3.0 hours"), (2 * 1440, "2.0 days")]
)
def test_durations_read_well(minutes: float, text: str) -> None:
    assert duration_text(minutes) == text


def test_cost_is_one_line() -> None:
    assert cost_text(7500, 1.5e6, PLANS["premium"]) == (
        "7,500 calls, about 1.5 MB, at least 10 min on FMP_PLAN=premium"
    )


def test_views_count_once_the_step_before_is_bought(tmp_path: Path) -> None:
    steps = [Step(e, 99, 10.0, is_estimated=True) for e in ("screener", "bars_1d", "bars_1m")]
    with open_warehouse(tmp_path / "w.duckdb") as connection:
        connection.execute("create schema marts")
        connection.execute(DAILY_REQUESTS.format(session="2025-06-02", count=7))
        connection.execute("create view marts.minute_requests as select 1 from range(3)")
        early = known_steps(connection, steps, {"screener": 2})
        later = known_steps(connection, steps, {"screener": 0})
    assert [step.calls for step in early] == [2, 99, 99]
    assert [(step.calls, step.is_estimated) for step in later] == [
        (0, False),
        (7, False),
        (99, True),
    ]


@pytest.mark.parametrize(
    ("session", "count", "files"),
    [
        ("2025-08-29", 499, []),
        ("2025-08-29", 500, [28, 29]),
        ("2025-08-25", 500, []),
        ("2025-08-23", 500, []),
        ("2025-08-27", 500, [26, 27, 28, 29]),
    ],
)
def test_files_are_for_the_newest_sessions_of_many(
    tmp_path: Path, session: str, count: int, files: list[int]
) -> None:
    wanted = [(str(n), date.fromisoformat(session), date(2025, 8, 29)) for n in range(count)]
    with open_warehouse(tmp_path / "w.duckdb") as connection:
        land_calendar(connection, SimulatedClock(datetime(2025, 9, 2), 0, 0))
        chosen = sessions_by_file(connection, wanted)
    assert chosen == [date(2025, 8, day) for day in files]


def test_range_that_begins_on_a_holiday_is_for_a_file(tmp_path: Path) -> None:
    wanted = [(str(n), date(2025, 8, 30), date(2025, 9, 2)) for n in range(500)]
    with open_warehouse(tmp_path / "w.duckdb") as connection:
        land_calendar(connection, SimulatedClock(datetime(2025, 9, 3), 0, 0))
        assert sessions_by_file(connection, wanted) == [date(2025, 8, 29), date(2025, 9, 2)]


def test_calls_that_files_replace_are_not_counted(tmp_path: Path) -> None:
    steps = scan_steps(MORNING, has_screener=True, has_bulk=True, usual={})
    with open_warehouse(tmp_path / "w.duckdb") as connection:
        land_calendar(connection, SimulatedClock(datetime(2025, 9, 2), 0, 0))
        connection.execute("create schema marts")
        connection.execute(DAILY_REQUESTS.format(session="2025-08-29", count=1600))
        known = known_steps(connection, steps, {"screener": 0})
    assert {step.endpoint: step.calls for step in known if not step.is_estimated} == {
        "screener": 0,
        "eod_bulk": 2,
        "bars_1d": 0,
    }
