"""The programs that the bench compares with compute what the marts hold: every row and column."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest

from tests.bench import polars_features, polars_rolling
from tests.bench.bars_io import export, run
from tests.bench.market_bars import land_market
from tests.warehouse_builder import run_dbt

KEY = ["symbol", "bar_at"]
PROGRAMS = {"polars_features": polars_features.marts, "polars_rolling": polars_rolling.marts}


def computed(
    warehouse: Path, folder: Path, program: str, mart: str, symbols: list[str]
) -> pl.DataFrame:
    if not (folder / mart).exists():
        export(warehouse, folder / "inputs", symbols)
        run(PROGRAMS[program], folder / "inputs", folder, symbols_per_batch=4)
    parts = pl.read_parquet(folder / mart / "*.parquet")
    return parts.with_columns(pl.col("symbol", "session_segment").cast(pl.String)).sort(KEY)


def built(warehouse: Path, mart: str, symbols: list[str]) -> pl.DataFrame:
    with duckdb.connect(warehouse, read_only=True) as connection:
        query = f"from marts.{mart}_1m where symbol in (select unnest($symbols))"
        return connection.sql(query, params={"symbols": symbols}).pl().sort(KEY)


def differences(want: pl.DataFrame, got: pl.DataFrame) -> list[str]:
    found = []
    for name in want.columns:
        left, right = want[name], got[name]
        if left.dtype != right.dtype:
            found.append(f"{name}: {left.dtype} {right.dtype}")
            continue
        same = left.eq_missing(right)
        if left.dtype == pl.Float64:
            a, b = left.to_numpy(), right.to_numpy()
            scale = np.maximum(np.abs(a), np.abs(b))
            # 1e-14: the rounding of a ratio near 1 from which 1 is taken
            same |= pl.Series(np.abs(a - b) <= 1e-9 * scale + 1e-14) & left.is_not_null()
        if not same.all():
            rows = want.filter(~same).select(KEY).with_columns(left.filter(~same).alias("want"))
            rows = rows.with_columns(right.filter(~same).alias("got"))
            found.append(f"{name}: {len(rows)} of {len(want)} {rows.head(3).rows()}")
    return found


@pytest.fixture(scope="session")
def bench_market(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Six symbols, 30 sessions, the half day of 2025-07-03 among them."""
    data_dir = tmp_path_factory.mktemp("bench_market")
    land_market(data_dir / "warehouse.duckdb", 6, 30, missing=0.05, first=date(2025, 6, 2))
    run_dbt(data_dir, "run")
    return data_dir, [f"B{number:04d}" for number in range(6)]


@pytest.fixture(scope="session")
def unsplit_market(generated: Path, generated_symbols: list[str]) -> tuple[Path, list[str]]:
    """The generated market's symbols without a split: extended hours, thin minutes, half days."""
    with duckdb.connect(generated / "published" / "warehouse.duckdb", read_only=True) as connection:
        split = {row[0] for row in connection.execute("select symbol from raw.splits").fetchall()}
    return generated, [symbol for symbol in generated_symbols if symbol not in split]


@pytest.mark.parametrize("mart", ["features", "labels"])
@pytest.mark.parametrize("market", ["bench_market", "unsplit_market"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_program_equals_the_marts(
    program: str,
    market: str,
    mart: str,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    data_dir, symbols = request.getfixturevalue(market)
    warehouse = data_dir / "published" / "warehouse.duckdb"
    folder = tmp_path_factory.getbasetemp() / f"{program}_{market}"
    want = built(warehouse, mart, symbols)
    got = computed(warehouse, folder, program, mart, symbols)
    assert len(want) == len(got) > 10_000
    assert set(want.columns) == set(got.columns)
    found = differences(want, got.select(want.columns))
    assert not found, "\n".join(found)
