"""Every row and column of features, labels and scanner equals plain loops, in a market of oddities.

Each symbol has one peculiarity; the sessions are those around both changes of the clock, two half
days and a holiday. tests/test_dbt_oracle.py does the same for samples of larger markets.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from ingest.calendar import market_calendar
from ingest.warehouse import land, open_warehouse
from tests.oracle.features import features
from tests.oracle.history import history
from tests.oracle.labels import labels
from tests.oracle.market import Session, SymbolHistory
from tests.oracle.scanner import VARS, Profile, Scanned, funnel, scan_symbol, watchlist
from tests.test_dbt_oracle import same
from tests.warehouse_builder import land_calendar, run_dbt

FIRST, LAST = date(2024, 1, 2), date(2024, 12, 27)
CALENDAR = {row["session_date"]: Session(**row) for row in market_calendar(FIRST, LAST).to_pylist()}
DAYS = [
    *(date(2024, 3, day) for day in (6, 7, 8, 11, 12)),  # summer time from 03-10
    *(date(2024, 10, 31), date(2024, 11, 1), date(2024, 11, 4)),  # until 11-03
    *(date(2024, 11, 27), date(2024, 11, 29)),  # a holiday, then a half day
    *(date(2024, 12, 23), date(2024, 12, 24), date(2024, 12, 26)),  # a half day, then a holiday
]
SPLITS = [
    (date(2024, 3, 11), 1, 10),
    (date(2024, 11, 1), 2, 1),
    (date(2024, 11, 4), 3, 2),
    (date(2024, 12, 30), 5, 1),
]
HALF_DAY, HOLE_DAY = date(2024, 11, 29), date(2024, 3, 12)

# Tulip Indicators' test bars (high, low, close): the sixth ends TA-Lib's first ATR(5), 1.102.
TULIP = [
    (82.15, 81.29, 81.59),
    (81.89, 80.64, 81.06),
    (83.03, 81.31, 82.87),
    (83.30, 82.65, 83.00),
    (83.85, 83.07, 83.61),
    (83.90, 83.11, 83.15),
]
TULIP_DAY, TULIP_ATR5, TULIP_CLOSE = date(2024, 3, 6), 1.102, 83.15

Minutes = set[int]


def usual_minutes(session: Session) -> Minutes:
    """The first and last minutes of each segment, with room for hours of RTH."""
    chosen: Minutes = set()
    for segment, first, last in (("PRE", 2, 14), ("RTH", 68, 33), ("POST", 14, 2)):
        start, end = session.segment_bounds(segment)
        chosen |= {*range(start, start + first), *range(end - last, end)}
    return chosen


def few_minutes(session: Session, share: float = 0.35) -> Minutes:
    chooser = random.Random(session.session_date.toordinal())
    return {m for m in sorted(usual_minutes(session)) if chooser.random() < share}


def thin(session: Session) -> Minutes:
    """A third of the minutes; on one day bars that are 60 and 61 minutes apart."""
    if session.session_date == HOLE_DAY:
        return {0, 60, *range(121, 160), 220, 281, 282}
    return few_minutes(session)


def halted(session: Session) -> Minutes:
    """Bars that are 5 and 6 minutes from the next, and a halt over more than an hour."""
    return usual_minutes(session) - {*range(20, 25), *range(40, 46), *range(50, 130)}


def begins(session: Session) -> Minutes:
    """Listed in the middle of a session."""
    first = 37 if session.session_date == date(2024, 3, 11) else -1000
    is_listed = session.session_date >= date(2024, 3, 11)
    return {m for m in few_minutes(session, 0.7) if m >= first} if is_listed else set()


def ends(session: Session) -> Minutes:
    """Delisted in the middle of a session."""
    last = 12 if session.session_date == date(2024, 11, 27) else 1000
    is_listed = session.session_date <= date(2024, 11, 27)
    return {m for m in few_minutes(session, 0.7) if m <= last} if is_listed else set()


def after_hours(session: Session) -> Minutes:
    """Every minute of a half day's POST, and bars beyond its end."""
    is_half_day = session.session_date == HALF_DAY
    return set(range(200, 480)) if is_half_day else few_minutes(session)


MARKET: dict[str, Callable[[Session], Minutes]] = {
    "PLAIN": usual_minutes,
    "THIN": thin,
    "HALTED": halted,
    "BEGINS": begins,
    "ENDS": ends,
    "SPLITS": few_minutes,
    "NO-VOLUME": few_minutes,
    "TWO-SOURCES": few_minutes,
    "FLAT": few_minutes,
    "BARRIERS": usual_minutes,
    "AFTER": after_hours,
    "TULIP": lambda session: {0, 1, 2} if session.session_date == TULIP_DAY else set(),
    **dict.fromkeys(("TIE-A", "TIE-B", "TIE-C"), lambda session: set()),
}
DAILY_VOLUME_TIMES = {"TIE-A": 32, "TIE-B": 64, "TIE-C": 32}
"""Otherwise their daily bars are the same, so that dollar volume and name decide on their ranks.

Their prices are whole quarters: sums of them are exact, whatever the order of adding.
"""


def as_traded(symbol: str, price: float, day: date) -> float:
    for split_date, numerator, denominator in SPLITS if symbol == "SPLITS" else []:
        price *= denominator / numerator if split_date <= day else 1
    return price


def bar(chooser: random.Random, level: float, step: float) -> dict[str, float]:
    """One bar in whole cents around the level, with a touch of whole percents now and then."""
    prices = [round(level * (1 + chooser.gauss(0, step)), 2) for _ in range(6)]
    high, low = max(prices), min(prices)
    if chooser.random() < 0.03:
        high = max(high, round(level * 1.04, 2))
    if chooser.random() < 0.03:
        low = min(low, round(level * 0.985, 2))
    return {"open": prices[0], "high": high, "low": low, "close": prices[-1]}


def touching(minute: int) -> dict[str, float]:
    """A bar at 4 dollars that at times reaches exactly the target, the stop or both."""
    high = 4.16 if minute % 100 in (35, 50, 75, 98) else 4.0
    low = 3.94 if minute % 100 in (20, 50, 60, 88) else 4.0
    return {"open": 4.0, "high": high, "low": low, "close": 4.0}


def volume(symbol: str, chooser: random.Random, minute: int) -> float | None:
    if symbol == "NO-VOLUME":
        if minute < 5 or minute >= 388:
            return None if minute % 2 else 0
        return chooser.choice([None, 0, 0, 300, 700])
    return chooser.randrange(0, 5000)


def minute_rows(symbol: str, seed: int) -> Iterator[dict[str, Any]]:
    chooser = random.Random(seed)
    for day in DAYS:
        level = as_traded(symbol, 5, day)
        for minute in sorted(MARKET[symbol](CALENDAR[day])):
            level *= 1 if symbol == "FLAT" else 1 + chooser.gauss(0, 0.004)
            prices = bar(chooser, level, 0 if symbol == "FLAT" else 0.006)
            yield {
                "symbol": symbol,
                "session_date": day,
                "bar_at": CALENDAR[day].open_at + timedelta(minutes=minute),
                **(touching(minute) if symbol == "BARRIERS" else prices),
                "volume": volume(symbol, chooser, minute),
            }


def daily_rows(symbol: str) -> Iterator[dict[str, Any]]:
    """A year of daily bars, a tenth of them missing, some with a pump; few of TULIP."""
    chooser = random.Random("TIE" if symbol.startswith("TIE-") else symbol)
    traded = [day for day in CALENDAR if day >= date(2024, 3, 11) or symbol != "BEGINS"]
    traded = [day for day in traded if day <= date(2024, 11, 27) or symbol != "ENDS"]
    if symbol == "TULIP":
        days = [day for day in CALENDAR if day < TULIP_DAY][-6:]
        for day, (high, low, close) in zip(days, TULIP, strict=True):
            prices = {"open": close, "high": high, "low": low, "close": close}
            yield {"symbol": symbol, "session_date": day, **prices, "volume": 1e6}
        return
    for day in traded:
        prices = bar(chooser, as_traded(symbol, 5, day), 0.03)
        if chooser.random() < 0.1:
            prices["high"] = round(prices["high"] * 1.15, 2)
        if symbol in DAILY_VOLUME_TIMES:
            prices = {name: round(price * 4) / 4 for name, price in prices.items()}
        row = {"symbol": symbol, "session_date": day, **prices}
        times = DAILY_VOLUME_TIMES.get(symbol, 1)
        row["volume"] = float(chooser.randrange(100_000, 900_000) * times)
        if chooser.random() > 0.1:
            yield row


def land_rows(
    connection: duckdb.DuckDBPyConnection, table: str, rows: list[dict], provider: str = "massive"
) -> None:
    arrow = pa.Table.from_pylist(rows)
    land(connection, table, arrow, provider=provider, landed_at=datetime(2024, 12, 28, 2))


def land_market(connection: duckdb.DuckDBPyConnection) -> None:
    land_calendar(connection, FIRST, date(2025, 6, 30))
    minutes = [row for symbol in MARKET for row in minute_rows(symbol, 1)]
    daily = [row for symbol in MARKET for row in daily_rows(symbol)]
    again = [row for row in minute_rows("TWO-SOURCES", 2) if row["bar_at"].minute % 3]
    later = [row | {"bar_at": row["bar_at"] + timedelta(minutes=1)} for row in again[::3]]
    land_rows(connection, "bars_1m", [*minutes, *minutes[::7]])
    land_rows(connection, "bars_1m", again, "import")
    land_rows(connection, "bars_1m", later, "fmp")
    land_rows(connection, "bars_1d", [*daily, *daily[::5]])
    land_rows(
        connection,
        "bars_1d",
        [r | {"close": r["low"]} for r in daily if r["session_date"].day == 11],
        "fmp",
    )
    names = ("split_date", "numerator", "denominator")
    land_rows(
        connection,
        "splits",
        [{"symbol": "SPLITS"} | dict(zip(names, split, strict=True)) for split in SPLITS],
    )
    profile = {"exchange": "NYSE", "market_cap": 1e8, "is_actively_trading": True}
    land_rows(
        connection,
        "profiles",
        [
            *({"symbol": s, "as_of_date": date(2024, 2, 1)} | profile for s in MARKET),
            {"symbol": "THIN", "as_of_date": date(2024, 11, 4)} | profile | {"market_cap": 2e9},
        ],
    )


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    data_dir = tmp_path_factory.mktemp("exactness")
    with open_warehouse(data_dir / "warehouse.duckdb") as connection:
        land_market(connection)
    options = ("--exclude-resource-type", "unit_test", "--vars", "{score_min: 0}")
    run_dbt(data_dir, "build", *options)
    with duckdb.connect(data_dir / "published" / "warehouse.duckdb", read_only=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def histories(connection: duckdb.DuckDBPyConnection) -> dict[str, SymbolHistory]:
    return {symbol: history(connection, symbol) for symbol in MARKET}


Rows = dict[tuple[str, datetime], dict[str, Any]]


@pytest.fixture(scope="module")
def marts(connection: duckdb.DuckDBPyConnection) -> dict[str, Rows]:
    """features_1m and labels_1m by symbol and bar_at."""
    return {
        name: {(row["symbol"], row["bar_at"]): row for row in dicts(connection, name)}
        for name in ("features_1m", "labels_1m")
    }


def dicts(connection: duckdb.DuckDBPyConnection, mart: str) -> list[dict[str, Any]]:
    cursor = connection.execute(f"select * from marts.{mart}")
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def alike(want: object, got: object) -> bool:
    return want == got if isinstance(want, (str, date)) else same(want, got)


def bars_of(histories: dict[str, SymbolHistory]) -> Iterator[tuple[str, date, str, int]]:
    for symbol, rows in histories.items():
        for day, segments in rows.minutes.items():
            for segment, bars in segments.items():
                yield from ((symbol, day, segment, index) for index in range(len(bars)))


def bar_columns(rows: SymbolHistory, day: date, segment: str, index: int) -> dict[str, Any]:
    """The columns that name the bar."""
    at = CALENDAR[day].open_at + timedelta(minutes=rows.minutes[day][segment][index].minute)
    return {"session_date": day, "session_segment": segment, "bar_at": at}


def expected_features(rows: SymbolHistory, day: date, segment: str, index: int) -> dict[str, Any]:
    columns = bar_columns(rows, day, segment, index)
    columns["available_at"] = columns["bar_at"] + timedelta(minutes=1)
    plain = rows.minutes[day][segment][index]._asdict()
    del plain["minute"]
    return columns | plain | features(rows, day, segment, index)


def expected_labels(
    rows: SymbolHistory, day: date, segment: str, index: int, spread: float | None
) -> dict[str, Any]:
    bars, end = rows.minutes[day][segment], CALENDAR[day].segment_bounds(segment)[1]
    found = labels(bars, index, end, spread)
    found["entry_at"] = None
    if found["entry_price"] is not None:
        minutes = timedelta(minutes=bars[index + 1].minute)
        found["entry_at"] = CALENDAR[day].open_at + minutes
    return bar_columns(rows, day, segment, index) | found


def differences(want: Rows, got: Rows) -> list[str]:
    assert want.keys() == got.keys()
    return [
        f"{key} {name}: {value} {got[key].get(name)}"
        for key, row in want.items()
        for name, value in row.items()
        if name not in got[key] or not alike(value, got[key][name])
    ]


def test_every_feature_of_every_bar_equals_plain_loops(
    histories: dict[str, SymbolHistory], marts: dict[str, Rows]
) -> None:
    want: Rows = {}
    for symbol, *where in bars_of(histories):
        row = expected_features(histories[symbol], *where) | {"symbol": symbol}
        want[symbol, row["bar_at"]] = row
    assert len(want) > 5000
    assert {*next(iter(want.values()))} == {*next(iter(marts["features_1m"].values()))}
    assert not differences(want, marts["features_1m"])


def test_every_label_of_every_bar_equals_plain_loops(
    histories: dict[str, SymbolHistory], marts: dict[str, Rows]
) -> None:
    want: Rows = {}
    for symbol, *where in bars_of(histories):
        key = symbol, bar_columns(histories[symbol], *where)["bar_at"]
        spread = marts["features_1m"][key]["spread_est"]
        want[key] = expected_labels(histories[symbol], *where, spread) | {"symbol": symbol}
    assert {*next(iter(want.values()))} == {*next(iter(marts["labels_1m"].values()))}
    assert not differences(want, marts["labels_1m"])


@pytest.mark.parametrize("mart", ["features_1m", "labels_1m"])
def test_every_column_is_both_null_and_not(marts: dict[str, Rows], mart: str) -> None:
    """So that the comparison is of values, and of the rules for null."""
    rows = list(marts[mart].values())
    never_null = {
        *("symbol", "session_date", "session_segment", "bar_at", "available_at"),
        *("open", "high", "low", "close", "minutes_since_open"),
        *("is_complete_30m", "is_complete_60m"),
    }
    always_null = [name for name in rows[0] if all(row[name] is None for row in rows)]
    with_nulls = {name for name in rows[0] if any(row[name] is None for row in rows)}
    assert not always_null
    assert with_nulls == rows[0].keys() - never_null


def test_labels_are_of_both_kinds(marts: dict[str, Rows]) -> None:
    rows = marts["labels_1m"].values()
    names = [name for name in next(iter(rows)) if name.startswith(("hit", "is_complete"))]
    kinds = {name: {row[name] for row in rows} - {None} for name in names}
    assert kinds == {name: {True, False} for name in names}


def test_every_watchlist_column_equals_plain_loops(
    connection: duckdb.DuckDBPyConnection,
    histories: dict[str, SymbolHistory],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(VARS, "score_min", 0)
    scans = scanned(connection, histories)
    want = {
        (day, row.symbol): row.inputs
        | {"symbol": row.symbol, "session_date": day, "rank": rank, "score": row.score}
        | {"dollar_volume_20d": row.dollar_volume, "exchange": "NYSE", "company_name": None}
        for day, rows in scans.items()
        for rank, row in enumerate(watchlist(rows), start=1)
    }
    for row in want.values():
        del row["log10_dollar_volume"]
    got = {
        (row["session_date"], row["symbol"]): row
        for row in dicts(connection, "watchlist")
        if row["session_date"] in scans
    }
    assert len(want) > 100
    assert {*next(iter(want.values()))} == {*next(iter(got.values()))}
    assert not differences(want, got)


def test_funnel_counts_what_plain_loops_count(
    connection: duckdb.DuckDBPyConnection,
    histories: dict[str, SymbolHistory],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(VARS, "score_min", 0)
    scans = scanned(connection, histories)
    got = connection.execute(
        "select session_date, step, symbols_in, symbols_out from marts.scanner_funnel "
        "where session_date in (select unnest($days)) order by all",
        {"days": list(scans)},
    ).fetchall()
    assert got == [(day, *row) for day, rows in sorted(scans.items()) for row in funnel(rows)]


def scanned(
    connection: duckdb.DuckDBPyConnection, histories: dict[str, SymbolHistory]
) -> dict[date, list[Scanned]]:
    profiles: dict[str, list[Profile]] = {symbol: [] for symbol in MARKET}
    for symbol, *values in connection.execute(
        "select symbol, as_of_date, exchange, price, market_cap, is_actively_trading, is_etf, "
        "is_fund from raw.profiles"
    ).fetchall():
        profiles[symbol].append(Profile(*values))
    coming = date(2024, 12, 30)
    days = [*DAYS, *list(CALENDAR)[15:40], *(d for d, *_ in SPLITS if d < LAST), coming]
    return {
        day: [scan_symbol(s, profiles[s], histories[s], day) for s in MARKET]
        for day in sorted(set(days))
    }


def test_golden_true_ranges_make_atr5_pct(marts: dict[str, Rows]) -> None:
    values = {
        row["atr5_pct"] for (symbol, _), row in marts["features_1m"].items() if symbol == "TULIP"
    }
    assert [*values] == [pytest.approx(TULIP_ATR5 / TULIP_CLOSE, rel=1e-9)]
