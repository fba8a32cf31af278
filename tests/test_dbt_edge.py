"""The macros for spreads and true ranges, run as SQL, against reference values and libraries."""

from __future__ import annotations

from collections.abc import Callable

import duckdb
import numpy as np
import pytest
from bidask import edge

from tests.warehouse_builder import run_dbt

MACROS = """
with lagged as (
    select
        *,
        lag(high) over by_bar as previous_high,
        lag(low) over by_bar as previous_low,
        lag(close) over by_bar as previous_close
    from bars
    window by_bar as (partition by sample order by bar)
),
terms as (
    select sample, {{ edge_terms() }} from lagged where previous_close is not null
),
sums as (
    select sample, count(*) as bar_count, {{ edge_sums() }} from terms group by sample
)
{{ edge_spread('sums', ['sample'], 2) }}
order by sample;
select {{ true_range('high', 'low', 'previous_close') }} as true_range
from (select *, lag(close) over (order by bar) as previous_close from bars)
order by bar
"""

# The first rows of the EDGE authors' ohlc.csv: their signed estimate is -0.016889917516422.
NEGATIVE = """
1.00240075994025,1.00935878365403,0.976061138469904,0.976061138469904
0.929743096395543,0.929774737723069,0.928919694164385,0.929774737723069
0.943911414384193,0.968140794511406,0.943911414384193,0.968140794511406
0.977605378856722,0.977605378856722,0.977605378856722,0.977605378856722
0.961535370407048,0.99982474278851,0.961535370407048,0.986215329667607
0.982409003083975,0.992213437101346,0.982409003083975,0.992213437101346
1.03435413274433,1.03435413274433,1.03435413274433,1.03435413274433
1.0201424300403,1.04025465277235,1.0201424300403,1.03219266262805
1.03650094499406,1.03650094499406,1.03650094499406,1.03650094499406
1.05368509087896,1.05368509087896,1.02605242183949,1.02798086837104
"""

# High, low, close of Tulip Indicators' tests, and TA-Lib's ATR(5) of them from the sixth bar on.
TULIP = """
82.15,81.29,81.59
81.89,80.64,81.06
83.03,81.31,82.87
83.30,82.65,83.00
83.85,83.07,83.61
83.90,83.11,83.15
83.33,82.49,82.84
84.30,82.30,83.99
84.84,84.15,84.55
85.00,84.11,84.36
85.90,84.03,85.53
86.58,85.39,86.54
86.98,85.76,86.89
88.00,87.17,87.77
87.87,87.01,87.29
"""
TA_LIB_ATR5 = [1.102, 1.0496, 1.23968, 1.161744, 1.107395, 1.259916, 1.245933, 1.240746, 1.214597,
               1.143678]  # fmt: skip

Run = Callable[[np.ndarray], list[float]]


@pytest.fixture(scope="module")
def statements(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """What dbt makes of the macros: EDGE per sample, true range per bar."""
    arguments = ("--quiet", "compile", "--inline", MACROS, "--target", "lint")
    edge_sql, true_range_sql = run_dbt(tmp_path_factory.mktemp("edge"), *arguments).stdout.split(
        ";"
    )
    return edge_sql, true_range_sql


@pytest.fixture(scope="module")
def edge_by_sql(statements: tuple[str, str]) -> Run:
    """EDGE by the macros of each sample of an array (sample, bar, open to close); null is NaN."""

    def run(samples: np.ndarray) -> list[float]:
        count, bars, _ = samples.shape
        flat = samples.reshape(-1, 4)
        columns = dict(zip(("open", "high", "low", "close"), flat.T, strict=True))
        columns |= {"sample": np.repeat(range(count), bars), "bar": np.tile(range(bars), count)}
        with duckdb.connect() as connection:
            connection.register("bars", _table(columns))
            rows = connection.execute(statements[0]).fetchall()
            return [np.nan if spread is None else spread for _, spread in rows]

    return run


def _table(columns: dict[str, np.ndarray]) -> object:
    import pyarrow as pa

    return pa.table(columns)


def rows(text: str) -> np.ndarray:
    return np.array([line.split(",") for line in text.split()], dtype=float)


def clipped(sample: np.ndarray) -> float:
    """The reference library's estimate with negative variance clipped to 0; undefined is NaN."""
    return float(np.maximum(edge(*sample.T, sign=True), 0))


def random_samples(count: int, bars: int, seed: int) -> np.ndarray:
    """Bars of a random walk that bounces between bid and ask, some without a trade or a move."""
    random = np.random.default_rng(seed)
    ticks = np.exp(np.cumsum(random.normal(0, 0.002, (count, bars * 8)), axis=1))
    ticks *= 1 + random.choice([-1, 1], ticks.shape) * random.uniform(0, 0.02, (count, 1))
    ticks = np.round(10 * ticks, 2).reshape(count, bars, 8)
    quiet = random.random((count, bars)) < 0.2
    ticks[quiet] = ticks[quiet][:, :1]
    return np.stack([ticks[..., 0], ticks.max(-1), ticks.min(-1), ticks[..., -1]], axis=-1)


@pytest.mark.parametrize("bars", [3, 21, 61])
def test_edge_equals_the_reference_library(edge_by_sql: Run, bars: int) -> None:
    samples = random_samples(300, bars, seed=bars)
    want = [clipped(sample) for sample in samples]
    assert sum(value > 0 for value in want) > 100
    assert edge_by_sql(samples) == pytest.approx(want, rel=1e-6, abs=1e-8, nan_ok=True)


def test_edge_of_the_published_rows_is_clipped(edge_by_sql: Run) -> None:
    sample = rows(NEGATIVE)
    assert edge(*sample.T, sign=True) == pytest.approx(-0.016889917516422)
    assert edge_by_sql(sample[None]) == [0]


def test_edge_of_prices_that_do_not_move_is_null(edge_by_sql: Run) -> None:
    open_and_high_differ_once = np.array([[[18.21, 18.21, 17.61, 17.61], *[[17.61] * 4] * 4]])
    flat = np.full((1, 5, 4), 17.61)
    assert np.isnan(edge_by_sql(np.concatenate([open_and_high_differ_once, flat]))).all()


def test_true_ranges_give_ta_libs_atr(statements: tuple[str, str]) -> None:
    high, low, close = rows(TULIP).T
    with duckdb.connect() as connection:
        connection.register(
            "bars", _table({"bar": np.arange(15), "high": high, "low": low, "close": close})
        )
        first, *ranges = [row[0] for row in connection.execute(statements[1]).fetchall()]
    atr = [sum(ranges[:5]) / 5]
    for true_range in ranges[5:]:
        atr.append((atr[-1] * 4 + true_range) / 5)
    assert first is None
    assert atr == pytest.approx(TA_LIB_ATR5, abs=1e-6)
