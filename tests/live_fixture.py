"""A small live database for tests: literal sessions, watchlist and rules, views over raw.bars_1m.

The views have the columns of the dbt marts, but their values are easy to foresee: rvol_1m is
volume / 1000, base_range 0.045, spread_est 0.011, and an entry is a bar 3 % above the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from ingest.settings import Settings
from ingest.warehouse import RAW_SCHEMA
from live.feeds import Polled
from live.sessions import Session

DAY = date(2025, 11, 5)
PRE, OPEN, CLOSE, POST = (datetime(2025, 11, 5, hour, minute) for hour, minute in (
    (9, 0), (14, 30), (21, 0), (23, 59)))  # fmt: skip
NEXT_DAY = date(2025, 11, 6)
SESSION = Session(DAY, PRE, OPEN, CLOSE, POST)
MINUTE = timedelta(minutes=1)

PUBLISHED = """
create schema if not exists marts;
create table marts.market_sessions as
select * from (values
    (date '2025-11-05', timestamp '2025-11-05 09:00', timestamp '2025-11-05 14:30',
        timestamp '2025-11-05 21:00', timestamp '2025-11-05 23:59', false),
    (date '2025-11-06', timestamp '2025-11-06 09:00', timestamp '2025-11-06 14:30',
        timestamp '2025-11-06 21:00', timestamp '2025-11-06 23:59', false)
) as sessions(session_date, pre_open_at, open_at, close_at, post_close_at, is_half_day);
create table marts.coming_session as select date '2025-11-06' as session_date;
create table marts.watchlist as
select * from (values
    (date '2025-11-05', 'AAA', 90.0, 1, 20.0), (date '2025-11-05', 'BRK-B', 80.0, 2, 10.0),
    (date '2025-11-06', 'AAA', 91.0, 1, 21.0)
) as watchlist(session_date, symbol, score, rank, volatility_points);
create table marts.signal_rules as
select 0.08::double as gap_min, 2.0::double as rvol_min, 0.06::double as base_range_max,
    0.03::double as move_min, 0.012::double as spread_max, 15 as cooldown_min,
    false as provisional_signals;
create view marts.signals as select * from raw.signals;
create table marts.scanner_outcomes as
select * from (values
    (date '2025-11-05', 'AAA', true, null, 90.0, null, null),
    (date '2025-11-05', 'BIG', false, 2, null, 'price and market cap', 'market_cap up to 1.5e9')
) as outcomes(session_date, symbol, is_watched, failed_step, score, step_name, requirement);
create schema intermediate;
create table intermediate.int_nightly_inputs (
    symbol varchar, session_date date, daily_state_hash ubigint, usual_volume_hash ubigint
);
"""

FEATURES = """
select symbol, session_date, 'RTH' as session_segment, bar_at,
    bar_at + interval 1 minute as available_at, open, high, low, close, volume,
    volume / 1000 as rvol_1m, 0.045::double as base_range, 0.011::double as spread_est,
    close - 0.05 as vwap,
    close / 5 - 1 as change_from_prev_close,
    close / close_before - 1 as move_prev
from {}int_known_before
"""
STATES = """
select *, spread_est as spread, 'estimated' as spread_source,
    coalesce(move_prev >= 0.03, false) as is_entry,
    case when is_entry then 'RePump' else 'Idle' end as state
from {}features_1m
"""

LIVE = """
create schema if not exists marts;
create schema if not exists intermediate;
create table intermediate.live_tables (
    table_name varchar, definition varchar, newest_input varchar, step_minutes integer
);
create view marts.feature_definitions as
select * from (values ('rvol_1m', 1, true), ('vwap', 2, false), ('move_prev', 3, true))
    as definitions(feature, ordinal, is_model_input), (select 'hash-1' as definition_hash);
create view intermediate.int_known_before as
select *, lag(close) over (partition by symbol, session_date order by bar_at) as close_before
from raw.bars_1m;
create view marts.features_1m as {features};
create view marts.states_1m as {states};
create table intermediate.int_bars_prepared as from intermediate.int_known_before limit 0;
create view intermediate.int_states_prepared as
with int_known_before as (
    select bars.*, prepared.close_before
    from raw.bars_1m as bars
    inner join intermediate.int_bars_prepared as prepared using (symbol, bar_at)
),
features_1m as ({prepared_features})
{prepared_states};
create view marts.rule_checks_1m as
select states.*, checks.*, fails_by / threshold as fails_by_fraction
from marts.states_1m as states, lateral (
    select * from (values
        (1, 'rvol_1m', rvol_1m, '>=', 'rvol_min', 2.0, rvol_1m >= 2.0, true, 2.0 - rvol_1m, null),
        (2, 'move_prev', move_prev, '>=', 'move_min', 0.03, coalesce(move_prev >= 0.03, false),
            true, 0.03 - move_prev, case when move_prev is null then 'no bar before' end)
    ) as rules(ordinal, rule, value, comparison, threshold_name, threshold, passes, is_required,
        fails_by, null_rule)
) as checks;
""".format(
    features=FEATURES.format("intermediate."),
    states=STATES.format("marts."),
    prepared_features=FEATURES.format(""),
    prepared_states=STATES.format(""),
)


@dataclass
class HandClock:
    """A clock that stands until it is set."""

    at: datetime
    speed: float = 1.0

    def now(self) -> datetime:
        """Return the time it was set to."""
        return self.at


@dataclass
class ListFeed:
    """A feed of literal bars: each poll brings those that are closed, as a provider would."""

    bars: list[dict[str, Any]] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    provider: str = "fmp"
    notes: list[str] = field(default_factory=list)
    is_closed: bool = False
    forming: list[dict[str, Any]] = field(default_factory=list)
    """Bars of the running minute, handed out while it runs."""

    def poll(self, session: Session, symbols: Sequence[str], now: datetime) -> Polled:
        """Return all closed bars of the symbols."""
        rows = [
            bar for bar in self.bars
            if bar["bar_at"] + MINUTE <= now and bar["symbol"] in symbols
            and bar["session_date"] == session.session_date
        ]  # fmt: skip
        tables = [pa.Table.from_pylist(rows)] if rows else []
        running = [
            bar for bar in self.forming
            if bar["bar_at"] <= now < bar["bar_at"] + MINUTE and bar["symbol"] in symbols
        ]  # fmt: skip
        forming = pa.Table.from_pylist(running) if running else None
        return Polled(bars=tables, failures=dict(self.failures), forming=forming)

    def close(self) -> None:
        """Note that it was closed."""
        self.is_closed = True


def bar(symbol: str, bar_at: datetime, close: float, volume: float = 3_200.0) -> dict[str, Any]:
    """Return a bar whose prices are all `close`."""
    prices = dict.fromkeys(("open", "high", "low", "close"), close)
    day = bar_at.date()
    return {"symbol": symbol, "session_date": day, "bar_at": bar_at, **prices, "volume": volume}


def bars(symbol: str, start: datetime, closes: Sequence[float]) -> list[dict[str, Any]]:
    """Return bars of successive minutes."""
    return [bar(symbol, start + n * MINUTE, close) for n, close in enumerate(closes)]


def build(data_dir: Path) -> Settings:
    """Write a snapshot and a live database into `data_dir`; return settings that use them."""
    publish(data_dir, 1)
    with duckdb.connect(str(data_dir / "live.duckdb")) as connection:
        connection.execute(RAW_SCHEMA)
        connection.execute(LIVE)
    return Settings(
        data_dir=data_dir, live_tick_seconds=5, live_token=None, live_host="127.0.0.1",
        _env_file=None,
    )  # type: ignore[call-arg]  # fmt: skip


def publish(data_dir: Path, version: int, change: str = "") -> Path:
    """Write a snapshot, with the statement `change` done to it, and switch the link to it."""
    folder = data_dir / "published"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"warehouse_v{version:06d}.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(RAW_SCHEMA)
        connection.execute(PUBLISHED)
        connection.execute(change or "select 1")
    link = folder / "next_link"
    link.symlink_to(path.name)
    link.replace(folder / "warehouse.duckdb")
    return path
