"""What the health tells of disk, clock, snapshot and pace, and that it is told at all."""

from __future__ import annotations

import errno
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import duckdb
import pytest
import requests
from websockets.sync.client import connect

from ingest.settings import Settings
from ingest.warehouse import Landing
from live.checks import (
    ClockCheck,
    clock_offset,
    failed_write,
    low_disk,
    old_snapshot,
    slow_tick,
)
from live.feeds import Polled
from tests.live_fixture import HandClock, bars, build, publish
from tests.live_server import T, one_break_out, seqs, serving, wait_until

NOON = datetime(2025, 11, 5, 12)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("stated", "offset"),
    [(0, 0), (1, 0), (-1, 0), (-0.6, 0), (9, 7.5), (-5, -4)],
)
def test_clock_offset_is_what_the_wait_can_not_explain(stated: float, offset: float) -> None:
    found = clock_offset(at(stated), asked=at(0), answered=at(1.5))
    assert found == timedelta(seconds=offset)


@pytest.fixture
def provider() -> Iterator[tuple[str, dict[str, str]]]:
    """A server whose headers the test sets."""
    headers: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(200)
            for name, value in (headers | {"Content-Length": "0"}).items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", headers
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("stated", "extra", "told"),
    [
        (at(1), {}, None),
        (at(60), {}, "60 s behind the provider's"),
        (at(-60), {}, "59 s ahead of the provider's"),
        (at(-60), {"Age": "60"}, None),
        (None, {}, None),
    ],
)
def test_wrong_clock_is_told_by_the_answers_date(
    provider: tuple[str, dict[str, str]],
    stated: datetime | None,
    extra: dict[str, str],
    told: str | None,
) -> None:
    address, headers = provider
    date_header = format_datetime(stated)[:-5] + "GMT" if stated else "a while ago"
    headers |= extra | {"Date": date_header}
    check = ClockCheck(HandClock(NOON, speed=0.001))
    with requests.Session() as http:
        http.trust_env = False
        http.hooks["response"].append(check.see)
        http.get(address, timeout=10)
    assert (told or "") in (check.problem or "")
    assert (check.problem is None) == (told is None)


def test_full_disk_is_told_with_the_way_out(tmp_path: Path) -> None:
    assert low_disk(tmp_path, 0) is None
    assert "LIVE_MIN_FREE_MB (1,000,000,000)" in str(low_disk(tmp_path, 10**9))


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        duckdb.IOException("Could not write file"),
        duckdb.TransactionException("Failed to commit: No space left on device"),
        duckdb.FatalException("invalidated. Original error: Could not write file"),
    ],
)
def test_failed_write_says_make_room(error: Exception, tmp_path: Path) -> None:
    assert "make room" in str(failed_write(error, tmp_path))


def test_other_errors_are_no_failed_write(tmp_path: Path) -> None:
    assert failed_write(FileNotFoundError("no snapshot"), tmp_path) is None


@pytest.mark.parametrize(
    ("published_for", "told"),
    [(date(2025, 11, 5), False), (date(2025, 11, 6), False), (date(2025, 11, 4), True),
     (None, True)],
)  # fmt: skip
def test_old_snapshot_says_what_to_run(published_for: date | None, told: bool) -> None:
    found = old_snapshot(published_for, date(2025, 11, 5), "warehouse_v000001.duckdb")
    assert ("make features" in (found or "")) == told


def test_slow_tick_is_one_that_delays_the_next() -> None:
    assert slow_tick(5.0, 5.0) is None
    assert "5.1 s" in str(slow_tick(5.1, 5.0))


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let this process write no file beyond `size` bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return build(tmp_path)


def test_degraded_service_is_not_ready(settings: Settings) -> None:
    with serving(settings.model_copy(update={"live_min_free_mb": 10**9})) as running:
        wait_until(lambda: "disk" in running.service.monitor.problems)
        answers = [running.get(path) for path in ("/", "/health/ready")]
    assert [answer.status_code for answer in answers] == [200, 503]
    assert "LIVE_MIN_FREE_MB" in answers[1].json()["problems"]["disk"]


def test_quiet_service_is_ready(settings: Settings) -> None:
    with serving(settings) as running:
        one_break_out(running)
        wait_until(lambda: running.service.monitor.newest_bar_at is not None)
        assert running.get("/health/ready").status_code == 200


def test_snapshot_of_another_session_degrades(settings: Settings) -> None:
    change = "update marts.coming_session set session_date = date '2025-11-04'"
    publish(settings.data_dir, 2, change)
    with serving(settings) as running:
        wait_until(lambda: "snapshot" in running.service.monitor.problems)
        told = running.get("/").json()["problems"]["snapshot"]
    assert "warehouse_v000002.duckdb" in told


def test_tick_that_takes_too_long_degrades(settings: Settings) -> None:
    hasty = settings.model_copy(update={"live_tick_seconds": 0.0001})
    with serving(hasty) as running:
        running.feed.bars = bars("AAA", T - timedelta(minutes=2), [5.0, 5.0])
        wait_until(lambda: "slow_tick" in running.service.monitor.problems)


def test_faulty_views_give_no_signals_but_bars(settings: Settings) -> None:
    with serving(settings, fault="rvol_1m is wrong") as running:
        one_break_out(running)
        wait_until(lambda: running.service.monitor.counts.bars.inserted == 2)
        wait_until(lambda: running.service.monitor.newest_bar_at is not None)
        ticks = running.service.monitor.counts.ticks
        wait_until(lambda: running.service.monitor.counts.ticks > ticks + 2)
        assert running.get("/signals").json() == []
        assert "rvol_1m is wrong" in running.get("/").json()["problems"]["self_test"]


def test_full_disk_is_told_and_outlived(settings: Settings) -> None:
    with serving(settings) as running:
        wait_until(lambda: running.service.monitor.is_open)
        wal = settings.live_path.with_suffix(".duckdb.wal")
        with files_up_to(wal.stat().st_size + 200 if wal.exists() else 200):
            running.feed.bars = bars("AAA", T - timedelta(minutes=9), [5.0] * 8)
            wait_until(lambda: "make room" in running.service.monitor.problems.get("tick", ""))
        one_break_out(running)
        wait_until(lambda: running.service.broadcaster.last_seq == 1)
        assert "tick" not in running.get("/").json()["problems"]


def test_database_closed_by_a_failed_write_is_opened_again(settings: Settings) -> None:
    with serving(settings) as running, connect(running.ws, proxy=None) as client:
        wait_until(lambda: running.service.monitor.is_open)
        running.service.warehouse.read("set global checkpoint_threshold = '1KB'")
        with files_up_to(settings.live_path.stat().st_size):
            one_break_out(running)
            wait_until(lambda: "opened again" in running.service.monitor.problems.get("tick", ""))
        assert seqs(client, 1) == [1]
        wait_until(lambda: "tick" not in running.service.monitor.problems)
        assert [signal["seq"] for signal in running.get("/signals").json()] == [1]


@pytest.mark.parametrize(
    ("error", "count"),
    [(duckdb.IOException("Could not write file"), 2), (duckdb.ConversionException("odd"), 0)],
)
def test_polled_bars_wait_for_room_unless_they_are_at_fault(
    settings: Settings, error: Exception, count: int
) -> None:
    with serving(settings) as running:
        wait_until(lambda: running.service.monitor.is_open)
        warehouse, feed = running.service.warehouse, running.feed
        land_poll = warehouse.land_poll
        failing = [error]

        def land_once_there_is_room(polled: Polled, *where: Any) -> Landing:
            if polled.bars and failing:
                feed.bars = []  # as of a stream: it tells once
                raise failing.pop()
            return land_poll(polled, *where)

        warehouse.land_poll = land_once_there_is_room  # type: ignore[method-assign]
        one_break_out(running)
        wait_until(lambda: not failing)
        ticks = running.service.monitor.counts.ticks
        wait_until(lambda: running.service.monitor.counts.ticks > ticks + 2)
        assert running.service.monitor.counts.bars.inserted == count


def test_lost_database_is_told_in_words(settings: Settings) -> None:
    with serving(settings) as running:
        wait_until(lambda: running.service.monitor.is_open)

        def full(*_: object) -> None:
            raise duckdb.IOException("Could not write file: No space left on device")

        running.service.warehouse.land_poll = full  # type: ignore[method-assign,assignment]
        wait_until(lambda: "make room" in running.service.monitor.problems.get("tick", ""))


def test_every_stage_is_measured(settings: Settings) -> None:
    with serving(settings) as running:
        one_break_out(running)
        wait_until(lambda: running.service.broadcaster.last_seq == 1)
        text = running.get("/metrics").text
    for stage in ("fetch", "land", "views", "rules", "score", "store"):
        (line,) = [
            line
            for line in text.splitlines()
            if line.startswith(f'repump_stage_seconds_count{{stage="{stage}"}}')
        ]
        assert float(line.split()[-1]) > 0


def test_problems_and_queues_are_metrics(settings: Settings) -> None:
    with serving(settings.model_copy(update={"live_min_free_mb": 10**9})) as running:
        wait_until(lambda: "disk" in running.service.monitor.problems)
        lines = running.get("/metrics").text.splitlines()
    assert {'repump_problem{part="disk"} 1.0', "repump_queued_signals 0.0", "repump_up 0.0"} <= set(
        lines
    )
