"""What a scan will cost, before it starts: counted where it is known, far below the plain way."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.budget import PLANS
from ingest.plan import (
    Scan,
    Step,
    cost_text,
    duration_text,
    known_steps,
    minutes_needed,
    scan_steps,
)
from ingest.warehouse import open_warehouse

MORNING = Scan(symbols=8000, sessions=120, watchlist=50)


def test_morning_scan_takes_a_twentieth_of_the_plain_calls() -> None:
    steps = scan_steps(MORNING, has_screener=True, usual={})
    assert MORNING.plain_calls == 976_000
    assert sum(step.calls for step in steps) * 20 <= MORNING.plain_calls


def test_plan_without_screener_needs_a_call_a_symbol() -> None:
    profiles = scan_steps(MORNING, has_screener=False, usual={})[0]
    assert (profiles.endpoint, profiles.calls) == ("profile", 8000)


@pytest.mark.parametrize(
    ("plan", "calls", "minutes"),
    [("premium", 7500, 10), ("ultimate", 3000, 1), ("free", 250, 1440)],
)
def test_time_is_the_pace_of_the_plan(plan: str, calls: int, minutes: float) -> None:
    assert minutes_needed(calls, 0, PLANS[plan]) == minutes


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
        connection.execute("create view marts.daily_requests as select 1 from range(7)")
        connection.execute("create view marts.minute_requests as select 1 from range(3)")
        early = known_steps(connection, steps, {"screener": 2})
        later = known_steps(connection, steps, {"screener": 0})
    assert [step.calls for step in early] == [2, 99, 99]
    assert [(step.calls, step.is_estimated) for step in later] == [
        (0, False),
        (7, False),
        (99, True),
    ]
