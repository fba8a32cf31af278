"""How far back each feature sees, found by changing one raw row at a time, is what its yml says.

One symbol per change, all copies of one another but for it, in one build: a feature that differs
from the unchanged symbol's sees the changed row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from ingest.calendar import market_calendar
from ingest.warehouse import land, open_warehouse
from tests.test_dbt_oracle import same
from tests.warehouse_builder import land_calendar, run_dbt

SESSIONS = market_calendar(date(2024, 1, 2), date(2024, 10, 15)).to_pylist()
"""The last one is observed; of the 66 before it none is a half day."""

OBSERVED = 203
"""Minute of the RTH bar that is observed: 4 minutes past a 5-minute mark, as far as can be."""
CLOSE, OBSERVED_POST = 390, 396

HOLES = {
    f"hole {edge} {length}": (OBSERVED - edge - length, OBSERVED - edge)
    for edge in (0, 30, 63)
    for length in (60, 61)
}
"""Markets without a bar between two minutes: the second is the first bar of a window (of move_prev,
realized_vol_30m, spread_est), and the bar before it is as old as it may be, or a minute older."""

MINUTES = [*range(1, 131), OBSERVED - 1, OBSERVED]
DAILY = range(1, 66)
BASELINE = range(1, 26)


@dataclass(frozen=True)
class Case:
    """One symbol: where it has bars, and which of its rows is changed."""

    change: str = "nothing"
    back: int = 0
    market: str = "dense"

    @property
    def symbol(self) -> str:
        return f"{self.market}/{self.change}/{self.back}"


NEVER_SEEN = [Case("PRE bars"), Case("later bar"), Case("daily bar"), Case("profile")]
CASES = [
    Case(),
    *NEVER_SEEN,
    *(Case("minute bar", n) for n in MINUTES),
    *(Case("daily bar", k) for k in DAILY),
    *(Case("split", k) for k in (0, *DAILY)),
    *(Case("baseline session", k) for k in BASELINE),
    *(Case(market=name) for name in HOLES),
    *(
        Case("minute bar", OBSERVED - first + older, name)
        for name, (first, _) in HOLES.items()
        for older in (0, 1)
    ),
]

Values = dict[str, float | None]


@cache
def walk(seed: int, count: int, step: float) -> np.ndarray:
    """Open, high, low, close, volume of bars that bounce between bid and ask."""
    random = np.random.default_rng(seed)
    ticks = np.exp(np.cumsum(random.normal(0, step, count * 8)))
    ticks *= 1 + random.choice([-0.004, 0.004], ticks.shape)
    ticks = 5 * ticks.reshape(count, 8)
    prices = ticks[:, 0], ticks.max(1), ticks.min(1), ticks[:, -1]
    return np.column_stack([*prices, random.integers(100, 9000, count)])


def changed(bars: np.ndarray) -> np.ndarray:
    """Return bars that are the highest and the lowest of all, and pumps, as are the next ones."""
    return bars * [1.1, 3, 0.2, 0.5, 7] + [0, 0, 0, 0, 1000]


def daily_rows(case: Case) -> tuple[list[date], np.ndarray]:
    """Return 70 daily bars to the observed session's own, without a pump among them."""
    bars = walk(seed=1, count=70, step=0.001).copy()
    if case.change == "daily bar":
        bars[-1 - case.back] = changed(bars[-1 - case.back])
    return [session["session_date"] for session in SESSIONS[-70:]], bars


def minute_rows(case: Case) -> tuple[list[datetime], np.ndarray]:
    """Return the observed session's bars, and a few of each of 25 sessions before it."""
    minutes = np.array([*range(-60, OBSERVED + 20), *range(CLOSE, OBSERVED_POST + 1)])
    bars = walk(seed=2, count=len(minutes), step=0.0005).copy()
    is_changed = np.zeros(len(minutes), bool)
    if case.change == "minute bar":
        is_changed = minutes == OBSERVED - case.back
    if case.change == "later bar":
        is_changed = (minutes > OBSERVED) & (minutes < CLOSE)
    if case.change == "PRE bars":
        is_changed = minutes < 0
    bars[is_changed] = changed(bars[is_changed])
    first, last = HOLES.get(case.market, (0, 0))
    kept = (minutes <= first) | (minutes >= last)
    stamps = [at(SESSIONS[-1], minute) for minute in minutes[kept]]
    parts = [bars[kept]]
    for k in BASELINE:
        near = [0, 100, *range(OBSERVED - 4, OBSERVED + 5)]
        usual = walk(seed=100 + k, count=len(near), step=0.001)
        parts.append(changed(usual) if case == Case("baseline session", k) else usual)
        stamps += [at(SESSIONS[-1 - k], minute) for minute in near]
    return stamps, np.concatenate(parts)


def at(session: dict, minute: int) -> datetime:
    return session["open_at"] + timedelta(minutes=int(minute))


def bar_table(parts: Iterable[tuple[str, str, list, np.ndarray]]) -> pa.Table:
    """Return bars as columns, from symbols with the name of the stamp, stamps and values."""
    tables = []
    for symbol, stamp, stamps, values in parts:
        names = ("open", "high", "low", "close", "volume")
        columns = {stamp: stamps} | dict(zip(names, values.T, strict=True))
        tables.append(pa.table({"symbol": [symbol] * len(stamps)} | columns))
    return pa.concat_tables(tables)


def land_cases(connection: duckdb.DuckDBPyConnection) -> None:
    minute = bar_table((case.symbol, "bar_at", *minute_rows(case)) for case in CASES)
    session_dates = minute["bar_at"].cast(pa.date32())
    daily = bar_table((case.symbol, "session_date", *daily_rows(case)) for case in CASES)
    splits = [
        {
            "symbol": case.symbol,
            "split_date": SESSIONS[-1 - case.back]["session_date"],
            "numerator": 2.0,
            "denominator": 1.0,
        }
        for case in CASES
        if case.change == "split"
    ]
    profile = {"symbol": Case("profile").symbol, "as_of_date": date(2024, 10, 14)}
    tables = {
        "bars_1m": minute.append_column("session_date", session_dates),
        "bars_1d": daily,
        "splits": pa.Table.from_pylist(splits),
        "profiles": pa.Table.from_pylist([profile | {"exchange": "NYSE", "market_cap": 1e8}]),
    }
    land_calendar(connection, date(2024, 1, 2), date(2024, 12, 31))
    for table, rows in tables.items():
        land(connection, table, rows, provider="fmp", landed_at=datetime(2024, 10, 16))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_dir = tmp_path_factory.mktemp("lookback")
    with open_warehouse(data_dir / "warehouse.duckdb") as connection:
        land_cases(connection)
    run_dbt(data_dir, "run", "--select", "+features_1m", "feature_definitions")
    return data_dir / "published" / "warehouse.duckdb"


@pytest.fixture(scope="module")
def declared(built: Path) -> dict[str, str]:
    with duckdb.connect(built, read_only=True) as connection:
        query = "select feature, lookback from marts.feature_definitions"
        return dict(connection.execute(query).fetchall())


@pytest.fixture(scope="module")
def values(built: Path, declared: dict[str, str]) -> dict[tuple[str, int], Values]:
    """All features by symbol and minute, of the observed bars."""
    with duckdb.connect(built, read_only=True) as connection:
        rows = connection.execute(
            f"select symbol, minutes_since_open, {', '.join(declared)} from marts.features_1m "
            "where session_date = $day and minutes_since_open in ($rth, $post)",
            {"day": SESSIONS[-1]["session_date"], "rth": OBSERVED, "post": OBSERVED_POST},
        ).fetchall()
    assert len(rows) == 2 * len(CASES)
    return {(row[0], row[1]): dict(zip(declared, row[2:], strict=True)) for row in rows}


Seen = dict[str, set[Case]]


@pytest.fixture(scope="module")
def seen(values: dict[tuple[str, int], Values]) -> Seen:
    """The changes that each feature of the RTH bar sees."""
    return changes_seen(values, OBSERVED)


@pytest.fixture(scope="module")
def seen_in_post(values: dict[tuple[str, int], Values]) -> Seen:
    return changes_seen(values, OBSERVED_POST)


def changes_seen(values: dict[tuple[str, int], Values], minute: int) -> Seen:
    controls = {c.market: values[c.symbol, minute] for c in CASES if c.change == "nothing"}
    found: Seen = {feature: set() for feature in controls["dense"]}
    for case in CASES:
        for feature, value in values[case.symbol, minute].items():
            if not same(controls[case.market][feature], value):
                found[feature].add(case)
    return found


def furthest(cases: set[Case], change: str) -> int | None:
    return max((case.back for case in cases if case.change == change), default=None)


def reach(seen: set[Case], seen_in_post: set[Case]) -> str:
    """The look-back as features_1m.yml words it."""
    minutes, terms = furthest(seen, "minute bar"), []
    if furthest(seen_in_post, "minute bar"):
        terms.append("session")
    elif minutes == OBSERVED:
        terms.append("segment")
    elif minutes:
        terms.append(f"{minutes} minutes")
    for change, unit in (("daily bar", "daily bar"), ("baseline session",) * 2):
        if count := furthest(seen, change):
            terms.append(f"{count} {unit}{'s' if count > 1 else ''}")
    return " + ".join(terms) or "none"


def wrong_declarations(declared: dict[str, str], seen: Seen, seen_in_post: Seen) -> dict[str, str]:
    """The look-back found of each feature that is declared another."""
    found = {feature: reach(seen[feature], seen_in_post[feature]) for feature in declared}
    return {feature: found[feature] for feature, text in declared.items() if text != found[feature]}


def test_every_feature_is_warm(values: dict[tuple[str, int], Values]) -> None:
    control = values[Case().symbol, OBSERVED]
    assert not [feature for feature, value in control.items() if value is None]
    assert control["spread_est"] > 0


def test_declared_lookback_is_the_one_found(
    declared: dict[str, str], seen: Seen, seen_in_post: Seen
) -> None:
    assert not wrong_declarations(declared, seen, seen_in_post)


@pytest.mark.parametrize(
    ("feature", "text"),
    [
        ("base_range", "29 minutes"),
        ("base_range", "31 minutes"),
        ("spread_est", "120 minutes"),
        ("move_prev", "segment"),
        ("vwap", "session"),
        ("gap", "segment + 1 daily bar"),
        ("range_atr", "6 daily bars"),
        ("range_atr", "30 minutes"),
        ("rvol_1m", "19 baseline sessions"),
        ("minutes_since_open", "1 minutes"),
    ],
)
def test_wrong_declaration_is_caught(
    declared: dict[str, str], seen: Seen, seen_in_post: Seen, feature: str, text: str
) -> None:
    wrong = wrong_declarations(declared | {feature: text}, seen, seen_in_post)
    assert wrong.keys() == {feature}


@pytest.mark.parametrize("case", NEVER_SEEN, ids=lambda case: case.change)
def test_nothing_else_is_seen(seen: Seen, case: Case) -> None:
    assert not [feature for feature, cases in seen.items() if case in cases]


def test_post_sees_of_rth_its_open_only(seen_in_post: Seen) -> None:
    minute_bars = {feature: furthest(c, "minute bar") for feature, c in seen_in_post.items()}
    assert {feature: n for feature, n in minute_bars.items() if n} == {"gap": OBSERVED}


def test_splits_count_as_far_as_the_bars_before_them(seen: Seen) -> None:
    """A split k sessions back changes the bars of k + 1 sessions back and more."""
    got = {feature: furthest(cases, "split") for feature, cases in seen.items()}
    kinds = ("daily bar", "baseline session")
    bars = {f: max(furthest(c, kind) or 0 for kind in kinds) for f, c in seen.items()}
    assert got == {feature: count - 1 if count else None for feature, count in bars.items()}


def test_every_feature_says_when_it_is_null(built: Path) -> None:
    with duckdb.connect(built, read_only=True) as connection:
        silent = connection.execute(
            "select feature from marts.feature_definitions where length(null_rule) < 5"
        ).fetchall()
    assert not silent
