"""Live equals batch: a session played bar by bar through the live service gives the rows of the
batch marts, and the signals that the rules and the cooldown give offline."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from ingest.settings import Settings
from live.broadcast import Broadcaster
from live.feeds import Polled
from live.monitor import Monitor
from live.scoring import Scorer
from live.sessions import Session
from live.views import ensure_views
from live.warehouse import LiveWarehouse, open_live
from tests.warehouse_builder import run_dbt

pytestmark = pytest.mark.long

EVERY_SYMBOL_PASSES = (
    "{atr5_pct_min: 0, score_min: 0, min_dollar_volume_20d: 0, market_cap_max: 1e15,"
    " price_max: 1e9, move_min: 0.015, rvol_min: 1.2, base_range_max: 0.1}"
)
"""Also rules that give a handful of signals a day."""


@dataclass
class ManualClock:
    """A clock that the test sets."""

    at: datetime
    speed: float = 1.0

    def now(self) -> datetime:
        return self.at


@dataclass
class RecordedFeed:
    """Hands out each bar of a recorded session once it is closed."""

    bars: pa.Table
    provider: str = "fmp"
    notes: Sequence[str] = ()
    handed_until: datetime = datetime.min
    closed: bool = field(default=False)

    def poll(self, session: Session, symbols: Sequence[str], now: datetime) -> Polled:
        bars, since = self.bars, self.handed_until  # noqa: F841 read by the query
        rows = duckdb.sql(
            "select * from bars where bar_at + interval 1 minute <= $now "
            "and bar_at + interval 1 minute > $since and symbol in (select unnest($symbols))",
            params={"now": now, "since": since, "symbols": list(symbols)},
        ).to_arrow_table()
        self.handed_until = now
        return Polled(bars=[rows])

    def close(self) -> None:
        self.closed = True


@dataclass(frozen=True)
class Morning:
    """Where live is to see a session for the first time, and what the session will bring."""

    live: Settings
    session: Session
    bars: pa.Table


@dataclass(frozen=True)
class Recorded:
    """A recorded session: where batch built it, and where live is to see it for the first time."""

    batch: Path
    live: Settings
    session: Session
    bars: pa.Table


def record(built: Path, data_dir: Path, session_date: date) -> Recorded:
    """Make the morning of a session from a warehouse that has it; build both with equal rules."""
    batch = data_dir / "batch"
    batch.mkdir()
    shutil.copyfile(built / "warehouse.duckdb", batch / "warehouse.duckdb")
    run_dbt(batch, "run", "--vars", EVERY_SYMBOL_PASSES)
    morning = make_morning(built, data_dir / "morning", session_date)
    return Recorded(batch, morning.live, morning.session, morning.bars)


def make_morning(built: Path, data_dir: Path, session_date: date) -> Morning:
    """Make a warehouse that does not know the session yet, and the live views beside it."""
    data_dir.mkdir()
    shutil.copyfile(built / "warehouse.duckdb", data_dir / "warehouse.duckdb")
    with duckdb.connect(data_dir / "warehouse.duckdb") as connection:
        session = Session(
            *connection.execute(
                "select session_date, pre_open_at, open_at, close_at, post_close_at "
                "from raw.market_calendar where session_date = $day",
                {"day": session_date},
            ).fetchall()[0]
        )
        bars = connection.sql(
            "select * exclude (provider, landed_at) from raw.bars_1m where session_date = $day",
            params={"day": session_date},
        ).to_arrow_table()
        for table in ("bars_1m", "bars_1d"):
            connection.execute(
                f"delete from raw.{table} where session_date >= $day", {"day": session_date}
            )
            connection.execute(
                f"update raw.{table} set landed_at = $at", {"at": session.pre_open_at}
            )
        connection.execute("update raw.profiles set landed_at = $at", {"at": session.pre_open_at})
    run_dbt(data_dir, "run", "--vars", EVERY_SYMBOL_PASSES)
    settings = Settings(data_dir=data_dir, dbt_vars=EVERY_SYMBOL_PASSES)
    ensure_views(settings)
    return Morning(settings, session, bars)


def ticks(session: Session) -> list[datetime]:
    """Every minute around the open, else every fifteenth: a tick catches up on what it missed."""
    busy = range(-3, 40)
    first, last = (
        int((at - session.open_at) / timedelta(minutes=1))
        for at in (session.pre_open_at, session.post_close_at)
    )
    minutes = sorted({*range(first + 1, last, 15), *busy, last})
    return [session.open_at + timedelta(minutes=minute, seconds=2) for minute in minutes]


def play(recorded: Recorded, warehouse: LiveWarehouse) -> set[tuple[str, datetime, str]]:
    """Play the session through the monitor; return its signals."""
    moments = ticks(recorded.session)
    clock = ManualClock(moments[0])
    monitor = Monitor(
        warehouse,
        RecordedFeed(recorded.bars),
        clock,
        Broadcaster(0, 10),
        Scorer(recorded.live.data_dir, *warehouse.feature_definitions()),
        warehouse_path=recorded.live.warehouse_path,
        tick_seconds=5.0,
    )
    signals = []
    for moment in moments:
        clock.at = moment
        signals += monitor.tick()
    assert not monitor.problems
    return {(s.entry.symbol, s.entry.bar_at, s.entry.state) for s in signals}


def differing_cells(live: duckdb.DuckDBPyConnection, batch: Path, mart: str) -> dict[str, int]:
    """Return, per column, in how many rows of the session live and batch differ."""
    columns = [row[:2] for row in live.execute(f"describe marts.{mart}").fetchall()]
    checks = []
    for name, kind in columns:
        same = f"l.{name} is not distinct from b.{name}"
        if kind == "DOUBLE":
            same = f"({same} or abs(l.{name} - b.{name}) <= 1e-9 * greatest(1, abs(b.{name})))"
        checks.append(f"count(*) filter (not coalesce({same}, false)) as {name}")
    live.execute(f"attach '{batch}' as batch (read_only)")
    row = live.execute(
        f"""
        with l as (select * from marts.{mart}),
        b as (
            select * from batch.marts.{mart}
            where session_date in (select distinct session_date from l)
                and symbol in (select symbol from published.marts.watchlist)
        )
        select count(*) as compared, {", ".join(checks)}
        from l full join b on l.symbol = b.symbol and l.bar_at = b.bar_at
        """
    ).fetchall()[0]
    live.execute("detach batch")
    names = ["compared", *(name for name, _ in columns)]
    return {name: count for name, count in zip(names, row, strict=True) if count}


def equal_batch(recorded: Recorded) -> set[tuple[str, datetime, str]]:
    """Hold what live has against batch, row for row; return the signals that batch gives."""
    batch = recorded.batch / "published" / "warehouse.duckdb"
    with duckdb.connect(recorded.live.live_path) as live:
        live.execute(f"attach '{recorded.live.published_path}' as published (read_only)")
        for mart in ("features_1m", "states_1m"):
            found = differing_cells(live, batch, mart)
            assert found.pop("compared") > 300
            assert not found
        watched = live.execute("select distinct symbol from published.marts.watchlist").fetchall()
    with duckdb.connect(batch, read_only=True) as connection:
        entries = connection.execute(
            "select symbol, bar_at, state from marts.entries_1m where session_date = $day "
            "and symbol in (select unnest($watched))",
            {"day": recorded.session.session_date, "watched": [symbol for (symbol,) in watched]},
        ).fetchall()
    return set(entries)


@pytest.mark.parametrize(
    ("warehouse", "session_date"),
    [
        ("generated", date(2024, 12, 20)),
        ("generated", date(2024, 12, 24)),
        ("real_2018", date(2018, 3, 28)),
        ("real_2025", date(2025, 2, 6)),
    ],
)
def test_live_equals_batch(
    warehouse: str, session_date: date, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    recorded = record(request.getfixturevalue(warehouse), tmp_path, session_date)
    with open_live(recorded.live.live_path, recorded.live.published_path) as live_warehouse:
        signals = play(recorded, live_warehouse)
    assert signals == equal_batch(recorded)
