"""Warehouses that many tests read, each built once; the live service on a small database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from ingest.settings import Settings
from ingest.simulator.generated import GeneratedMarket
from tests.live_fixture import build
from tests.live_server import Running, serving, wait_until
from tests.warehouse_builder import REAL, land_generated, land_real, run_dbt

GENERATED_FIRST, GENERATED_LAST = date(2024, 10, 15), date(2024, 12, 27)
"""54 sessions: daylight saving ends on 11-03, half days are 11-29 and 12-24."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the long files first, so that the workers end at about the same time."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def generated_symbols() -> list[str]:
    """Six symbols that run, two that split in the window, one that is delisted in it, one big."""
    market = GeneratedMarket()
    window = (GENERATED_FIRST, GENERATED_LAST)
    split = [s.symbol for s in market.splits() if window[0] < s.split_date <= window[1]][:2]
    delisted = [
        symbol
        for symbol in market.symbols()
        if (end := market.profile(symbol).delisted_date) and window[0] < end < window[1]
    ][:1]
    chosen = market.watchlist_grade()[:6] + split + delisted + market.symbols()[:1]
    return sorted(set(chosen))


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory, generated_symbols: list[str]) -> Path:
    """Data directory with a warehouse of the generated market, built and published."""
    data_dir = tmp_path_factory.mktemp("generated")
    land_generated(
        data_dir / "warehouse.duckdb",
        GeneratedMarket(),
        generated_symbols,
        GENERATED_FIRST,
        GENERATED_LAST,
    )
    run_dbt(data_dir, "build")
    return data_dir


@pytest.fixture(scope="session")
def real_2018(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data directory with RTH bars of real symbols: two movers, a split mismatch, a delisting."""
    return _real(tmp_path_factory, 2018, ["SRNE", "OPK", "NVAX", "ESV", "JUNO"])


@pytest.fixture(scope="session")
def real_2025(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data directory with PRE, RTH and POST bars of real symbols."""
    return _real(tmp_path_factory, 2025, ["APPS", "WIT", "NVDA"])


def _real(factory: pytest.TempPathFactory, year: int, symbols: list[str]) -> Path:
    if not REAL.exists():
        pytest.skip("needs real bars in ../shared/real, which are not shipped")
    data_dir = factory.mktemp(f"real_{year}")
    land_real(data_dir / "warehouse.duckdb", year, symbols)
    run_dbt(data_dir, "build")
    return data_dir


@pytest.fixture(scope="session")
def live_template(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of the small live database that each test gets a copy of."""
    return build(tmp_path_factory.mktemp("live"))


@pytest.fixture
def settings(live_template: Settings, tmp_path: Path) -> Settings:
    """Settings of a small live database."""
    shutil.copytree(live_template.data_dir, tmp_path / "data", symlinks=True)
    return Settings(**live_template.model_dump() | {"data_dir": tmp_path / "data"}, _env_file=None)


@pytest.fixture
def running(settings: Settings) -> Iterator[Running]:
    """The service on the small live database, in its session."""
    with serving(settings) as service:
        wait_until(lambda: service.service.monitor.is_open)
        yield service
