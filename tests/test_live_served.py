"""What is served is kept: each row once, again where it changed, with what it was made from."""

from __future__ import annotations

from datetime import datetime, timedelta

import duckdb
import pytest

from ingest.settings import Settings
from ingest.warehouse import RAW_SCHEMA
from live.warehouse import LiveWarehouse
from tests.live_fixture import DAY, OPEN, POST, HandClock, ListFeed, bar, bars, publish
from tests.test_live_monitor import monitoring, run

T = OPEN + timedelta(minutes=30)
SERVED = "select symbol, bar_at, landed_at from raw.served_features order by all"


def at(minute: int, second: int = 0) -> datetime:
    return T + timedelta(minutes=minute, seconds=second)


def served(warehouse: LiveWarehouse) -> list[tuple[str, datetime, datetime]]:
    return [tuple(row.values()) for row in warehouse.read(SERVED)]


def test_row_is_kept_with_features_and_state(settings: Settings) -> None:
    clock = HandClock(at(0))
    with monitoring(settings, ListFeed(bars("AAA", at(0), [5.0, 5.2])), clock) as (monitor, own):
        run(monitor, clock, at(2, 1))
        rows = own.read("select state, is_entry, features from raw.served_features order by bar_at")
    assert rows[0] == {"state": "Idle", "is_entry": False, "features": [3.2, 4.95, None]}
    assert rows[1]["is_entry"] and rows[1]["features"] == pytest.approx([3.2, 5.15, 0.04])


def test_each_bar_is_kept_once(settings: Settings) -> None:
    clock = HandClock(at(0))
    feed = ListFeed(bars("AAA", at(0), [5.0, 5.0]) + bars("BRK-B", at(0), [7.0]))
    with monitoring(settings, feed, clock) as (monitor, own):
        run(monitor, clock, at(1, 1), at(1, 6), at(2, 1), at(3, 1))
        assert served(own) == [
            ("AAA", at(0), at(1, 1)),
            ("AAA", at(1), at(2, 1)),
            ("BRK-B", at(0), at(1, 1)),
        ]


def test_revision_is_kept_beside_what_was_served(settings: Settings) -> None:
    clock = HandClock(at(0))
    feed = ListFeed([bar("AAA", at(0), 5.0), bar("AAA", at(1), 5.0)])
    with monitoring(settings, feed, clock) as (monitor, own):
        run(monitor, clock, at(2, 1))
        feed.bars[0] = bar("AAA", at(0), 5.0, volume=100.0)
        run(monitor, clock, at(3, 1))
        assert served(own) == [
            ("AAA", at(0), at(2, 1)),
            ("AAA", at(0), at(3, 1)),
            ("AAA", at(1), at(2, 1)),
        ]


def test_clock_set_back_keeps_the_order_of_landings(settings: Settings) -> None:
    clock = HandClock(at(0))
    feed = ListFeed([bar("AAA", at(0), 5.0)])
    with monitoring(settings, feed, clock) as (monitor, own):
        run(monitor, clock, at(5))
        feed.bars = [bar("AAA", at(0), 5.0, volume=100.0)]
        run(monitor, clock, at(2))
        landings = "select landed_at, superseded_at from raw.bar_revisions"
        (revision,) = own.read(landings)
        assert list(revision.values()) == [at(5), at(5) + timedelta(microseconds=1)]
        assert [row[2] for row in served(own)] == list(revision.values())


def test_restart_keeps_nothing_twice(settings: Settings) -> None:
    clock = HandClock(at(0))
    feed = ListFeed(bars("AAA", at(0), [5.0, 5.2]))
    for minute in (2, 3):
        with monitoring(settings, feed, clock) as (monitor, own):
            run(monitor, clock, at(minute, 1))
            kept = served(own), own.read("select landed_at from raw.served_inputs")
    assert [landed_at for *_, landed_at in kept[0]] == [at(2, 1)] * 2
    assert kept[1] == [{"landed_at": at(2, 1)}] * 2  # two symbols


def test_inputs_are_kept_again_where_a_snapshot_changes_them(settings: Settings) -> None:
    clock = HandClock(at(0))
    feed = ListFeed(bars("AAA", at(0), [5.0, 5.0]))
    with monitoring(settings, feed, clock) as (monitor, own):
        run(monitor, clock, at(1, 1))
        insert = "insert into intermediate.int_nightly_inputs values ('AAA', '{}', 7, 8)"
        publish(settings.data_dir, 2, insert.format(DAY))
        run(monitor, clock, at(2, 1))
        found = own.read("from raw.served_inputs where symbol = 'AAA' order by landed_at")
    assert [row["daily_state_hash"] for row in found] == [None, 7]
    assert found[1]["feature_names"] == ["rvol_1m", "vwap", "move_prev"]
    assert found[1]["definition_hash"] == "hash-1"


def test_served_rows_are_flushed_once_with_the_day(settings: Settings) -> None:
    clock = HandClock(at(0))
    feed = ListFeed(bars("AAA", at(0), [5.0, 5.2]))
    for _ in range(2):
        with monitoring(settings, feed, clock) as (monitor, _own):
            run(monitor, clock, at(2, 1), POST + timedelta(minutes=3))
    with duckdb.connect(str(settings.warehouse_path)) as connection:
        kept = connection.execute(SERVED).fetchall()
        inputs = connection.execute("select count(*) from raw.served_inputs").fetchall()
    assert kept == [("AAA", at(0), at(2, 1)), ("AAA", at(1), at(2, 1))]
    assert inputs == [(2,)]


def test_flush_keeps_the_first_landing_of_a_version(settings: Settings) -> None:
    clock = HandClock(at(0))
    with duckdb.connect(str(settings.warehouse_path)) as connection:
        connection.execute(RAW_SCHEMA)
        connection.execute(
            "insert into raw.bars_1m values "
            "('AAA', $day, $bar_at, 5, 5, 5, 5, 3200, 'fmp', $landed_at)",
            {"day": DAY, "bar_at": at(0), "landed_at": at(90)},
        )
    with monitoring(settings, ListFeed(bars("AAA", at(0), [5.0])), clock) as (monitor, _):
        run(monitor, clock, at(2, 1), POST + timedelta(minutes=3))
    with duckdb.connect(str(settings.warehouse_path)) as connection:
        assert connection.execute("select landed_at from raw.bars_1m").fetchall() == [(at(2, 1),)]
