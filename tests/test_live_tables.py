"""The tables that keep what views of live.duckdb say: as the views, whatever minutes have bars."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import duckdb
import pytest

from ingest.warehouse import RAW_SCHEMA
from live.live_tables import LiveTables
from tests.live_fixture import DAY, OPEN

MARKS = """
create schema intermediate;
create table intermediate.live_tables as
select 'marks' as table_name, 'marks_view' as definition,
    'mark_at - interval 1 minute' as newest_input, 5 as step_minutes;
create view marks_view as
select
    session_date,
    time_bucket(interval 5 minute, bar_at) + interval 5 minute as mark_at,
    sum(volume) as volume
from raw.bars_1m
group by all;
create table marks as from marks_view;
"""
"""A mark every five minutes that sums the minutes before it."""


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(RAW_SCHEMA)
        connection.execute(MARKS)
        yield connection


def marks_after(connection: duckdb.DuckDBPyConnection, minutes: list[int]) -> list[tuple]:
    """Land a bar of each minute in turn; return minute and volume of the marks that are kept."""
    tables, newest = LiveTables(connection), OPEN
    for minute in minutes:
        bar_at = OPEN + timedelta(minutes=minute)
        values = {"day": DAY, "bar_at": bar_at}
        connection.execute(
            "insert into raw.bars_1m values "
            "('AAA', $day, $bar_at, 5, 5, 5, 5, 100, 'fmp', $bar_at)",
            values,
        )
        newest = max(newest, bar_at)
        tables.freshen(bar_at, newest)
    kept = connection.execute("select mark_at, volume from marks order by mark_at").fetchall()
    return [(minute_of(mark_at), volume) for mark_at, volume in kept]


def minute_of(moment: datetime) -> int:
    return int((moment - OPEN) / timedelta(minutes=1))


@pytest.mark.parametrize(
    ("minutes", "marks"),
    [
        ([0, 1, 2, 3, 4], [(5, 500.0)]),
        ([0, 1, 2, 3], []),
        ([0, 1, 2, 3, 5], [(5, 400.0)]),
        ([0, 1, 17], [(5, 200.0)]),
        ([0, 6, 1, 11], [(5, 200.0), (10, 100.0)]),
    ],
    ids=["every minute", "not due yet", "none before the mark", "a long gap", "a late bar"],
)
def test_marks_are_kept_once_due(
    connection: duckdb.DuckDBPyConnection, minutes: list[int], marks: list[tuple]
) -> None:
    assert marks_after(connection, minutes) == marks
