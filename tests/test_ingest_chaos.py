"""A few seeded runs of tests/bench/chaos.py: killed and lied to, ingest ends with every row."""

from __future__ import annotations

import pytest

from tests.bench.chaos import Tables, run_once


@pytest.fixture(scope="module")
def calm() -> Tables:
    outcome, tables = run_once(0, None)
    assert outcome.is_done
    return tables


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_and_failing_runs_end_with_every_row(calm: Tables, seed: int) -> None:
    outcome, _ = run_once(seed, calm, kills=2)
    assert outcome.is_done and outcome.faults
    assert (outcome.lost, outcome.double, outcome.wrong) == (0, 0, 0)
