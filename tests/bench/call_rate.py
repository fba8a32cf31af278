"""The call budget in use: share of a plan's calls per minute, and 429s, at 100 ms latency.

`python -m tests.bench.call_rate --plan premium --processes 2` downloads from the simulated market
for five minutes of its clock, with the workers of the plan, and prints both. Several processes
share one data directory, and so one budget.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path

import requests
import typer

from ingest import jobs
from ingest.batches import Summary
from ingest.budget import PLANS, CallBudget, StoppedError
from ingest.clock import SimulatedClock, parse_clock
from ingest.download import Request, download
from ingest.logs import silence
from ingest.providers.fmp import Answer, FmpClient
from ingest.settings import Plan
from ingest.simulator.faults import Faults
from ingest.simulator.generated import GeneratedMarket
from ingest.simulator.server import SimulatedServer

START = datetime(2025, 9, 2, 12, 30)
DAY = date(2025, 8, 29)
LATENCY = 0.1


def call_on(base_url: str, clock_text: str, folder: str, plan: Plan, minutes: int) -> None:
    """Make as many requests as the budget lets through in `minutes` of the clock."""
    silence()
    clock = parse_clock(clock_text)
    path = jobs.budget_path(Path(folder), "fmp")
    http = requests.Session()
    http.trust_env = False
    http.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=jobs.WORKERS[plan]))
    budget = CallBudget(plan, clock, path=path)
    client = FmpClient(base_url, "demo", budget, clock, http)
    symbols = GeneratedMarket(seed=7, symbol_count=60).symbols()
    until = START + timedelta(minutes=minutes, seconds=20)

    def fetch(symbol: str) -> Answer:
        if clock.now() > until:
            budget.stop()
        return client.daily_bars(symbol, DAY, DAY)

    wanted = PLANS[plan].calls * (minutes + 2)
    asked = [Request(str(n), "bars_1d", lambda n=n: fetch(symbols[n % 60])) for n in range(wanted)]
    warehouse = Path(folder) / "warehouse.duckdb"
    try:
        download(
            asked,
            warehouse=warehouse,
            clock=clock,
            budget=budget,
            workers=jobs.WORKERS[plan],
            summary=Summary(),
        )
    except StoppedError:
        return


def main(plan: str = "premium", minutes: int = 5, speed: float = 4.0, processes: int = 1) -> None:
    """Print the share of the budget that was used, minute by minute, and the 429s."""
    clock = SimulatedClock.starting(START, speed)
    market = GeneratedMarket(seed=7, symbol_count=60)
    faults = Faults(slow=1.0, slow_seconds=LATENCY)
    limit = PLANS[plan].calls  # type: ignore[index]
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory(prefix="call_rate") as folder,
        SimulatedServer(market, clock, plan=plan, faults=faults) as server,
    ):
        arguments = (server.base_url, str(clock), folder, plan, minutes)
        running = [context.Process(target=call_on, args=arguments) for _ in range(processes)]
        for process in running:
            process.start()
        while any(process.is_alive() for process in running):
            time.sleep(0.2)
        answered = list(server.requests)
    begun = answered[0].asked_at
    inside = [a for a in answered if a.asked_at < begun + timedelta(minutes=minutes)]
    by_minute = Counter(int((a.asked_at - begun).total_seconds() // 60) for a in inside)
    refused = sum(asked.status == 429 for asked in answered)
    print(f"{plan}, {processes} process(es), {LATENCY * 1000:.0f} ms latency, speed {speed:g}:")
    print(f"  calls by minute: {[by_minute[minute] for minute in range(minutes)]} of {limit}")
    print(f"  {len(inside) / limit / minutes:.1%} of the budget used, {refused} answers of 429")


if __name__ == "__main__":
    typer.run(main)
