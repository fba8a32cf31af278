"""No look-ahead: whatever is scrambled or cut after T, every earlier row of every column stays."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from tests.rebuild import Rebuild, rebuilder

SYMBOLS = 3

# What a row of each mart, and of the nightly tables behind it, may know: bars up to the moment it
# is available, and earlier sessions.
ROWS_UNTIL = {
    "marts.features_1m": "available_at <= $moment",
    "marts.states_1m": "available_at <= $moment",
    "marts.candidates_1m": "available_at <= $moment",
    "marts.entries_1m": "available_at <= $moment",
    "marts.watchlist": "session_date <= $session_date",
    "marts.scanner_funnel": "session_date <= $session_date",
    "marts.labels_1m": "session_date < $session_date",
    "marts.training_rows": "session_date < $session_date",
    "marts.data_quality": "session_date < $session_date",
    "intermediate.int_daily_state": "session_date <= $session_date",
    "intermediate.int_usual_volume_by_minute": "session_date <= $session_date",
    "intermediate.int_scanner_inputs": "session_date <= $session_date",
    "intermediate.int_scanner_scores": "session_date <= $session_date",
}

SCRAMBLE = [
    """update raw.bars_1m set open = open * 1.7, high = high * 2.1, low = low * 0.4,
        close = close * 1.3, volume = volume * 7 + 1000
        where bar_at + interval 1 minute > $moment""",
    """update raw.bars_1d set open = open * 1.7, high = high * 3, low = low * 0.2,
        close = close * 2, volume = volume * 9 where session_date >= $session_date""",
    """insert into raw.profiles by name select * replace (
            $session_date::date as as_of_date, 0.01 as market_cap, true as is_etf,
            'NONE' as exchange)
        from raw.profiles""",
    """insert into raw.splits select distinct symbol, $session_date::date + 1, 10, 1, 'fmp', $moment
        from raw.bars_1m""",
]
CUT = [
    "delete from raw.bars_1m where bar_at + interval 1 minute > $moment",
    "delete from raw.bars_1d where session_date >= $session_date",
]


@dataclass(frozen=True)
class Market:
    """A small warehouse and what remakes it."""

    connection: duckdb.DuckDBPyConnection
    rebuild: Rebuild


@pytest.fixture(scope="module")
def market(generated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    path = tmp_path_factory.mktemp("lookahead") / "warehouse.duckdb"
    shutil.copyfile(generated / "warehouse.duckdb", path)
    with duckdb.connect(path) as connection:
        kept = f"select distinct symbol from raw.bars_1m order by symbol limit {SYMBOLS}"
        connection.execute(f"create temp table kept as {kept}")
        connection.execute(
            "delete from raw.bars_1m where session_date < date '2024-12-02' "
            "or symbol not in (from kept)"
        )
        connection.execute("delete from raw.bars_1d where symbol not in (from kept)")
        rebuild = rebuilder(connection, generated)
        rebuild()
        keep(connection, ROWS_UNTIL)
        yield Market(connection, rebuild)


def moments(connection: duckdb.DuckDBPyConnection) -> list[datetime]:
    """The first bars after each open, the middle of segments, after a hole, on a half day."""
    rows = connection.execute(
        """
        select distinct unnest([
            open_at - interval 90 minutes, open_at, open_at + interval 1 minute,
            open_at + interval 47 minutes, close_at - interval 1 minute,
            close_at + interval 1 minute, close_at + interval 33 minutes
        ])
        from raw.market_calendar where session_date in ('2024-12-20', '2024-12-24')
        """
    ).fetchall()
    hole = connection.execute(
        """
        select bar_at + interval 1 minute from raw.bars_1m
        where session_date = '2024-12-19'
        qualify bar_at - lag(bar_at) over (partition by symbol order by bar_at)
            between interval 5 minutes and interval 15 minutes
        order by bar_at desc limit 1
        """
    ).fetchall()
    return sorted(moment for (moment,) in rows + hole)


def keep(connection: duckdb.DuckDBPyConnection, marts: dict[str, str]) -> None:
    """Keep what the marts say before anything is changed, in tables named before_<mart>."""
    for mart in marts:
        connection.execute(f"create or replace temp table {_before(mart)} as select * from {mart}")


def _before(mart: str) -> str:
    return "before_" + mart.split(".")[1]


def differing(
    connection: duckdb.DuckDBPyConnection, mart: str, condition: str, parameters: dict[str, object]
) -> list[str]:
    """Return the columns of the mart that are not what they were in rows that `condition` allows.

    Sums of fractions depend on the order of adding, so a relative 1e-9 counts as the same.
    """
    columns = [row[:2] for row in connection.execute(f"describe {mart}").fetchall()]
    names = {name for name, _ in columns}
    key = ["symbol", "bar_at"] if "bar_at" in names else ["session_date"]
    key += [
        name for name in ("step", "symbol", "check_name") if "bar_at" not in names and name in names
    ]
    counts = ", ".join(
        f"count(*) filter ({_differs(f'old.{name}', f'new.{name}', kind)}) as {name}"
        for name, kind in columns
        if name not in key
    )
    known = {k: v for k, v in parameters.items() if f"${k}" in condition}
    missing, *row = connection.execute(
        f"""
        with old as (select * from {_before(mart)} where {condition}),
        new as (select * from {mart} where {condition})
        select count(*) filter (old.{key[0]} is null or new.{key[0]} is null), {counts}
        from old full join new using ({", ".join(key)})
        """,
        known,
    ).fetchall()[0]
    compared = [name for name, _ in columns if name not in key]
    found = [f"{mart}.{name}" for name, count in zip(compared, row, strict=True) if count]
    return found + [f"{mart} rows"] * bool(missing)


def _differs(old: str, new: str, kind: str) -> str:
    if kind != "DOUBLE":
        return f"{old} is distinct from {new}"
    close = f"abs({old} - {new}) <= 1e-9 * greatest(1, abs({old}))"
    return f"not coalesce({close}, {old} is null and {new} is null)"


def _session(connection: duckdb.DuckDBPyConnection, moment: datetime) -> object:
    rows = connection.execute(
        "select session_date from raw.market_calendar where $moment < post_close_at "
        "order by session_date limit 1",
        {"moment": moment},
    ).fetchall()
    return rows[0][0]


def leaks(market: Market, marts: dict[str, str], moment: datetime, change: list[str]) -> list[str]:
    """Return the columns in which a row known at `moment` changes with what comes after it."""
    connection = market.connection
    names = {"moment": moment, "session_date": _session(connection, moment)}
    connection.execute("begin")
    try:
        for statement in change:
            connection.execute(statement, {k: v for k, v in names.items() if f"${k}" in statement})
        market.rebuild()
        return [
            column
            for mart, condition in marts.items()
            for column in differing(connection, mart, condition, names)
        ]
    finally:
        connection.execute("rollback")


@pytest.mark.parametrize("change", [SCRAMBLE, CUT], ids=["scrambled", "cut"])
def test_earlier_rows_never_change(market: Market, change: list[str]) -> None:
    found = {m: leaks(market, ROWS_UNTIL, m, change) for m in moments(market.connection)}
    assert len(found) >= 14
    assert not {moment: columns for moment, columns in found.items() if columns}


PLANTED = {
    "peeks one bar ahead": """
        select symbol, bar_at, available_at,
            lead(close) over (partition by symbol, session_date order by bar_at) as leak
        from marts.features_1m""",
    "uses today's daily bar": """
        select features.symbol, features.bar_at, features.available_at, daily.high as leak
        from marts.features_1m as features
        left join intermediate.int_daily_series as daily using (symbol, session_date)""",
    "uses today's profile": """
        select features.symbol, features.bar_at, features.available_at, profiles.market_cap as leak
        from marts.features_1m as features
        asof left join staging.stg_profiles as profiles
            on features.symbol = profiles.symbol
            and features.session_date >= profiles.as_of_date""",
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_leak_is_caught(market: Market, name: str) -> None:
    market.connection.execute(f"create or replace view marts.planted as {PLANTED[name]}")
    marts = {"marts.planted": "available_at <= $moment"}
    keep(market.connection, marts)
    found = leaks(market, marts, datetime(2024, 12, 20, 16, 0), SCRAMBLE)
    assert found == ["marts.planted.leak"]
