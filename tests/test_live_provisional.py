"""Provisional signals: when one is raised, what becomes of it, and that nothing else changes."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from websockets.sync.client import connect

from ingest.settings import ROOT, Settings
from live.forming_rows import STATEMENTS
from live.monitor import Monitor
from live.provisional import Pending, ProvisionalEvent, may_be_raised, settle
from live.warehouse import LiveWarehouse
from tests.live_fixture import DAY, OPEN, POST, HandClock, ListFeed, bar, bars, publish
from tests.live_server import serving
from tests.test_live_monitor import monitoring, run

T = OPEN + timedelta(minutes=30)
"""15:00 UTC."""


def at(minute: int, second: int = 0) -> datetime:
    return T + timedelta(minutes=minute, seconds=second)


SWITCH_ON = "update marts.signal_rules set provisional_signals = true"
PENDING = Pending("AAA", DAY, "RTH", at(2), "RePump", None, None)


@pytest.mark.parametrize(
    ("pending", "last", "raised"),
    [
        ([], {}, True),
        ([], {"AAA": at(-10)}, False),
        ([], {"AAA": at(-14)}, True),
        ([PENDING], {}, False),
        ([replace(PENDING, bar_at=at(1))], {}, False),
        ([replace(PENDING, symbol="BRK-B")], {}, True),
    ],
)
def test_silence_holds_for_forming_bars_too(
    pending: list[Pending], last: dict[str, datetime], raised: bool
) -> None:
    key = ("AAA", at(2))
    assert may_be_raised([key], pending, last, 16, at(2, 30)) == ({key} if raised else set())


def test_minute_that_has_just_begun_is_not_asked_about() -> None:
    found = [len(may_be_raised([("AAA", at(2))], [], {}, 15, at(2, second))) for second in (4, 5)]
    assert found == [0, 1]


@pytest.mark.parametrize(
    ("pending", "now", "event"),
    [
        (PENDING, at(3, 30), None),
        (replace(PENDING, closed_price=5.3, seq=7), at(3, 3), "confirmed"),
        (replace(PENDING, closed_price=5.0), at(3, 3), "retracted"),
        (PENDING, at(4, 29), None),
        (PENDING, at(4, 30), "retracted"),
    ],
)
def test_outcome_is_by_the_closed_bar(pending: Pending, now: datetime, event: str | None) -> None:
    assert [settled.event for settled in settle([pending], now)] == ([event] if event else [])


def test_messages_say_what_they_are_and_have_no_seq() -> None:
    raised = ProvisionalEvent(
        "AAA", DAY, "RTH", at(2), "provisional", "RePump", 5.2, None, at(2, 30)
    )
    common = '"session":"RTH","symbol":"AAA","state":"RePump","price":'
    bar_at = '"bar_at":"2025-11-05T15:02:00Z"'
    assert raised.text == (
        f'{{"type":"provisional","t":"2025-11-05T15:02:30.000Z",{common}5.2,{bar_at}}}'
    )
    confirmed = replace(raised, event="confirmed", seq=7, happened_at=at(3, 3))
    assert confirmed.text == (
        f'{{"type":"confirmed","t":"2025-11-05T15:03:03.000Z",{common}5.2,{bar_at},"signal_seq":7}}'
    )
    gone = replace(raised, event="retracted", price=None, happened_at=at(4, 30))
    assert gone.text == (
        f'{{"type":"retracted","t":"2025-11-05T15:04:30.000Z",{common}null,{bar_at}}}'
    )


@pytest.fixture
def switched_on(settings: Settings) -> Settings:
    """Settings of a small live database whose rules have provisional signals."""
    publish(settings.data_dir, 2, SWITCH_ON)
    return settings


def follow(monitor: Monitor, clock: HandClock, *moments: datetime) -> list[tuple[str, ...]]:
    """Tick at each moment; return minute, event and price of what is told besides signals."""
    told = []
    for moment in moments:
        run(monitor, clock, moment)
        monitor.follow_forming()
        for event in monitor._forming_rows.take_events():
            told.append((f"{event.bar_at:%H:%M}", event.event, str(event.price)))
    return told


def rising(close: float) -> ListFeed:
    """A feed whose third minute rises by 4 % while it forms, and closes at `close`."""
    closes = [5.0, 5.0, close]
    return ListFeed(bars("AAA", at(0), closes), forming=[bar("AAA", at(2), 5.2)])


def stored(warehouse: LiveWarehouse) -> list[tuple[object, ...]]:
    rows = warehouse.read(
        "select event, price, seq, happened_at, provider from raw.provisional_events order by all"
    )
    return [tuple(row.values()) for row in rows]


def test_held_rise_is_confirmed_by_its_signal(switched_on: Settings) -> None:
    clock = HandClock(at(0))
    with monitoring(switched_on, rising(5.3), clock) as (monitor, own):
        told = follow(monitor, clock, at(2, 1), at(2, 30), at(2, 35), at(3, 1), at(3, 6))
        assert told == [("15:02", "provisional", "5.2"), ("15:02", "confirmed", "5.3")]
        assert stored(own) == [
            ("confirmed", 5.3, 1, at(3, 1), "fmp"),
            ("provisional", 5.2, None, at(2, 30), "fmp"),
        ]


def test_fallen_rise_is_retracted(switched_on: Settings) -> None:
    clock = HandClock(at(0))
    with monitoring(switched_on, rising(5.0), clock) as (monitor, _):
        told = follow(monitor, clock, at(2, 30), at(2, 35), at(3, 1), at(3, 6))
        assert told == [("15:02", "provisional", "5.2"), ("15:02", "retracted", "5.0")]


def test_bar_that_never_comes_is_retracted(switched_on: Settings) -> None:
    clock, feed = HandClock(at(0)), rising(5.3)
    feed.bars.pop()
    with monitoring(switched_on, feed, clock) as (monitor, _):
        told = follow(monitor, clock, at(2, 30), at(3, 1), at(4, 29), at(4, 31))
        assert told == [("15:02", "provisional", "5.2"), ("15:02", "retracted", "None")]


def test_next_minute_waits_for_the_outcome(switched_on: Settings) -> None:
    clock, feed = HandClock(at(0)), rising(5.0)
    feed.forming.append(bar("AAA", at(3), 5.4))
    late = feed.bars.pop()
    with monitoring(switched_on, feed, clock) as (monitor, _):
        assert len(follow(monitor, clock, at(2, 30), at(3, 10))) == 1
        feed.bars.append(late)
        told = follow(monitor, clock, at(3, 20))
        assert told == [("15:02", "retracted", "5.0"), ("15:03", "provisional", "5.4")]


def test_off_by_default(settings: Settings) -> None:
    clock = HandClock(at(0))
    with monitoring(settings, rising(5.3), clock) as (monitor, own):
        assert follow(monitor, clock, at(2, 30), at(3, 1)) == []
        assert stored(own) == []


def test_snapshot_without_the_var_has_it_off(settings: Settings) -> None:
    publish(settings.data_dir, 2, "alter table marts.signal_rules drop provisional_signals")
    clock = HandClock(at(0))
    with monitoring(settings, rising(5.3), clock) as (monitor, _):
        assert follow(monitor, clock, at(2, 30)) == []


def test_failed_self_test_raises_none(switched_on: Settings) -> None:
    clock = HandClock(at(0))
    with monitoring(switched_on, rising(5.3), clock) as (monitor, _):
        monitor._evaluation.fault = "the views differ"
        assert follow(monitor, clock, at(0, 30), at(2, 30)) == []


def test_switched_off_between_it_is_still_settled(switched_on: Settings) -> None:
    clock = HandClock(at(0))
    with monitoring(switched_on, rising(5.0), clock) as (monitor, _):
        follow(monitor, clock, at(2, 30))
        publish(switched_on.data_dir, 3)
        assert follow(monitor, clock, at(3, 1)) == [("15:02", "retracted", "5.0")]


def everything(warehouse: LiveWarehouse) -> list[object]:
    tables = ("bars_1m", "bar_revisions", "rejected_rows", "served_features", "served_inputs")
    kept = [warehouse.read(f"from raw.{table} order by all") for table in tables]
    return [*kept, warehouse.read("from marts.states_1m order by all")]


def played(settings: Settings) -> tuple[int, list[object]]:
    """Play a session of which one forming bar is impossible; return what is in the database."""
    clock, feed = HandClock(at(0)), rising(5.3)
    feed.bars += bars("BRK-B", at(0), [7.0, 7.0, 7.0, 7.3])
    feed.forming += [bar("BRK-B", at(2), 7.3), bar("BRK-B", at(3), -1.0)]
    with monitoring(settings, feed, clock) as (monitor, own):
        moments = [at(minute, second) for minute in range(5) for second in (1, 10, 40)]
        told = follow(monitor, clock, *moments)
        return len(told), [*everything(own), own.signals_since(0)]


def test_nothing_else_changes(settings: Settings, tmp_path: Path) -> None:
    other = settings.model_copy(update={"data_dir": tmp_path / "other"})
    for name in ("live_path", "published_path", "warehouse_path"):
        other.__dict__.pop(name, None)  # cached of the original
    shutil.copytree(settings.data_dir, other.data_dir, symlinks=True)
    publish(other.data_dir, 2, SWITCH_ON)
    (told, expected), (told_of_forming, found) = played(settings), played(other)
    assert (told, told_of_forming) == (0, 4)
    assert found == expected


def test_bars_on_trial_are_seen_by_nobody_else(switched_on: Settings, tmp_path: Path) -> None:
    clock, count = HandClock(at(0)), "select count(*) as bars from raw.bars_1m"
    with monitoring(switched_on, rising(5.3), clock) as (monitor, own):
        run(monitor, clock, at(2, 1))
        version, forming = own.version, monitor._forming
        assert forming is not None
        copied = threading.Thread(target=own.copy_to, args=[tmp_path / "copy.duckdb"])
        with own.trial(forming, "fmp", at(2, 30)) as connection:
            copied.start()
            assert connection.execute(count).fetchall() == [(3,)]
            assert own.read(count) == [{"bars": 2}]
            assert copied.is_alive()
        copied.join(10)
        assert (own.read(count), own.version) == ([{"bars": 2}], version)
    with duckdb.connect(tmp_path / "copy.duckdb") as copy:
        assert copy.execute(count).fetchall() == [(2,)]


def test_failure_is_rolled_back_and_told(
    switched_on: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = HandClock(at(0))
    with monitoring(switched_on, rising(5.3), clock) as (monitor, own):
        with monkeypatch.context() as patch:
            planted = "select error('planted') from marts.states_1m where bar_at = $bar_at "
            patch.setitem(STATEMENTS, "entries", planted + "and session_date = $session_date")
            with pytest.raises(duckdb.InvalidInputException, match="planted"):
                follow(monitor, clock, at(2, 30))
        assert own.read("select max(bar_at) as newest from raw.bars_1m") == [{"newest": at(1)}]
        told = follow(monitor, clock, at(2, 40), at(3, 1))
        assert [event for _, event, _ in told] == ["provisional", "confirmed"]


RAISE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from ingest.settings import Settings
from tests.live_fixture import HandClock
from tests.test_live_monitor import monitoring, run
from tests.test_live_provisional import at, rising
clock = HandClock(at(0))
with monitoring(Settings(data_dir=Path(sys.argv[1])), rising(5.3), clock) as (monitor, _):
    run(monitor, clock, at(2, 30))
    monitor.follow_forming()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def raise_and_die(settings: Settings) -> None:
    """Raise a provisional signal in a process that is killed with -9 right after."""
    command = [sys.executable, "-c", RAISE_AND_DIE, str(settings.data_dir)]
    done = subprocess.run(command, cwd=ROOT, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize(("close", "event"), [(5.3, "confirmed"), (5.0, "retracted")])
def test_killed_service_settles_after_its_restart(
    switched_on: Settings, close: float, event: str
) -> None:
    raise_and_die(switched_on)
    clock = HandClock(at(0))
    with monitoring(switched_on, rising(close), clock) as (monitor, own):
        assert follow(monitor, clock, at(2, 50), at(3, 1), at(3, 6)) == [
            ("15:02", event, str(close))
        ]
        assert [row[0] for row in stored(own)] == sorted(["provisional", event])


def test_day_is_flushed_with_all_outcomes(switched_on: Settings) -> None:
    raise_and_die(switched_on)  # and not started again before the session's end
    clock, over = HandClock(at(0)), POST + timedelta(minutes=3)
    query = "select event, happened_at from raw.provisional_events order by happened_at"
    for _ in range(2):
        with monitoring(switched_on, ListFeed(), clock) as (monitor, _own):
            run(monitor, clock, over)
        with duckdb.connect(str(switched_on.warehouse_path)) as connection:
            found = connection.execute(query).fetchall()
        assert found == [("provisional", at(2, 30)), ("retracted", over)]


def test_outcome_follows_its_signal_on_the_wire(switched_on: Settings) -> None:
    clock = HandClock(at(2), speed=100)
    with (
        serving(switched_on, clock=clock, feed=rising(5.3)) as running,
        connect(running.ws) as client,
        connect(f"{running.ws}?symbols=BRK-B") as other,
        connect(f"{running.ws}?states=FirstPump") as third,
    ):
        clock.at = at(2, 30)
        raised = json.loads(client.recv(timeout=10))
        clock.at = at(3, 1)
        signal_message, confirmed = (json.loads(client.recv(timeout=10)) for _ in range(2))
        assert (raised["type"], raised["price"]) == ("provisional", 5.2)
        assert "type" not in signal_message
        assert confirmed["type"] == "confirmed"
        assert confirmed["signal_seq"] == signal_message["seq"] == 1
        for uninterested in (other, third):
            with pytest.raises(TimeoutError):
                uninterested.recv(timeout=0.1)
        with connect(f"{running.ws}?since=0") as again:
            assert json.loads(again.recv(timeout=10)) == signal_message
            with pytest.raises(TimeoutError):
                again.recv(timeout=0.2)
        assert running.get("/").json()["counts"]["confirmed"] == 1
