"""What was spent is shared: by processes, across restarts, also by those that are killed."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ingest.budget import BudgetSpentError, CallBudget, Spent
from ingest.spending import SpendingError
from tests.simulator_client import SetClock

NOON = datetime(2026, 8, 31, 16, 0)

SPEND = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from ingest.budget import CallBudget
from tests.simulator_client import SetClock
budget = CallBudget("free", SetClock(datetime(2026, 8, 31, 16, 0)), path=Path(sys.argv[1]))
for _ in range(60):
    budget.acquire()
budget.charge(1000)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_processes_have_spent_their_calls(tmp_path: Path) -> None:
    path = tmp_path / "budget_fmp.sqlite"
    running = [
        subprocess.Popen([sys.executable, "-c", SPEND, str(path)], cwd=Path(__file__).parents[1])
        for _ in range(2)
    ]
    assert [process.wait(60) for process in running] == [-9, -9]
    budget = CallBudget("free", SetClock(NOON), path=path)
    assert (budget.calls_used, budget.bytes_used) == (120, 2000)


def test_two_budgets_of_one_file_are_one(tmp_path: Path) -> None:
    clock, path = SetClock(NOON), tmp_path / "b.sqlite"
    one, other = CallBudget("free", clock, path=path), CallBudget("free", clock, path=path)
    for _ in range(125):
        one.acquire()
        other.acquire()
    with pytest.raises(BudgetSpentError, match="250 calls a day"):
        other.acquire()


def test_ledger_fills_a_new_file_only(tmp_path: Path) -> None:
    history = [Spent(NOON - timedelta(hours=1), 10, 500)]
    for _ in range(2):
        budget = CallBudget("free", SetClock(NOON), history, path=tmp_path / "b.sqlite")
    assert (budget.calls_used, budget.bytes_used) == (10, 500)


def test_hold_stops_every_budget_of_the_file(tmp_path: Path) -> None:
    clock, path = SetClock(NOON), tmp_path / "b.sqlite"
    one, other = CallBudget("free", clock, path=path), CallBudget("free", clock, path=path)
    one.hold(600)
    with pytest.raises(BudgetSpentError):
        other.acquire()
    clock.moment += timedelta(seconds=602)
    other.acquire()


def test_calls_of_another_market_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "b.sqlite"
    CallBudget("free", SetClock(NOON + timedelta(days=1)), path=path).acquire()
    budget = CallBudget("free", SetClock(NOON), path=path)
    budget.acquire()
    assert budget.calls_used == 1


def test_damaged_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "budget_fmp.sqlite"
    path.write_bytes(b"no database " * 1000)
    with pytest.raises(SpendingError, match=r"budget_fmp.sqlite can't be used: .* remove the file"):
        CallBudget("free", SetClock(NOON), path=path)
