"""The call budget: by the clock of the market, across restarts, with a day when it is back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pytest

from ingest.budget import BudgetSpentError, CallBudget, Spent, StoppedError, logged_calls
from ingest.clock import SimulatedClock
from ingest.warehouse import land, open_warehouse

NOON = datetime(2026, 8, 31, 16, 0)


@dataclass
class StoppedClock:
    at: datetime = NOON
    speed: float = 1.0

    def now(self) -> datetime:
        return self.at


def test_minute_plan_waits_in_market_minutes() -> None:
    clock = SimulatedClock.starting(NOON, 600)
    budget = CallBudget("starter", clock)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: budget.acquire(), range(301)))
    assert clock.now() - NOON >= timedelta(minutes=1)


def test_calls_within_the_plan_do_not_wait() -> None:
    clock = StoppedClock()
    budget = CallBudget("starter", clock)
    for _ in range(300):
        budget.acquire()
    assert budget.calls_used == 300


def test_spent_day_says_when_it_is_back() -> None:
    clock = StoppedClock()
    budget = CallBudget("free", clock, [Spent(NOON - timedelta(hours=3), 250, 0)])
    with pytest.raises(BudgetSpentError, match=r"back at 2026-09-01 13:00 UTC"):
        budget.acquire()


def test_day_is_back_after_a_day() -> None:
    clock = StoppedClock()
    budget = CallBudget("free", clock, [Spent(NOON - timedelta(hours=25), 250, 0)])
    budget.acquire()
    assert budget.calls_used == 1


def test_spent_bandwidth_says_when_it_is_back() -> None:
    history = [
        Spent(NOON - timedelta(days=20), 1, 300_000_000),
        Spent(NOON - timedelta(days=2), 1, 200_000_000),
    ]
    with pytest.raises(BudgetSpentError, match=r"500 MB .* back at 2026-09-10 17:00 UTC"):
        CallBudget("free", StoppedClock(), history).acquire()


def test_bandwidth_older_than_30_days_is_forgotten() -> None:
    history = [Spent(NOON - timedelta(days=31), 1, 600_000_000)]
    budget = CallBudget("free", StoppedClock(), history)
    budget.acquire()
    assert budget.bytes_used == 0


def test_received_bytes_count_at_once() -> None:
    budget = CallBudget("free", StoppedClock())
    budget.charge(500_000_000)
    with pytest.raises(BudgetSpentError):
        budget.acquire()


def test_stop_wakes_a_waiting_call() -> None:
    budget = CallBudget("starter", StoppedClock(), [Spent(NOON, 300, 0)])
    raised: list[type[BaseException]] = []

    def wait() -> None:
        try:
            budget.acquire()
        except StoppedError as error:
            raised.append(type(error))

    thread = Thread(target=wait, daemon=True)
    thread.start()
    budget.stop()
    thread.join(10)
    assert raised == [StoppedError]


def test_ledger_is_read_by_provider_and_month(tmp_path: Path) -> None:
    def line(number: int, at: datetime, provider: str) -> tuple[pa.Table, str]:
        row = {"request_id": str(number), "requested_at": at, "endpoint": "bars_1d"}
        return pa.Table.from_pylist([{**row, "attempts": 2, "byte_count": 10}]), provider

    with open_warehouse(tmp_path / "w.duckdb") as connection:
        lines = [(NOON, "fmp"), (NOON, "import"), (NOON - timedelta(days=31), "fmp")]
        for number, (at, provider) in enumerate(lines):
            rows, name = line(number, at, provider)
            land(connection, "fetch_log", rows, provider=name, landed_at=NOON)
        assert logged_calls(connection, StoppedClock()) == [Spent(NOON, 2, 10)]


def test_lines_after_now_are_not_of_this_market() -> None:
    budget = CallBudget("free", StoppedClock(), [Spent(NOON + timedelta(days=1), 250, 10**9)])
    budget.acquire()
    assert budget.calls_used == 1
