"""The morning of a simulated session for benches of the live service."""

from __future__ import annotations

import socket
from datetime import date
from pathlib import Path

from ingest.simulator.generated import GeneratedMarket
from tests.warehouse_builder import land_generated, run_dbt

FIRST, LAST = date(2024, 11, 1), date(2024, 12, 27)
SYMBOLS = 12

RULES = (
    "{atr5_pct_min: 0, score_min: 0, min_dollar_volume_20d: 0, market_cap_max: 1e15,"
    " price_max: 1e9, move_min: 0.005, rvol_min: 0.8, base_range_max: 0.2, spread_max: 1,"
    " cooldown_min: 2}"
)
"""Every symbol is watched, and signals come by the minute."""


def land_morning(data_dir: Path) -> None:
    """Build and publish the history before 2024-12-30 where it is not there."""
    if (data_dir / "published").exists():
        return
    data_dir.mkdir(parents=True, exist_ok=True)
    market = GeneratedMarket()
    symbols = market.watchlist_grade()[:SYMBOLS]
    land_generated(data_dir / "warehouse.duckdb", market, symbols, FIRST, LAST)
    run_dbt(data_dir, "run", "--vars", RULES)


def free_port() -> int:
    """Return a port of loopback that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
