"""What one ingest process does in the chaos runs; imported once, forked for every process."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import duckdb
import exchange_calendars  # noqa: F401 - loaded before forking
import requests
import structlog

from ingest import bars, batches, jobs, splits
from ingest.budget import BudgetSpentError, CallBudget
from ingest.clock import parse_clock
from ingest.logs import silence
from ingest.providers.errors import ProviderError
from ingest.providers.fmp import FmpClient

DONE, NOT_DONE = 0, 3


@dataclass(frozen=True)
class Place:
    """Where a process works: the provider, the clock all share, the data directory."""

    base_url: str
    clock: str
    data_dir: Path


def job_at(place: Place) -> jobs.Job:
    clock = parse_clock(place.clock)

    def make_client(budget: CallBudget) -> FmpClient:
        http = requests.Session()
        http.trust_env = False
        return FmpClient(place.base_url, "demo", budget, clock, http, backoff_seconds=0.001)

    return jobs.Job(
        data_dir=place.data_dir,
        warehouse=place.data_dir / "warehouse.duckdb",
        clock=clock,
        plan="ultimate",
        make_client=make_client,
    )


def work(place: Place) -> None:
    """Run the jobs once; exit with DONE where nothing is left to buy."""
    silence()
    batches.BATCH_ANSWERS = 4
    job = job_at(place)
    try:
        for run in (splits.run_splits, bars.run_daily, bars.run_minute):
            run(job)
    except (ProviderError, BudgetSpentError, duckdb.Error) as error:
        structlog.get_logger().info("stopped", error=str(error))
        sys.exit(NOT_DONE)
    sys.exit(NOT_DONE if job.summary.errors else DONE)
