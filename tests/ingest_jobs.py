"""Jobs on the simulated market, and what they are asked for, without dbt."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import requests

from ingest import jobs
from ingest.batches import Summary
from ingest.budget import CallBudget
from ingest.clock import SimulatedClock
from ingest.providers.fmp import FmpClient
from ingest.settings import Plan
from ingest.simulator.generated import GeneratedMarket
from ingest.simulator.server import SimulatedServer
from ingest.warehouse import open_warehouse

START = datetime(2025, 9, 2, 12, 30)  # an hour before the open, after Labor Day
SESSION = date(2025, 8, 29)
MARKET = GeneratedMarket(seed=7, symbol_count=60)
SPLITTER, SPLIT_DATE = "FTGZ", date(2025, 7, 16)
"""Five old shares became one, six weeks before the tests' day."""


def job_of(
    server: SimulatedServer,
    clock: SimulatedClock,
    data_dir: Path,
    *,
    key: str = "demo",
    plan: Plan = "ultimate",
    source: jobs.Source | None = None,
) -> jobs.Job:
    def make_client(budget: CallBudget) -> FmpClient:
        http = requests.Session()
        return FmpClient(server.base_url, key, budget, clock, http, backoff_seconds=0.001)

    return jobs.Job(
        data_dir=data_dir,
        warehouse=data_dir / "warehouse.duckdb",
        clock=clock,
        plan=plan,
        make_client=make_client,
        source=source,
        summary=Summary(),
    )


def live_symbols(count: int) -> list[str]:
    profiles = ((symbol, MARKET.profile(symbol)) for symbol in MARKET.symbols())
    return [symbol for symbol, profile in profiles if profile.delisted_date is None][:count]


def want(warehouse: Path, view: str, select: str) -> None:
    with open_warehouse(warehouse) as connection:
        connection.execute("create schema if not exists marts")
        connection.execute(f"create or replace view marts.{view} as {select}")


def want_daily(warehouse: Path, *symbols: str) -> None:
    rows = ", ".join(f"('{symbol}')" for symbol in symbols)
    want(
        warehouse,
        "daily_requests",
        f"select symbol, date '2025-08-25' as from_date, date '2025-08-29' as to_date "
        f"from (values {rows}) as wanted (symbol) where symbol not in (select symbol "
        "from raw.fetch_log where endpoint = 'bars_1d' and outcome in ('ok', 'empty'))",
    )


def want_minute(warehouse: Path, *symbols: str) -> None:
    rows = ", ".join(f"('{symbol}', date '{SESSION}')" for symbol in symbols)
    want(
        warehouse,
        "minute_requests",
        f"select * from (values {rows}) as wanted (symbol, session_date)",
    )


def rows_of(warehouse: Path, sql: str) -> list[tuple[Any, ...]]:
    with open_warehouse(warehouse) as connection:
        return connection.execute(sql).fetchall()
