"""Every feature and label, bar by bar, against plain loops over the same raw rows."""

from __future__ import annotations

import math
from pathlib import Path

import duckdb
import pytest

from tests.oracle.features import features
from tests.oracle.history import calendar, history, sample
from tests.oracle.labels import labels


def same(want: object, got: object) -> bool:
    if want is None or got is None or isinstance(want, bool):
        return want is got if isinstance(want, bool) else want is None and got is None
    return math.isclose(float(want), float(got), rel_tol=1e-9, abs_tol=1e-9)


def differences(data_dir: Path, count: int) -> tuple[int, list[str]]:
    """Compare `count` bars per symbol and all segment edges; return the cells and what differs."""
    compared, found = 0, []
    with duckdb.connect(data_dir / "published" / "warehouse.duckdb", read_only=True) as connection:
        sessions = {s.session_date: s for s in calendar(connection)}
        symbols = connection.execute("select distinct symbol from raw.bars_1m").fetchall()
        for (symbol,) in symbols:
            rows = history(connection, symbol)
            marts = _marts(connection, symbol)
            for day, segment, index in sample(rows, count):
                bars = rows.minutes[day][segment]
                got = marts[(day, segment, bars[index].minute)]
                end = sessions[day].segment_bounds(segment)[1]
                want = features(rows, day, segment, index) | labels(
                    bars, index, end, got["spread_est"]
                )
                compared += len(want)
                found += [
                    f"{symbol} {day} {segment} {bars[index].minute} {name}: {value} {got[name]}"
                    for name, value in want.items()
                    if not same(value, got[name])
                ]
    return compared, found


def _marts(connection: duckdb.DuckDBPyConnection, symbol: str) -> dict[tuple, dict]:
    cursor = connection.execute(
        "select * from marts.features_1m inner join marts.labels_1m using (symbol, bar_at) "
        "where symbol = ?",
        [symbol],
    )
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return {(r["session_date"], r["session_segment"], r["minutes_since_open"]): r for r in rows}


@pytest.mark.parametrize("warehouse", ["generated", "real_2018", "real_2025"])
def test_marts_equal_plain_loops(warehouse: str, request: pytest.FixtureRequest) -> None:
    compared, found = differences(request.getfixturevalue(warehouse), count=100)
    assert compared > 10_000
    assert not found, "\n".join(found[:20])


@pytest.mark.parametrize("warehouse", ["generated", "real_2018", "real_2025"])
def test_every_bar_has_one_row(warehouse: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(warehouse) / "published" / "warehouse.duckdb"
    with duckdb.connect(path, read_only=True) as connection:
        counts = connection.execute(
            """
            select
                (
                    select count(distinct (symbol, bar_at))
                    from raw.bars_1m inner join raw.market_calendar using (session_date)
                    where bar_at >= pre_open_at and bar_at < post_close_at
                ),
                (select count(*) from marts.features_1m),
                (select count(*) from marts.labels_1m)
            """
        ).fetchall()[0]
    assert counts[0] == counts[1] == counts[2] > 0
