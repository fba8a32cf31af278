"""From a warehouse's raw tables to the rows that the oracles read."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import date
from typing import Any

import duckdb

from tests.oracle.market import Bar, DailyBar, Session, SymbolHistory
from tests.oracle.scanner import VARS

BarKey = tuple[date, str, int]
"""Session, segment and position in it."""


def calendar(connection: duckdb.DuckDBPyConnection) -> list[Session]:
    rows = connection.execute(
        "select session_date, pre_open_at, open_at, close_at, post_close_at, is_half_day "
        "from raw.market_calendar order by session_date"
    ).fetchall()
    return [Session(*row) for row in rows]


def history(connection: duckdb.DuckDBPyConnection, symbol: str) -> SymbolHistory:
    sessions = {s.session_date: s for s in calendar(connection)}
    minutes: dict[date, dict[str, list[Bar]]] = defaultdict(lambda: defaultdict(list))
    bars = "bar_at, session_date, open, high, low, close, volume"
    for bar_at, session_date, *values in best_rows(connection, "bars_1m", bars, symbol):
        session = sessions.get(session_date)
        if session is None or not session.pre_open_at <= bar_at < session.post_close_at:
            continue
        segment = "PRE" if bar_at < session.open_at else "RTH"
        segment = "POST" if bar_at >= session.close_at else segment
        minutes[session_date][segment].append(Bar(session.minute(bar_at), *values))
    bars = "session_date, open, high, low, close, volume"
    daily = best_rows(connection, "bars_1d", bars, symbol)
    splits = best_rows(connection, "splits", "split_date, numerator / denominator", symbol)
    return SymbolHistory(
        list(sessions.values()),
        {day: dict(segments) for day, segments in minutes.items()},
        [DailyBar(*row) for row in daily if row[0] in sessions],
        splits,
    )


def best_rows(
    connection: duckdb.DuckDBPyConnection, table: str, columns: str, symbol: str
) -> list[tuple[Any, ...]]:
    """Return a symbol's rows by their key, the first column; of two providers' the first named."""
    best: dict[Any, tuple[Any, ...]] = {}
    for provider in reversed(VARS["provider_priority"]):
        for row in connection.execute(
            f"select {columns} from raw.{table} where symbol = ? and provider = ?",
            [symbol, provider],
        ).fetchall():
            best[row[0]] = row
    return [best[key] for key in sorted(best)]


def sample(rows: SymbolHistory, count: int, seed: int = 1) -> list[BarKey]:
    """Return the first two and the last bar of every segment, and `count` others."""
    keys = [
        (day, segment, i)
        for day, segments in rows.minutes.items()
        for segment, bars in segments.items()
        for i in range(len(bars))
    ]
    edges = [key for key in keys if key[2] < 2 or key[2] == len(rows.minutes[key[0]][key[1]]) - 1]
    chosen = random.Random(seed).sample(keys, min(count, len(keys)))
    return sorted(set(chosen + edges))
