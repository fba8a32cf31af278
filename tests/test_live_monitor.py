"""The loop, tick by tick, on literal bars: what is landed, sent, counted, flushed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import duckdb
import pytest

from ingest.settings import Settings
from live.broadcast import Broadcaster
from live.health import describe
from live.monitor import Monitor
from live.scoring import Scorer
from live.warehouse import LiveWarehouse, open_live
from tests.live_fixture import DAY, OPEN, POST, HandClock, ListFeed, bar, bars, publish

T = OPEN + timedelta(minutes=30)
"""15:00 UTC."""


def at(minute: int, second: int = 0) -> datetime:
    return T + timedelta(minutes=minute, seconds=second)


@contextmanager
def monitoring(
    settings: Settings, feed: ListFeed, clock: HandClock
) -> Iterator[tuple[Monitor, LiveWarehouse]]:
    with open_live(settings.live_path, settings.published_path) as warehouse:
        monitor = Monitor(
            warehouse,
            feed,
            clock,
            Broadcaster(warehouse.last_seq()),
            Scorer(settings.data_dir, *warehouse.feature_definitions()),
            warehouse_path=settings.warehouse_path,
            tick_seconds=5,
        )
        yield monitor, warehouse


def run(monitor: Monitor, clock: HandClock, *moments: datetime) -> list[tuple[int, str, str]]:
    """Tick at each moment; return seq, symbol and bar time of what is sent."""
    sent = []
    for moment in moments:
        clock.at = moment
        for signal in monitor.tick():
            payload = json.loads(signal.payload)
            sent.append((payload["seq"], payload["symbol"], payload["bar_at"][11:16]))
    return sent


def test_breakout_is_sent_once_its_bar_is_closed(settings: Settings) -> None:
    clock = HandClock(at(0))
    feed = ListFeed(bars("AAA", at(0), [5.0, 5.0, 5.2, 5.2]))
    with monitoring(settings, feed, clock) as (monitor, _):
        assert run(monitor, clock, at(2, 1), at(2, 59)) == []
        assert run(monitor, clock, at(3, 0), at(3, 5), at(4, 0)) == [(1, "AAA", "15:02")]


def test_signal_is_stored_when_it_is_returned(settings: Settings) -> None:
    clock = HandClock(at(0))
    feed = ListFeed(bars("AAA", at(0), [5.0, 5.2]))
    with monitoring(settings, feed, clock) as (monitor, warehouse):
        clock.at = at(2, 5)
        (signal,) = monitor.tick()
        assert warehouse.signals_since(0) == [signal.as_message()]


def test_forming_bar_is_never_landed(settings: Settings) -> None:
    clock = HandClock(at(0))
    with monitoring(settings, ListFeed(bars("AAA", at(0), [5.0] * 5)), clock) as (monitor, own):
        run(monitor, clock, at(2, 30))
        _, newest = own.changes(DAY, clock.at)
        assert newest == at(1)


def test_tick_that_brings_nothing_changes_nothing(settings: Settings) -> None:
    clock, feed = HandClock(at(0)), ListFeed(bars("AAA", at(0), [5.0, 5.1]))
    with monitoring(settings, feed, clock) as (monitor, warehouse):
        run(monitor, clock, at(2, 1))
        before, feed.bars = warehouse.version, []
        run(monitor, clock, at(2, 6))
        assert warehouse.version == before


def test_warm_up_sends_fresh_entries_only_but_counts_all(settings: Settings) -> None:
    clock = HandClock(at(0))
    entries = [bar("AAA", at(0), 5.0), bar("AAA", at(10), 5.2), bar("AAA", at(20), 5.4)]
    other = bars("BRK-B", at(19), [5.0, 5.2])
    with monitoring(settings, ListFeed(entries + other), clock) as (monitor, _):
        assert run(monitor, clock, at(21, 30)) == [(1, "BRK-B", "15:20")]
        assert monitor.counts.late_entries == 1  # 15:10; it silences 15:20


def test_minutes_between_two_ticks_are_evaluated_in_time_order(settings: Settings) -> None:
    clock = HandClock(at(0), speed=600)
    closes = [5.0] * 3 + [5.2] * 17 + [5.4]
    feed = ListFeed(bars("AAA", at(0), closes) + bars("BRK-B", at(0), [5.0] * 10 + [5.3]))
    with monitoring(settings, feed, clock) as (monitor, _):
        sent = run(monitor, clock, at(0, 1), at(1, 1), at(25))
        assert sent == [(1, "AAA", "15:03"), (2, "BRK-B", "15:10"), (3, "AAA", "15:20")]


def test_cooldown_holds_across_a_restart(settings: Settings) -> None:
    clock = HandClock(at(0))
    closes = [5.0, 5.2, 5.2, 5.4]
    feed = ListFeed(bars("AAA", at(0), closes))
    with monitoring(settings, feed, clock) as (monitor, _):
        assert run(monitor, clock, at(2, 1)) == [(1, "AAA", "15:01")]
    with monitoring(settings, feed, clock) as (monitor, _):
        assert run(monitor, clock, at(4, 1)) == []


def test_seq_goes_on_after_a_restart(settings: Settings) -> None:
    clock = HandClock(at(0))
    feed = ListFeed(bars("AAA", at(0), [5.0, 5.2]))
    with monitoring(settings, feed, clock) as (monitor, _):
        run(monitor, clock, at(2, 1))
    feed.bars += bars("BRK-B", at(2), [5.0, 5.2])
    with monitoring(settings, feed, clock) as (monitor, _):
        assert run(monitor, clock, at(4, 1)) == [(2, "BRK-B", "15:03")]


def test_seq_goes_on_behind_the_snapshots(settings: Settings) -> None:
    values = "7, $at, '2025-11-04', 'RTH', 'AAA', $at, 'RePump', '{}', 'fmp', $at"
    publish(
        settings.data_dir,
        2,
        "insert into raw.signals (seq, emitted_at, session_date, session_segment, symbol, bar_at,"
        f" state, payload, provider, landed_at) values ({values})".replace("$at", "now()"),
    )
    clock = HandClock(at(0))
    feed = ListFeed(bars("AAA", at(0), [5.0, 5.2]))
    with monitoring(settings, feed, clock) as (monitor, _):
        assert run(monitor, clock, at(2, 1)) == [(8, "AAA", "15:01")]


def test_revised_bar_is_kept_and_counted(settings: Settings) -> None:
    clock = HandClock(at(0))
    feed = ListFeed([bar("AAA", at(0), 5.0, volume=100.0)])
    with monitoring(settings, feed, clock) as (monitor, warehouse):
        run(monitor, clock, at(1, 1))
        feed.bars = [bar("AAA", at(0), 5.0, volume=150.0)]
        run(monitor, clock, at(3, 1))
        assert warehouse.read("select volume from raw.bar_revisions") == [{"volume": 100.0}]
        assert monitor.counts.bars.revised == 1


def test_revision_that_makes_an_entry_is_sent_while_fresh(settings: Settings) -> None:
    clock = HandClock(at(0))
    feed = ListFeed(bars("AAA", at(0), [5.0, 5.0]))
    with monitoring(settings, feed, clock) as (monitor, _):
        assert run(monitor, clock, at(2, 1)) == []
        feed.bars = bars("AAA", at(0), [5.0, 5.3])
        assert run(monitor, clock, at(3, 1)) == [(1, "AAA", "15:01")]


def test_failing_symbol_degrades_the_health_not_the_others(settings: Settings) -> None:
    clock = HandClock(at(0))
    feed = ListFeed(bars("AAA", at(0), [5.0, 5.2]), failures={"BRK-B": "no answer in time"})
    with monitoring(settings, feed, clock) as (monitor, _):
        assert run(monitor, clock, at(2, 1)) == [(1, "AAA", "15:01")]
        health = describe(monitor, Broadcaster(0), now=clock.at, provider="fmp", notes=[],
                          model_run=None, snapshot="v1")  # fmt: skip
        assert (health.status, health.failures) == ("degraded", {"BRK-B": "no answer in time"})


def test_outside_sessions_nothing_is_polled(settings: Settings) -> None:
    clock = HandClock(at(0))
    with monitoring(settings, ListFeed(bars("AAA", at(0), [5.0])), clock) as (monitor, own):
        run(monitor, clock, datetime(2025, 11, 5, 8, 59))
        assert (monitor.is_open, own.days()) == (False, [])


def test_session_without_a_watchlist_says_what_to_run(settings: Settings) -> None:
    publish(settings.data_dir, 2, "delete from marts.watchlist")
    clock = HandClock(at(0))
    with monitoring(settings, ListFeed(), clock) as (monitor, _):
        run(monitor, clock, at(0))
        assert "make features" in monitor.problems["watchlist"]


def test_new_snapshot_is_taken_up_between_ticks(settings: Settings) -> None:
    clock = HandClock(at(0))
    with monitoring(settings, ListFeed(), clock) as (monitor, _):
        run(monitor, clock, at(0))
        publish(settings.data_dir, 2, "delete from marts.watchlist where symbol = 'AAA'")
        run(monitor, clock, at(0, 5))
        assert monitor.watchlist == ["BRK-B"]


def rows(settings: Settings, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(settings.warehouse_path)) as connection:
        return connection.execute(query).fetchall()


def test_day_is_flushed_into_the_warehouse_at_its_end(settings: Settings) -> None:
    clock = HandClock(at(0))
    feed = ListFeed(bars("AAA", at(0), [5.0, 5.2]))
    with monitoring(settings, feed, clock) as (monitor, _):
        run(monitor, clock, at(2, 1), POST + timedelta(minutes=1))
        assert not settings.warehouse_path.exists()
        run(monitor, clock, POST + timedelta(minutes=3))
    found = rows(settings, "select symbol, bar_at, close, provider, landed_at from raw.bars_1m")
    assert sorted(found) == [
        ("AAA", at(0), 5.0, "fmp", at(2, 1)),
        ("AAA", at(1), 5.2, "fmp", at(2, 1)),
    ]
    assert rows(settings, "select seq from raw.signals") == [(1,)]


def test_flushing_again_changes_nothing(settings: Settings) -> None:
    clock = HandClock(at(0))
    feed = ListFeed([bar("AAA", at(0), 5.0, volume=1.0)])
    for _ in range(2):
        with monitoring(settings, feed, clock) as (monitor, _own):
            run(monitor, clock, at(1, 1))
            feed.bars = [bar("AAA", at(0), 5.0, volume=2.0)]
            run(monitor, clock, at(2, 1), POST + timedelta(minutes=3))
    counts = "select (select count(*) from raw.bars_1m), (select count(*) from raw.bar_revisions)"
    assert rows(settings, counts) == [(1, 1)]


def test_flush_keeps_what_a_job_landed_later(settings: Settings) -> None:
    import pyarrow as pa

    from ingest.warehouse import land, open_warehouse

    clock = HandClock(at(0))
    feed = ListFeed([bar("AAA", at(0), 5.0)])
    with monitoring(settings, feed, clock) as (monitor, _own):
        run(monitor, clock, at(1, 1))
        later = pa.Table.from_pylist([bar("AAA", at(0), 6.0)])
        with open_warehouse(settings.warehouse_path) as connection:
            land(connection, "bars_1m", later, provider="fmp", landed_at=POST)
        run(monitor, clock, POST + timedelta(minutes=3))
    assert rows(settings, "select close from raw.bars_1m") == [(6.0,)]
    assert rows(settings, "select close, superseded_at from raw.bar_revisions") == [(5.0, POST)]


def test_locked_warehouse_is_flushed_later(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingest.warehouse import DatabaseLockedError

    clock = HandClock(at(0))
    feed = ListFeed(bars("AAA", at(0), [5.0]))

    def locked(*_: object, **__: object) -> None:
        raise DatabaseLockedError("in use")

    with monitoring(settings, feed, clock) as (monitor, _):
        run(monitor, clock, at(1, 1))
        with monkeypatch.context() as patch:
            patch.setattr("live.monitor.flush_day", locked)
            run(monitor, clock, POST + timedelta(minutes=3))
            assert monitor.problems["flush"] == "in use"
        run(monitor, clock, POST + timedelta(minutes=4))
        assert (monitor.problems, monitor.counts.flushes) == ({}, 1)


def test_next_session_starts_with_its_own_day(settings: Settings) -> None:
    clock = HandClock(at(0))
    next_at = datetime(2025, 11, 6, 15, 0)
    feed = ListFeed(bars("AAA", at(0), [5.0, 5.2]) + bars("AAA", next_at, [6.0, 6.3]))
    with monitoring(settings, feed, clock) as (monitor, warehouse):
        run(monitor, clock, at(2, 1), POST + timedelta(minutes=3))
        sent = run(monitor, clock, next_at + timedelta(minutes=2))
        assert sent == [(2, "AAA", "15:01")]
        assert warehouse.days() == [next_at.date()]
        assert [message.seq for message in warehouse.signals_since(0)] == [1, 2]


def test_failure_of_every_symbol_is_one_line_of_the_log(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    clock = HandClock(at(0))
    feed = ListFeed([], failures={"AAA": "key refused", "BRK-B": "key refused", "*": "key refused"})
    with monitoring(settings, feed, clock) as (monitor, _):
        run(monitor, clock, at(1), at(2))
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == ["every symbol: key refused"]
