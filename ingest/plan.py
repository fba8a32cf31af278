"""What a morning's scan will cost, told before it starts: calls, bytes, minutes.

Counted where the warehouse knows what is left to buy, estimated where a later step depends on what
an earlier one brings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise

import duckdb

from ingest.budget import MB, PlanLimits
from ingest.providers.fmp_wire import BULK_PAUSE

PASSING_SHARE = 0.2
"""Of listed common stocks, those within the scanner's price and market cap. Source: 1,419 of 7,214
symbols on 2018-03-27."""
SCREENER_CALLS = 6
"""Two for each of three exchanges: a page, and the one after it, which is empty."""
PROFILE_FILES = 5
"""Four parts, and the one after them, which is refused."""
FILE_SYMBOLS = 500
"""Symbols that lack a session from which on a file of the whole world is worth it: one call instead
of 500, and about twice their bytes."""
MOST_FILES = 3
"""Sessions, the newest ones, that are bought by file."""
PROFILE_FILE_SYMBOLS = 3000
"""Profiles from which on, where the screener is refused, the files of the whole world are worth it:
five calls of 10 MB instead of a minute's calls."""
SPLIT_CALLS = 6
ENDING_CALLS = 3

USUAL_BYTES = {
    "screener": 150_000,
    "profile": 1_400,
    "profile_bulk": 8_000_000,
    "splits_calendar": 12_000,
    "splits": 400,
    "endings": 10_000,
    "eod_bulk": 2_000_000,
    "bars_1d": 2_500,
    "bars_1m": 30_000,
}
"""Of one packed answer, where the ledger has none yet."""


BULK_ENDPOINTS = ("eod_bulk", "profile_bulk")

DailyRange = tuple[str, date, date]
"""Symbol, first and last session wanted."""

RECENT = """
select session_date from raw.market_calendar
where session_date <= $newest order by session_date desc limit $count
"""


@dataclass(frozen=True)
class Step:
    """One kind of request: how many calls, how many bytes a call, and whether that is known."""

    endpoint: str
    calls: int
    bytes_a_call: float
    is_estimated: bool = False

    @property
    def byte_count(self) -> float:
        """Bytes of all calls."""
        return self.calls * self.bytes_a_call

    def minutes(self, limits: PlanLimits) -> float:
        """Return the minutes that the plan's pace takes, and the pauses between bulk files."""
        pauses = max(self.calls - 1, 0) if self.endpoint in BULK_ENDPOINTS else 0
        pace = minutes_needed(self.calls, self.byte_count, limits)
        return max(pace, pauses * BULK_PAUSE / 60)


@dataclass(frozen=True)
class Scan:
    """The size of a scan from nothing."""

    symbols: int
    sessions: int
    watchlist: int

    @property
    def plain_calls(self) -> int:
        """Calls of the plain way: a profile, daily bars and minute bars of every symbol."""
        return self.symbols * (2 + self.sessions)


def scan_steps(
    scan: Scan, *, has_screener: bool, has_bulk: bool, usual: dict[str, float]
) -> list[Step]:
    """Return the steps of a scan from nothing. `usual` has bytes of a call by endpoint."""
    profiles = ("screener", SCREENER_CALLS) if has_screener else ("profile", scan.symbols)
    calls = (
        profiles,
        ("endings", ENDING_CALLS),
        ("splits_calendar", SPLIT_CALLS),
        *([("eod_bulk", 0)] if has_bulk else []),
        ("bars_1d", round(scan.symbols * PASSING_SHARE)),
        ("bars_1m", scan.watchlist * scan.sessions),
    )
    return [_step(endpoint, count, usual, is_estimated=True) for endpoint, count in calls]


def _step(endpoint: str, calls: int, usual: dict[str, float], *, is_estimated: bool) -> Step:
    return Step(endpoint, calls, usual.get(endpoint, USUAL_BYTES[endpoint]), is_estimated)


def known_steps(
    connection: duckdb.DuckDBPyConnection, steps: Sequence[Step], left: dict[str, int]
) -> list[Step]:
    """Return `steps` with the calls that can be counted already in place of the estimates.

    `left` has the calls left by endpoint. A view lists what the step before it let through, so it
    counts once that step is bought.
    """
    counts = dict(left)
    if steps[0].endpoint in left and left[steps[0].endpoint] == 0:
        has_bulk = any(step.endpoint == "eod_bulk" for step in steps)
        counts |= _daily_calls(connection, has_bulk=has_bulk)
    if counts.get("bars_1d") == 0 and not counts.get("eod_bulk"):
        counts |= _minute_calls(connection)
    return [
        replace(step, calls=counts[step.endpoint], is_estimated=False)
        if step.endpoint in counts
        else step
        for step in steps
    ]


def _daily_calls(connection: duckdb.DuckDBPyConnection, *, has_bulk: bool) -> dict[str, int]:
    try:
        wanted: list[DailyRange] = connection.execute(
            "select symbol, from_date, to_date from marts.daily_requests"
        ).fetchall()
    except duckdb.CatalogException:
        return {}
    files = sessions_by_file(connection, wanted) if has_bulk else []
    by_file = sum(first > files[0] for _, first, _ in wanted) if files else 0
    return {"eod_bulk": len(files), "bars_1d": len(wanted) - by_file}


def _minute_calls(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    try:
        rows = connection.execute("select count(*) from marts.minute_requests").fetchall()
    except duckdb.CatalogException:
        return {}
    return {"bars_1m": int(rows[0][0])}


def sessions_by_file(
    connection: duckdb.DuckDBPyConnection, wanted: Sequence[DailyRange]
) -> list[date]:
    """Return the sessions to buy by file, oldest first: [] where a call a symbol is better.

    The first of them is the one before what is wanted: its volumes are revised overnight. A range
    may begin between two sessions, the day after the last one that was bought.
    """
    newest = max((last for _, _, last in wanted), default=date.min)
    rows = connection.execute(RECENT, {"newest": newest, "count": MOST_FILES + 1}).fetchall()
    recent = [session for (session,) in reversed(rows)]
    for index, (before, session) in enumerate(pairwise(recent)):
        if sum(before < first <= session for _, first, _ in wanted) >= FILE_SYMBOLS:
            return recent[index:]
    return []


def usual_bytes(connection: duckdb.DuckDBPyConnection, provider: str) -> dict[str, float]:
    """Return the mean bytes of a call by endpoint, as the ledger knows them."""
    return dict(
        connection.execute(
            "select endpoint, sum(byte_count) / sum(attempts) from raw.fetch_log "
            "where provider = $provider and outcome = 'ok' group by endpoint "
            "having sum(attempts) > 0",
            {"provider": provider},
        ).fetchall()
    )


def minutes_needed(calls: int, byte_count: float, limits: PlanLimits) -> float:
    """Return the minutes that the plan's pace takes; whole windows of 30 days for its bytes."""
    by_calls = calls / limits.calls * int(limits.per) / 60_000
    windows = int(byte_count // limits.bandwidth_bytes) if limits.bandwidth_bytes else 0
    return max(by_calls, windows * 30 * 24 * 60.0)


def duration_text(minutes: float) -> str:
    """Return minutes as people say them."""
    if minutes < 1:
        return f"{max(1, round(minutes * 60))} s"
    if minutes < 120:
        return f"{minutes:.0f} min"
    hours = minutes / 60
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"


def cost_text(calls: int, byte_count: float, limits: PlanLimits) -> str:
    """Return one line on what requests will cost: calls, bytes, time."""
    spent = duration_text(minutes_needed(calls, byte_count, limits))
    counted = f"{calls:,} call{'' if calls == 1 else 's'}"
    return f"{counted}, about {byte_count / MB:,.1f} MB, at least {spent} on {limits.name}"
